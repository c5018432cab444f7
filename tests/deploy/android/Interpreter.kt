package org.tensorflow.lite

import java.nio.ByteBuffer
import java.nio.ByteOrder

enum class DataType { FLOAT32, INT8 }

class Tensor(private val type: DataType, private val dimensions: IntArray) {
    fun dataType() = type
    fun shape() = dimensions
}

/** Takes a file of three bytes: inputs, outputs, 1 for whole numbers; gives the mean of its inputs for each output. */
class Interpreter(file: ByteBuffer) {
    private val inputs = file.get(0).toInt()
    private val outputs = file.get(1).toInt()
    private val type = if (file.get(2).toInt() == 1) DataType.INT8 else DataType.FLOAT32
    val inputTensorCount = 1
    val outputTensorCount = 1
    var closed = false

    fun getInputTensor(index: Int) = Tensor(type, intArrayOf(index + 1, inputs))

    fun getOutputTensor(index: Int) = Tensor(type, intArrayOf(index + 1, outputs))

    fun run(input: Any, output: Any) {
        val given = input as ByteBuffer
        val taken = output as ByteBuffer
        check(given.isDirect && given.order() == ByteOrder.nativeOrder() && given.remaining() == 4 * inputs)
        var sum = 0f
        for (i in 0 until inputs) sum += given.float
        for (i in 0 until outputs) taken.putFloat(sum / inputs)
    }

    fun close() {
        closed = true
    }
}
