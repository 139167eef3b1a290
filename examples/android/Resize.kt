// Resizes a photo to the input size of a bundle, as edgefeat does. Copy this file into your project.
//
// Android's own Bitmap.createScaledBitmap and MediaPipe's resize skip pixels of a large photo (no antialiasing), so the
// features differ. This is Pillow's bilinear resize, in the same integer arithmetic.

package edgefeat

private const val PRECISION = 22 // fraction bits of a weight

private class Weights(val start: Int, val values: IntArray)

/**
 * Returns the image at another size. [pixels] are [width] x [height] as `Bitmap.getPixels` gives them (ARGB, row by row);
 * the result is [newWidth] x [newHeight] of the same kind, opaque. Lay a transparent image over the colour in the
 * manifest first.
 */
fun resized(pixels: IntArray, width: Int, height: Int, newWidth: Int, newHeight: Int): IntArray {
    require(width > 0 && height > 0 && newWidth > 0 && newHeight > 0) { "a picture has at least one pixel" }
    require(pixels.size == width * height) { "${pixels.size} pixels are not $width x $height" }
    return down(across(pixels, width, height, newWidth), newWidth, height, newHeight)
}

private fun across(pixels: IntArray, width: Int, height: Int, newWidth: Int): IntArray {
    if (newWidth == width) return pixels
    val weights = weightsOf(width, newWidth)
    val result = IntArray(newWidth * height)
    for (y in 0 until height) {
        for (x in 0 until newWidth) {
            result[y * newWidth + x] = weighted(pixels, y * width + weights[x].start, 1, weights[x].values)
        }
    }
    return result
}

private fun down(pixels: IntArray, width: Int, height: Int, newHeight: Int): IntArray {
    if (newHeight == height) return pixels
    val weights = weightsOf(height, newHeight)
    val result = IntArray(width * newHeight)
    for (y in 0 until newHeight) {
        for (x in 0 until width) {
            result[y * width + x] = weighted(pixels, weights[y].start * width + x, width, weights[y].values)
        }
    }
    return result
}

private fun weighted(pixels: IntArray, first: Int, step: Int, weights: IntArray): Int {
    var red = 1 shl (PRECISION - 1)
    var green = red
    var blue = red
    var position = first
    for (weight in weights) {
        val pixel = pixels[position]
        red += (pixel shr 16 and 0xff) * weight
        green += (pixel shr 8 and 0xff) * weight
        blue += (pixel and 0xff) * weight
        position += step
    }
    return (0xff shl 24) or (toByte(red) shl 16) or (toByte(green) shl 8) or toByte(blue)
}

private fun toByte(sum: Int): Int = (sum shr PRECISION).coerceIn(0, 255)

/** Returns, for each new pixel, the old pixels it covers and their weights: a triangle as wide as two new pixels. */
private fun weightsOf(size: Int, newSize: Int): Array<Weights> {
    val scale = size.toDouble() / newSize
    val reach = maxOf(scale, 1.0)
    return Array(newSize) { index ->
        val centre = (index + 0.5) * scale
        val start = maxOf(0, (centre - reach + 0.5).toInt())
        val end = minOf(size, (centre + reach + 0.5).toInt())
        val raw = DoubleArray(end - start) { maxOf(0.0, 1.0 - Math.abs((start + it - centre + 0.5) / reach)) }
        val sum = raw.sum()
        Weights(start, IntArray(raw.size) { (0.5 + raw[it] / sum * (1 shl PRECISION)).toInt() })
    }
}
