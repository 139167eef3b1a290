// Resize.kt for bitmaps.

package edgefeat

import android.graphics.Bitmap

/** Returns the photo, which must be upright, at the bundle's input size of [width] x [height]. */
fun resized(photo: Bitmap, width: Int, height: Int): Bitmap {
    val pixels = IntArray(photo.width * photo.height)
    photo.getPixels(pixels, 0, photo.width, 0, 0, photo.width, photo.height)
    val small = resized(pixels, photo.width, photo.height, width, height)
    return Bitmap.createBitmap(small, width, height, Bitmap.Config.ARGB_8888)
}
