// CameraX and LiteRT for Frame.kt: from an ImageProxy to a feature. Needs androidx.camera:camera-core and
// com.google.ai.edge.litert:litert.
//
// Export with the size and rotation of your analysis stream, such as --frame nv21-640x480-90 for a phone held upright,
// and with --frame-color bt601-full: Android's YUV_420_888 has the range of JPEG.

package edgefeat

import androidx.camera.core.ImageProxy
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.tensorflow.lite.Interpreter

/** A model file that takes NV21 frames of [width] x [height], with one output of [dimensions] numbers. */
class FrameEmbedder(model: ByteBuffer, val width: Int, val height: Int, val dimensions: Int) : AutoCloseable {
    private val interpreter = Interpreter(model, Interpreter.Options().setNumThreads(2))
    private val frame = ByteBuffer.allocateDirect(width * height * 3 / 2).order(ByteOrder.nativeOrder())

    /** Returns the feature of a frame, and does not close the image. Call it from one thread. */
    fun feature(image: ImageProxy): FloatArray {
        require(image.width == width && image.height == height) {
            "a frame of ${image.width} x ${image.height} (the model takes $width x $height)"
        }
        val (y, u, v) = image.planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) }
        packNv21(y, u, v, width, height, frame)
        val feature = arrayOf(FloatArray(dimensions))
        interpreter.run(frame, feature)
        return feature[0]
    }

    override fun close() = interpreter.close()
}
