// Turns a photo into the model's input, as edgefeat does: upright, RGB, resized with antialiasing. `form` is `picture`
// of the manifest.
// The resize is Pillow's bilinear one in the same integer arithmetic. A canvas resizes without antialiasing, and the
// features would differ.

import { quarterTurned } from "./orientation.js";

// Larger images are refused, as in edgefeat: they are held twice, at four bytes a pixel.
const MAX_PIXELS = 64_000_000;
const PRECISION = 22; // fraction bits of a weight

/**
 * Returns the pixels of an image file (a File or Blob): { width, height, data: Uint8ClampedArray RGBA, turned }.
 * `turned` is true if the file stores them rotated by a quarter turn.
 */
export async function decoded(file, form) {
  const turned = form.orientation === "exif" && (await quarterTurned(file));
  const bitmap = await createImageBitmap(file, {
    imageOrientation: form.orientation === "exif" ? "from-image" : "none",
    colorSpaceConversion: "none",
    premultiplyAlpha: "none",
  }).catch(() => {
    throw new Error(`${file.name ?? "the picture"} cannot be read: not a picture this browser knows, or damaged`);
  });
  try {
    const { width, height, data } = pixelsOf(bitmap, bitmap.width, bitmap.height, form);
    return { width, height, data, turned };
  } finally {
    bitmap.close();
  }
}

/** Returns the pixels of anything a canvas can draw, such as a video, over the background colour in `form`. */
export function pixelsOf(source, width, height, form) {
  if (width * height > MAX_PIXELS) {
    throw new Error(`${width} x ${height} pixels are too many (allowed: ${MAX_PIXELS.toLocaleString("en")})`);
  }
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = form.transparency;
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0);
  return context.getImageData(0, 0, width, height);
}

/** Returns the model's input for decoded pixels: Uint8Array of height x width x 3. */
export function fitted({ width, height, data, turned = false }, form) {
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; to < rgb.length; from += 4) {
    if (form.color === "gray") {
      const gray = grayOf(data[from], data[from + 1], data[from + 2]);
      rgb[to++] = gray;
      rgb[to++] = gray;
      rgb[to++] = gray;
    } else {
      rgb[to++] = data[from];
      rgb[to++] = data[from + 1];
      rgb[to++] = data[from + 2];
    }
  }
  const image = { width, height, data: rgb, turned };
  if (form.fit === "stretch") return resized(image, form.width, form.height).data;
  if (form.fit === "crop") return resized(image, form.width, form.height, middle(image, form)).data;
  return padded(image, form);
}

/** Returns the gray of a colour as Pillow computes it: ITU-R 601-2, in 65536ths. */
function grayOf(red, green, blue) {
  return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
}

/** Returns the middle part with the shape of the model's input. Pixels beyond its edges still count in the resize. */
function middle({ width, height }, form) {
  const partWidth = Math.min(width, Math.max(1, Math.floor((height * form.width) / form.height)));
  const partHeight = Math.min(height, Math.max(1, Math.floor((width * form.height) / form.width)));
  return {
    left: Math.floor((width - partWidth) / 2),
    top: Math.floor((height - partHeight) / 2),
    width: partWidth,
    height: partHeight,
  };
}

function padded(image, form) {
  const scale = Math.min(form.width / image.width, form.height / image.height);
  const width = Math.min(form.width, Math.max(1, roundHalfEven(image.width * scale)));
  const height = Math.min(form.height, Math.max(1, roundHalfEven(image.height * scale)));
  const inner = resized(image, width, height).data;
  const left = Math.floor((form.width - width) / 2);
  const top = Math.floor((form.height - height) / 2);
  const whole = new Uint8Array(form.width * form.height * 3);
  for (let y = 0; y < height; y++) {
    whole.set(inner.subarray(y * width * 3, (y + 1) * width * 3), ((top + y) * form.width + left) * 3);
  }
  return whole;
}

function roundHalfEven(value) {
  const whole = Math.floor(value);
  if (value - whole !== 0.5) return Math.round(value);
  return whole % 2 === 0 ? whole : whole + 1;
}

/** Resizes `part` of `image` ({ width, height, data: RGB bytes }): both directions in turn, each rounded to bytes. */
export function resized(image, width, height, part = { left: 0, top: 0, width: image.width, height: image.height }) {
  if (acrossFirst(image, width, height)) {
    return down(across(image, width, part.left, part.width), height, part.top, part.height);
  }
  return across(down(image, height, part.top, part.height), width, part.left, part.width);
}

// The order that Pillow 13 chooses for the file's rows and columns. Older versions differ in the last bit of very tall
// photos.
function acrossFirst(image, width, height) {
  const less = { across: image.width - width, down: image.height - height };
  const [rows, columns] = image.turned ? [less.down, less.across] : [less.across, less.down];
  const columnsFirst = columns > Math.max(0, 2 * rows);
  return image.turned ? columnsFirst : !columnsFirst;
}

function across({ width, height, data }, newWidth, left, partWidth) {
  if (newWidth === width && partWidth === width) return { width, height, data };
  const weights = weightsOf(width, newWidth, left, partWidth);
  const result = new Uint8ClampedArray(newWidth * height * 3);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < newWidth; x++) {
      const { start, values } = weights[x];
      let red = 0, green = 0, blue = 0;
      for (let k = 0, from = (y * width + start) * 3; k < values.length; k++) {
        const weight = values[k];
        red += data[from++] * weight;
        green += data[from++] * weight;
        blue += data[from++] * weight;
      }
      result[to++] = toByte(red);
      result[to++] = toByte(green);
      result[to++] = toByte(blue);
    }
  }
  return { width: newWidth, height, data: result };
}

function down({ width, height, data }, newHeight, top, partHeight) {
  if (newHeight === height && partHeight === height) return { width, height, data };
  const weights = weightsOf(height, newHeight, top, partHeight);
  const line = width * 3;
  const sums = new Float64Array(line);
  const result = new Uint8ClampedArray(line * newHeight);
  for (let y = 0; y < newHeight; y++) {
    const { start, values } = weights[y];
    sums.fill(0);
    for (let k = 0; k < values.length; k++) {
      const weight = values[k];
      for (let x = 0, from = (start + k) * line; x < line; x++) sums[x] += data[from++] * weight;
    }
    for (let x = 0; x < line; x++) result[y * line + x] = toByte(sums[x]);
  }
  return { width, height: newHeight, data: result };
}

/** Rounds to a whole number. A double holds the sum exactly, and the array clamps to 0 and 255. */
function toByte(sum) {
  return Math.floor((sum + 2 ** (PRECISION - 1)) / 2 ** PRECISION);
}

/** Returns, for each new pixel, the old pixels it covers and their weights: a triangle as wide as two new pixels. */
function weightsOf(size, newSize, first, part) {
  const scale = part / newSize;
  const reach = Math.max(scale, 1);
  return Array.from({ length: newSize }, (_, index) => {
    const centre = first + (index + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - reach + 0.5));
    const end = Math.min(size, Math.trunc(centre + reach + 0.5));
    const raw = Array.from({ length: end - start }, (_, k) =>
      Math.max(0, 1 - Math.abs((start + k - centre + 0.5) / reach)),
    );
    const sum = raw.reduce((total, weight) => total + weight, 0);
    return { start, values: raw.map((weight) => Math.trunc(0.5 + (weight / sum) * 2 ** PRECISION)) };
  });
}
