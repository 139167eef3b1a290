// Packs the planes of a YUV camera frame as NV21, the bytes that a model file such as tflite-int8@nv21-640x480.tflite
// takes. Copy this file into your project.
//
// Android's YUV_420_888 has three planes, whose rows may be padded and whose chroma may be interleaved. There is no
// arithmetic here: colours, rotation and resize are in the model.

package edgefeat

import java.nio.ByteBuffer

/** One plane: its bytes, the bytes from one row to the next, and from one pixel to the next. */
class Plane(val bytes: ByteBuffer, val rowStride: Int, val pixelStride: Int)

/**
 * Writes a frame of [width] x [height] to [into], a buffer of width * height * 3 / 2 bytes, and rewinds it. The positions
 * of the planes' buffers do not change.
 */
fun packNv21(y: Plane, u: Plane, v: Plane, width: Int, height: Int, into: ByteBuffer) {
    require(width % 2 == 0 && height % 2 == 0) { "$width x $height: both must be even, two pixels share their colour" }
    require(into.capacity() == width * height * 3 / 2) { "${into.capacity()} bytes are not ${width * height * 3 / 2}" }
    into.clear()
    copyRows(y, width, height, into)
    if (u.pixelStride == 2 && v.pixelStride == 2 && interleaved(u.bytes, v.bytes)) {
        copyPairs(u, v, width, height / 2, into)
    } else {
        val us = u.bytes.duplicate()
        val vs = v.bytes.duplicate()
        for (row in 0 until height / 2) {
            for (column in 0 until width / 2) {
                into.put(vs.get(row * v.rowStride + column * v.pixelStride))
                into.put(us.get(row * u.rowStride + column * u.pixelStride))
            }
        }
    }
    into.rewind()
}

private fun copyRows(plane: Plane, width: Int, rows: Int, into: ByteBuffer) {
    require(plane.pixelStride == 1) { "a pixel stride of ${plane.pixelStride} for luma (allowed: 1)" }
    val bytes = plane.bytes.duplicate()
    for (row in 0 until rows) {
        bytes.limit(row * plane.rowStride + width).position(row * plane.rowStride)
        into.put(bytes)
    }
}

/** Whether V from its second byte on has the bytes of U, as when both are views of the same V U V U ... memory. */
private fun interleaved(u: ByteBuffer, v: ByteBuffer): Boolean {
    val length = minOf(u.capacity(), v.capacity() - 1)
    val after = v.duplicate()
    val before = u.duplicate()
    after.limit(length + 1).position(1)
    before.limit(length).position(0)
    return after == before
}

/** Copies rows of V U V U; the last U of the last row is not in V's view. */
private fun copyPairs(u: Plane, v: Plane, width: Int, rows: Int, into: ByteBuffer) {
    val bytes = v.bytes.duplicate()
    for (row in 0 until rows) {
        val start = row * v.rowStride
        bytes.limit(start + width - 1).position(start)
        into.put(bytes)
        into.put(u.bytes.get(row * u.rowStride + width - 2))
    }
}
