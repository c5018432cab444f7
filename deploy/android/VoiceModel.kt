// A model file of sottovoce on an Android phone: mapped from the app's assets, checked, run with LiteRT.
//
// A template: copy it into the app. Dependency `com.google.ai.edge.litert:litert` 1.x (package org.tensorflow.lite),
// and `noCompress "tflite"` in the module's packaging options, so that the asset can be mapped.
//
// Rules upheld here:
// 1. The file is run only if its SHA-256 is the one that stands in the app. Take that hash from a model card whose
//    signature was verified (`sottovoce models verify FILE`), when the app is built.
// 2. Tensor counts, shapes and types are checked before the first number goes in, and every number as it goes in.
// 3. Nothing is sent, stored or logged; an error never carries a feature value. This file opens no connection.
// 4. What the card says the model must not be used for holds on the phone as well.

package sottovoce.template

import android.content.Context
import java.io.Closeable
import java.io.FileInputStream
import java.io.FileNotFoundException
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.channels.FileChannel
import java.security.MessageDigest
import org.tensorflow.lite.DataType
import org.tensorflow.lite.Interpreter

/** Why a model was not run: `missing`, `too_large`, `other_file`, `other_shape`, `other_profile`, `bad_input`, `bad_output`. */
class VoiceModelException(val code: String) : Exception(code)

/** What the model was made for, and what was signed: copied from its card. */
class VoiceModelCard(
    val asset: String,
    val sha256: String, // 64 lower-case hexadecimal digits
    val labels: List<String>,
    val output: String, // "sigmoid": one number, the probability of the second label; "softmax": one for each label
    val featureProfile: String, // "compat" or "corrected"
    val featureVersion: String // "egemaps-88/1"
)

/** One model, ready to run. Not safe from several threads: make one for each. Close it after use. */
class VoiceModel private constructor(val card: VoiceModelCard, private val interpreter: Interpreter) : Closeable {
    private val outputs = if (card.output == "sigmoid") 1 else card.labels.size

    /** The probability of each label of the card, in its order. [values] are the 88 features in the order of the names. */
    fun probabilities(values: FloatArray, profile: String, version: String): FloatArray {
        require(profile == card.featureProfile && version == card.featureVersion, "other_profile")
        require(values.size == FEATURES && values.all(::isFinite), "bad_input")
        val input = floats(FEATURES)
        values.forEach { input.putFloat(it) }
        input.rewind()
        val output = floats(outputs)
        interpreter.run(input, output)
        output.rewind()
        val found = FloatArray(outputs) { output.float }
        require(found.all { it >= 0f && it <= 1f }, "bad_output")
        return if (card.output == "sigmoid") floatArrayOf(1f - found[0], found[0]) else found
    }

    override fun close() = interpreter.close()

    private fun checkTensors() {
        require(interpreter.inputTensorCount == 1 && interpreter.outputTensorCount == 1, "other_shape")
        val input = interpreter.getInputTensor(0)
        val output = interpreter.getOutputTensor(0)
        require(input.dataType() == DataType.FLOAT32 && output.dataType() == DataType.FLOAT32, "other_shape")
        require(input.shape().contentEquals(intArrayOf(1, FEATURES)), "other_shape")
        require(output.shape().contentEquals(intArrayOf(1, outputs)), "other_shape")
    }

    companion object {
        const val FEATURES = 88
        private const val MOST_BYTES = 1L shl 20
        private const val FLOAT_BYTES = 4

        /** A checked model. [VoiceModelException], or the interpreter's own error where it cannot read the file. */
        fun open(context: Context, card: VoiceModelCard): VoiceModel {
            val file = mapped(context, card.asset)
            require(sha256(file) == card.sha256, "other_file")
            val model = VoiceModel(card, Interpreter(file)) // the bytes that were hashed, and no others
            try {
                model.checkTensors()
            } catch (error: Exception) {
                model.close()
                throw error
            }
            return model
        }

        private fun mapped(context: Context, asset: String): ByteBuffer {
            try {
                context.assets.openFd(asset).use { descriptor ->
                    val size = descriptor.declaredLength
                    require(size <= MOST_BYTES, "too_large")
                    FileInputStream(descriptor.fileDescriptor).use { stream ->
                        return stream.channel.map(FileChannel.MapMode.READ_ONLY, descriptor.startOffset, size)
                    }
                }
            } catch (_: FileNotFoundException) {
                throw VoiceModelException("missing")
            }
        }

        private fun sha256(file: ByteBuffer): String {
            val digest = MessageDigest.getInstance("SHA-256")
            digest.update(file.duplicate())
            return digest.digest().joinToString("") { "%02x".format(it) }
        }

        /** Float32 in the order of bytes of the phone, which is what the interpreter reads. */
        private fun floats(count: Int) = ByteBuffer.allocateDirect(count * FLOAT_BYTES).order(ByteOrder.nativeOrder())

        private fun isFinite(value: Float) = !value.isNaN() && !value.isInfinite()

        private fun require(holds: Boolean, code: String) {
            if (!holds) throw VoiceModelException(code)
        }
    }
}
