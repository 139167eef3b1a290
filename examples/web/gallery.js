// A small gallery of features, with cosine search. It reads and writes the .jsonl of `edgefeat extract`.

/** Returns the name of a tap's column in the .jsonl: `features` if there is only one tap. */
export function column(tap, taps) {
  return taps.length === 1 ? "features" : `features/${tap}`;
}

export class Gallery {
  constructor(tap, taps) {
    this.column = column(tap.name, taps);
    this.length = tap.shape.reduce((size, side) => size * side, 1);
    this.items = [];
  }

  /** Adds a feature, and replaces one with the same name. `picture` is the URL of an image, or null. */
  add(name, feature, picture) {
    const item = { name, feature: unit(feature), raw: feature, picture };
    const index = this.items.findIndex((one) => one.name === name);
    if (index < 0) this.items.push(item);
    else this.items[index] = item;
  }

  /** Adds the rows of a .jsonl written by `edgefeat extract` or by this page. Returns their number. */
  addLines(text) {
    const rows = text.split("\n").filter((line) => line.trim());
    for (const [index, line] of rows.entries()) {
      let row;
      try {
        row = JSON.parse(line);
      } catch {
        throw new Error(`Line ${index + 1} of the gallery is not JSON: make it with edgefeat extract -o gallery.jsonl`);
      }
      const feature = row[this.column]?.flat(Infinity);
      if (typeof row.path !== "string" || feature?.length !== this.length) {
        throw new Error(
          `Line ${index + 1} of the gallery has ${feature?.length ?? "no"} numbers in "${this.column}"; ` +
            `this model gives ${this.length}: make the gallery with the same bundle`,
        );
      }
      this.add(row.path, Float32Array.from(feature), null);
    }
    return rows.length;
  }

  /** Returns the whole gallery as .jsonl. */
  lines() {
    return this.items
      .map(({ name, raw }) => `${JSON.stringify({ path: name, [this.column]: Array.from(raw) })}\n`)
      .join("");
  }

  /** Returns the `count` items most like `feature`, best first, each with its cosine. */
  nearest(feature, count) {
    const query = unit(feature);
    return this.items
      .map((item) => ({ ...item, cosine: dot(query, item.feature) }))
      .sort((one, other) => other.cosine - one.cosine)
      .slice(0, count);
  }
}

function unit(feature) {
  const norm = Math.sqrt(dot(feature, feature)) || 1;
  return Float32Array.from(feature, (value) => value / norm);
}

function dot(one, other) {
  let sum = 0;
  for (let index = 0; index < one.length; index++) sum += one[index] * other[index];
  return sum;
}
