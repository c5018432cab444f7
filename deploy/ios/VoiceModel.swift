// A model file of sottovoce on an iPhone: loaded from the app's bundle, checked, run with LiteRT.
//
// A template: copy it into the app. Pod `TensorFlowLiteSwift` (LiteRT's interpreter for Swift), iOS 13 or newer.
//
// Rules upheld here:
// 1. The file is run only if its SHA-256 is the one that stands in the app. Take that hash from a model card whose
//    signature was verified (`sottovoce models verify FILE`), when the app is built.
// 2. Tensor counts, shapes and types are checked before the first number goes in, and every number as it goes in.
// 3. Nothing is sent, stored or logged; an error never carries a feature value. This file opens no connection.
// 4. What the card says the model must not be used for holds on the phone as well.

import CryptoKit
import Foundation
import TensorFlowLite

enum VoiceModelError: Error, Equatable {
    case missing
    case tooLarge
    case otherFile
    case otherShape
    case otherProfile
    case badInput
    case badOutput
}

/// What the model was made for, and what was signed: copied from its card.
struct VoiceModelCard {
    let resource: String  // name of the .tflite in the bundle, without the extension
    let sha256: String  // 64 lower-case hexadecimal digits
    let labels: [String]
    let output: String  // "sigmoid": one number, the probability of the second label; "softmax": one for each label
    let featureProfile: String  // "compat" or "corrected"
    let featureVersion: String  // "egemaps-88/1"
}

/// One model, ready to run. Not safe from several threads: make one for each.
final class VoiceModel {
    static let features = 88
    private static let mostBytes = 1 << 20

    let card: VoiceModelCard
    private let interpreter: Interpreter
    private let outputs: Int

    /// Throws `VoiceModelError`, or the interpreter's own error where it cannot read the file.
    init(card: VoiceModelCard, bundle: Bundle = .main) throws {
        guard let path = bundle.path(forResource: card.resource, ofType: "tflite") else {
            throw VoiceModelError.missing
        }
        let file = try Data(contentsOf: URL(fileURLWithPath: path))
        guard file.count <= VoiceModel.mostBytes else { throw VoiceModelError.tooLarge }
        let hash = SHA256.hash(data: file).map { String(format: "%02x", $0) }.joined()
        guard hash == card.sha256 else { throw VoiceModelError.otherFile }

        self.card = card
        outputs = card.output == "sigmoid" ? 1 : card.labels.count
        // The bundle is signed and cannot be written by the app: what was hashed is what is opened here.
        interpreter = try Interpreter(modelPath: path)
        try interpreter.allocateTensors()
        try checkTensors()
    }

    /// The probability of each label of the card, in its order. `values` are the 88 features in the order of the names.
    func probabilities(
        of values: [Float], profile: String, version: String
    ) throws -> [Float] {
        guard profile == card.featureProfile, version == card.featureVersion else {
            throw VoiceModelError.otherProfile
        }
        guard values.count == VoiceModel.features, values.allSatisfy({ $0.isFinite }) else {
            throw VoiceModelError.badInput
        }
        // Float32 in the order of bytes of the phone, which is what the interpreter reads.
        let input = values.withUnsafeBufferPointer { Data(buffer: $0) }
        try interpreter.copy(input, toInputAt: 0)
        try interpreter.invoke()
        let found = try interpreter.output(at: 0).data.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        guard found.count == outputs, found.allSatisfy({ $0 >= 0 && $0 <= 1 }) else {
            throw VoiceModelError.badOutput
        }
        return card.output == "sigmoid" ? [1 - found[0], found[0]] : found
    }

    private func checkTensors() throws {
        guard interpreter.inputTensorCount == 1, interpreter.outputTensorCount == 1 else {
            throw VoiceModelError.otherShape
        }
        let input = try interpreter.input(at: 0)
        let output = try interpreter.output(at: 0)
        guard
            input.dataType == .float32, input.shape.dimensions == [1, VoiceModel.features],
            output.dataType == .float32, output.shape.dimensions == [1, outputs]
        else {
            throw VoiceModelError.otherShape
        }
    }
}
