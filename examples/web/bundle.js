// Opens a bundle in the browser, and runs one of its ONNX files with WebAssembly.

import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs";
import { fitted } from "./picture.js";

const SCHEMA = 1;

ort.env.wasm.wasmPaths = new URL("./node_modules/onnxruntime-web/dist/", import.meta.url).href;
// More threads require COOP and COEP headers from the server.
if (!globalThis.crossOriginIsolated) ort.env.wasm.numThreads = 1;

/** Opens the bundle in the folder `url` on the server. */
export function bundleAt(url) {
  const base = new URL(url.endsWith("/") ? url : `${url}/`, document.baseURI);
  return Bundle.open(async (name) => {
    const response = await fetch(new URL(name, base));
    if (!response.ok) throw new Error(`${new URL(name, base).pathname}: ${response.status} ${response.statusText}`);
    return response.arrayBuffer();
  });
}

/** Opens the bundle whose files the user chose. */
export function bundleOf(files) {
  const byName = new Map([...files].map((file) => [file.name, file]));
  return Bundle.open(async (name) => {
    const file = byName.get(name);
    if (!file) throw new Error(`${name} is not among the files chosen: choose the whole .edgefeat folder`);
    return file.arrayBuffer();
  });
}

class Bundle {
  constructor(manifest, read) {
    this.manifest = manifest;
    this.read = read;
  }

  static async open(read) {
    let manifest;
    const bytes = await read("manifest.json");
    try {
      manifest = JSON.parse(new TextDecoder().decode(bytes));
    } catch {
      throw new Error("manifest.json is not JSON: choose a folder that `edgefeat export` wrote");
    }
    if (manifest?.schema !== SCHEMA) {
      throw new Error(
        `The bundle has schema version ${manifest?.schema}; this page reads version ${SCHEMA}: ` +
          "export it again, or take the page of that edgefeat",
      );
    }
    const bundle = new Bundle(manifest, read);
    if (!bundle.variants.length) {
      throw new Error("The bundle has no ONNX file: export it with --variants onnx-float32,onnx-int8");
    }
    return bundle;
  }

  /** The variants that this page can run. */
  get variants() {
    return this.manifest.variants.filter((variant) => variant.format === "onnx" && !variant.frame);
  }

  /** The variant beside `name` that takes a canvas's RGBA pixels of this size as they are, if the bundle has one. */
  frameVariant(name, width, height) {
    return this.manifest.variants.find((variant) => variant.name === `${name}@rgba-${width}x${height}`);
  }

  /** Loads the model of a variant, after its file is checked against the manifest's SHA-256. */
  async model(name) {
    const variant = this.manifest.variants.find((one) => one.name === name);
    const bytes = await this.read(variant.file.name);
    await check(bytes, variant.file);
    const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
    return new Model(this.manifest, session, variant.frame);
  }
}

class Model {
  constructor(manifest, session, frame) {
    this.manifest = manifest;
    this.session = session;
    this.frame = frame;
  }

  /** Returns the features of decoded pixels (see picture.js): a Float32Array for each tap, by name. */
  async features(pixels) {
    const results = await this.session.run({ image: this.frame ? frameTensor(pixels) : this.#photoTensor(pixels) });
    return Object.fromEntries(this.manifest.taps.map(({ name }) => [name, results[name].data]));
  }

  release() {
    return this.session.release();
  }

  #photoTensor(pixels) {
    const { height, width } = this.manifest.picture;
    return new ort.Tensor("uint8", new Uint8Array(fitted(pixels, this.manifest.picture)), [1, height, width, 3]);
  }
}

/** The pixels of a canvas as they are: the model converts and resizes them. */
function frameTensor({ width, height, data }) {
  return new ort.Tensor("uint8", new Uint8Array(data.buffer, data.byteOffset, data.length), [1, height, width, 4]);
}

async function check(bytes, file) {
  if (bytes.byteLength !== file.size) {
    throw new Error(`${file.name} has ${bytes.byteLength} bytes, the manifest says ${file.size}: copy it again`);
  }
  if (!globalThis.crypto?.subtle) return; // pages that are neither https nor localhost have no SHA-256
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (hex !== file.sha256) throw new Error(`${file.name} was altered (its SHA-256 is not the manifest's)`);
}
