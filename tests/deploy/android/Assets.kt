package android.content.res

import java.io.Closeable
import java.io.File
import java.io.FileDescriptor
import java.io.FileInputStream
import java.io.FileNotFoundException

open class AssetFileDescriptor(private val stream: FileInputStream, val declaredLength: Long) : Closeable {
    val fileDescriptor: FileDescriptor get() = stream.fd
    val startOffset = 0L
    override fun close() = stream.close()
}

open class AssetManager(private val folder: File) {
    fun openFd(name: String): AssetFileDescriptor {
        val file = File(folder, name)
        if (!file.exists()) throw FileNotFoundException(name)
        return AssetFileDescriptor(FileInputStream(file), file.length())
    }
}
