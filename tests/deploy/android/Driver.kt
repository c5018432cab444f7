package sottovoce.template

import android.content.Context
import android.content.res.AssetManager
import java.io.File

/** Each line of standard input: `asset sha256 labels output value count profile`; each answer a line. */
fun main(arguments: Array<String>) {
    val context = Context(AssetManager(File(arguments[0])))
    generateSequence(::readLine).forEach { line -> println(answer(context, line.split(" "))) }
}

private fun answer(context: Context, asked: List<String>): String {
    val card = VoiceModelCard(asked[0], asked[1], asked[2].split(","), asked[3], "compat", "egemaps-88/1")
    return try {
        VoiceModel.open(context, card).use { model ->
            val values = FloatArray(asked[5].toInt()) { asked[4].toFloat() }
            model.probabilities(values, asked[6], "egemaps-88/1").joinToString(" ")
        }
    } catch (error: VoiceModelException) {
        error.code
    }
}
