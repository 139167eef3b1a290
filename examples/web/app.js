// The page: choose a model, fill a gallery, and find which of its photos is most like yours.

import { bundleAt, bundleOf } from "./bundle.js";
import { Gallery } from "./gallery.js";
import { decoded, pixelsOf } from "./picture.js";

const SHOWN = 5;
const byId = (id) => document.getElementById(id);
const state = { bundle: null, model: null, gallery: null, query: null, stream: null, frames: null };

// One task at a time: a second photo waits until the first is done.
let queue = Promise.resolve();
function inTurn(work) {
  queue = queue.then(async () => {
    byId("error").hidden = true;
    document.body.setAttribute("aria-busy", "true");
    try {
      await work();
    } catch (error) {
      byId("error").textContent = error.message;
      byId("error").hidden = false;
    } finally {
      document.body.removeAttribute("aria-busy");
    }
  });
}

async function useBundle(opening) {
  state.bundle = await opening;
  const { taps } = state.bundle.manifest;
  fill(byId("variant"), state.bundle.variants.map(({ name }) => name));
  fill(byId("tap"), taps.map(({ name }) => name));
  byId("variant-label").hidden = false;
  byId("tap-label").hidden = taps.length === 1;
  await useModel();
}

async function useModel() {
  const { manifest } = state.bundle;
  const variant = state.bundle.variants.find(({ name }) => name === byId("variant").value);
  await state.model?.release();
  await state.frames?.model.release();
  state.model = state.frames = null;
  byId("model-status").textContent = `Loading ${variant.name}.`;
  state.model = await state.bundle.model(variant.name);
  const { height, width } = manifest.picture;
  byId("model-status").textContent =
    `${manifest.name}, ${variant.name}, ${(variant.file.size / 1e6).toFixed(2)} MB, pictures of ${height} x ${width}.`;
  useTap();
}

/** Starts a gallery for the variant and tap: features of different variants or taps are never compared. */
function useTap() {
  const { taps } = state.bundle.manifest;
  state.gallery = new Gallery(taps.find(({ name }) => name === byId("tap").value), taps);
  state.query = null;
  for (const id of ["photos", "photo", "camera"]) byId(id).disabled = false;
  byId("camera").disabled = !navigator.mediaDevices?.getUserMedia;
  showGallery();
  showNearest();
}

async function addToGallery(files) {
  const gallery = state.gallery;
  const failed = [];
  const progress = byId("progress");
  progress.hidden = false;
  progress.max = files.length;
  for (const [index, file] of files.entries()) {
    progress.value = index;
    try {
      if (file.name.toLowerCase().endsWith(".jsonl")) gallery.addLines(await file.text());
      else gallery.add(file.name, await featureOf(await decoded(file, form())), URL.createObjectURL(file));
    } catch (error) {
      failed.push(error.message);
    }
    showGallery();
  }
  progress.hidden = true;
  showNearest();
  if (failed.length) throw new Error(failed.join("; "));
}

const form = () => state.bundle.manifest.picture;

async function featureOf(pixels, model = state.model) {
  return (await model.features(pixels))[byId("tap").value];
}

/** The model for camera frames of this size: one that takes them as they are, if the bundle has it. */
async function modelFor({ width, height }) {
  const variant = state.bundle.frameVariant(byId("variant").value, width, height);
  if (!variant) return state.model;
  if (state.frames?.name !== variant.name) {
    await state.frames?.model.release();
    state.frames = { name: variant.name, model: await state.bundle.model(variant.name) };
  }
  return state.frames.model;
}

async function compare(name, pixels, picture, model = state.model) {
  const start = performance.now();
  const feature = await featureOf(pixels, model);
  const spent = performance.now() - start;
  state.query = { name, feature, picture };
  byId("photo-status").textContent = `${name}: ${feature.length} numbers in ${spent.toFixed(0)} ms.`;
  showNearest();
}

function showGallery() {
  const { items } = state.gallery;
  const count = items.length === 1 ? "1 photo." : `${items.length} photos.`;
  byId("gallery-status").textContent = items.length ? count : "Empty.";
  byId("gallery").replaceChildren(...items.map((item) => element("li", {}, [thumbnail(item)])));
  byId("save").disabled = byId("clear").disabled = !items.length;
}

function showNearest() {
  byId("result").hidden = !state.query;
  if (!state.query) return;
  byId("query").src = state.query.picture;
  byId("query").alt = `Your photo, ${state.query.name}`;
  byId("query-name").textContent = state.query.name;
  const found = state.gallery.nearest(state.query.feature, SHOWN);
  byId("nearest").replaceChildren(
    ...found.map((item) =>
      element("li", {}, [
        thumbnail({ ...item, decorative: true }),
        element("div", {}, [
          element("div", { className: "name", textContent: shortName(item.name) }),
          element("meter", { min: 0, max: 1, value: item.cosine, ariaHidden: "true" }),
          element("div", { className: "cosine", textContent: `cosine ${item.cosine.toFixed(4)}` }),
        ]),
      ]),
    ),
  );
  if (!found.length) byId("nearest").append(element("li", { textContent: "Add photos to the gallery first." }));
}

function thumbnail({ name, picture, decorative }) {
  if (picture) return element("img", { src: picture, alt: decorative ? "" : shortName(name), title: name });
  return element("div", { className: "blank", textContent: decorative ? "" : shortName(name), title: name });
}

const shortName = (path) => path.split(/[\\/]/).pop();

function element(tag, properties, children = []) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function fill(select, names) {
  select.replaceChildren(...names.map((name) => element("option", { value: name, textContent: name })));
}

function save() {
  const link = element("a", {
    href: URL.createObjectURL(new Blob([state.gallery.lines()], { type: "application/x-ndjson" })),
    download: "gallery.jsonl",
  });
  link.click();
  URL.revokeObjectURL(link.href);
}

async function startCamera() {
  try {
    state.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch {
    throw new Error("The camera cannot be used: allow it for this page, or choose a photo instead");
  }
  byId("video").srcObject = state.stream;
  await byId("video").play();
  byId("video").hidden = byId("shoot").hidden = false;
  byId("shoot").focus();
}

async function shoot() {
  const video = byId("video");
  const pixels = pixelsOf(video, video.videoWidth, video.videoHeight, form());
  const canvas = element("canvas", { width: pixels.width, height: pixels.height });
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  for (const track of state.stream.getTracks()) track.stop();
  video.srcObject = null;
  video.hidden = byId("shoot").hidden = true;
  await compare("camera", pixels, canvas.toDataURL("image/jpeg"), await modelFor(pixels));
}

/** Calls `use` with the chosen files, and empties the input so that the same file can be chosen again. */
function onFiles(id, use) {
  byId(id).addEventListener("change", ({ target }) => {
    const files = [...target.files];
    target.value = "";
    if (files.length) inTurn(() => use(files));
  });
}

onFiles("bundle", (files) => useBundle(bundleOf(files)));
onFiles("photos", addToGallery);
onFiles("photo", async ([file]) => compare(file.name, await decoded(file, form()), URL.createObjectURL(file)));
byId("variant").addEventListener("change", () => inTurn(useModel));
byId("tap").addEventListener("change", () => inTurn(useTap));
byId("save").addEventListener("click", save);
byId("clear").addEventListener("click", () => inTurn(useTap));
byId("camera").addEventListener("click", () => inTurn(startCamera));
byId("shoot").addEventListener("click", () => inTurn(shoot));

const asked = new URLSearchParams(location.search).get("bundle");
if (asked) inTurn(() => useBundle(bundleAt(asked)));
