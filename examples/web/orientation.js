// Reads the orientation in a JPEG's EXIF. Browsers rotate the photo themselves. The resize only needs to know about
// quarter turns, because edgefeat resizes first and rotates afterwards.

const ORIENTATION = 0x0112;
const EXIF = 0x45786966; // "Exif"

/** Returns whether the file's rows are columns of the photo: EXIF orientations 5 to 8. False if it does not say. */
export async function quarterTurned(file) {
  const view = new DataView(await file.slice(0, 128 * 1024).arrayBuffer());
  try {
    return orientation(view) >= 5;
  } catch (error) {
    if (error instanceof RangeError) return false; // truncated, or an offset points outside the file
    throw error;
  }
}

/** Returns 1 to 8; 1 (upright) for other files and for photos without an orientation. */
function orientation(view) {
  if (view.getUint16(0) !== 0xffd8) return 1;
  for (let at = 2; view.getUint8(at) === 0xff && view.getUint8(at + 1) !== 0xda; ) {
    if (view.getUint8(at + 1) === 0xe1 && view.getUint32(at + 4) === EXIF) return inTiff(view, at + 10);
    at += 2 + view.getUint16(at + 2);
  }
  return 1;
}

function inTiff(view, start) {
  const little = view.getUint16(start) === 0x4949;
  const directory = start + view.getUint32(start + 4, little);
  for (let entry = 0; entry < view.getUint16(directory, little); entry++) {
    const at = directory + 2 + entry * 12;
    if (view.getUint16(at, little) === ORIENTATION) {
      const value = view.getUint16(at + 8, little);
      return value >= 1 && value <= 8 ? value : 1;
    }
  }
  return 1;
}
