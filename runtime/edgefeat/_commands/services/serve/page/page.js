// The page of `edgefeat serve`: sends photos to /features or /search, one at a time, and shows what comes back.

const element = (id) => document.getElementById(id);
const NEIGHBOURS = 12;
// A camera's picture is sent at this height: the server scales it down further.
const CAMERA_HEIGHT = 480;

let info = null;
let token = sessionStorage.getItem("edgefeat-token") ?? "";
let stream = null;
let waiting = Promise.resolve();

async function ask(path, body) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const begun = performance.now();
  const answer = await fetch(path, { method: body === undefined ? "GET" : "POST", body, headers });
  const value = await answer.json();
  if (answer.status === 401) {
    element("token-form").hidden = false;
  }
  if (!answer.ok) {
    throw new Error(value.error ?? `the server answers with status ${answer.status}`);
  }
  return { value, took: performance.now() - begun };
}

async function start() {
  element("address").textContent = `${location.origin}/`;
  try {
    info = (await ask("/info")).value;
  } catch (error) {
    element("about").textContent = error.message;
    return;
  }
  element("token-form").hidden = true;
  element("bundle").textContent = info.bundle;
  document.title = `${info.bundle} – edgefeat`;
  const shapes = info.taps.map((tap) => `${tap.name} ${tap.shape.join(" × ")}`).join(", ");
  const photos = info.database?.photos;
  const database = photos == null ? "" : ` Neighbours come from ${photos.toLocaleString("en")} photos.`;
  element("about").textContent = `${info.variant} on ${info.engine}, feature ${shapes}.${database}`;
}

async function measured(photo) {
  const tap = info && info.taps.length > 1 ? `tap=${encodeURIComponent(info.taps[0].name)}` : "";
  const feature = await ask(`/features?${tap}`, photo);
  const found = info?.database ? await ask(`/search?k=${NEIGHBOURS}&thumbnails=${NEIGHBOURS}&${tap}`, photo) : null;
  return { ...feature, found };
}

function draw(canvas, feature) {
  const values = feature.flat(Infinity);
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  context.clearRect(0, 0, width, height);
  context.fillStyle = getComputedStyle(canvas).color;
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-12);
  const least = values.reduce((some, value) => Math.min(some, value), 0);
  const base = least < 0 ? height / 2 : height;
  for (let x = 0; x < width; x += 1) {
    const first = Math.floor((x * values.length) / width);
    const last = Math.max(first + 1, Math.floor(((x + 1) * values.length) / width));
    const value = values.slice(first, last).reduce((most, one) => (Math.abs(one) > Math.abs(most) ? one : most), 0);
    const size = (value / largest) * base;
    context.fillRect(x, Math.min(base, base - size), 1, Math.abs(size));
  }
  return values.length;
}

function showTimes(list, { value, took, found }) {
  const { wait, prepare, engine } = value.milliseconds;
  const entries = [["wait", wait], ["decode", prepare], ["network", engine], ["with transfer", took]];
  if (found) {
    entries.push(["search", found.value.milliseconds.search]);
  }
  list.replaceChildren(
    ...entries.map(([name, milliseconds]) => {
      const group = document.createElement("div");
      const term = document.createElement("dt");
      const said = document.createElement("dd");
      term.textContent = name;
      said.textContent = `${milliseconds.toFixed(1)} ms`;
      group.append(term, said);
      return group;
    }),
  );
}

function showNeighbours(list, neighbours) {
  list.replaceChildren(
    ...neighbours.map((one) => {
      const item = document.createElement("li");
      const name = document.createElement("span");
      const cosine = document.createElement("span");
      let image;
      if (one.thumbnail) {
        image = document.createElement("img");
        image.src = one.thumbnail;
        image.alt = "";
      } else {
        image = document.createElement("div");
        image.className = "none";
        image.textContent = "no preview";
      }
      name.textContent = one.path.split(/[\\/]/).pop();
      name.title = one.path;
      cosine.className = "cosine";
      cosine.textContent = one.cosine.toFixed(4);
      item.append(image, name, cosine);
      return item;
    }),
  );
}

function showError(place, error) {
  place.textContent = error.message;
  place.hidden = false;
}

function add(file) {
  const item = element("result").content.firstElementChild.cloneNode(true);
  const image = item.querySelector("img");
  const url = URL.createObjectURL(file);
  image.src = url;
  image.addEventListener("load", () => URL.revokeObjectURL(url), { once: true });
  image.addEventListener("error", () => (image.hidden = true), { once: true });
  item.querySelector("h3").textContent = file.name;
  item.querySelector(".shape").textContent = "waiting …";
  element("results").prepend(item);
  element("clear").hidden = false;
  // One after another: the server has other clients.
  waiting = waiting.then(() => fill(item, file));
}

async function fill(item, file) {
  const shape = item.querySelector(".shape");
  try {
    const answer = await measured(file);
    const { value, found } = answer;
    const count = draw(item.querySelector("canvas"), value.feature);
    shape.textContent = `${count.toLocaleString("en")} numbers`;
    showTimes(item.querySelector(".times"), answer);
    item.querySelector("pre").textContent = JSON.stringify(value.feature);
    item.querySelector("details").hidden = false;
    showNeighbours(item.querySelector(".neighbours"), found?.value.neighbours ?? []);
  } catch (error) {
    shape.textContent = "";
    item.querySelector("canvas").hidden = true;
    showError(item.querySelector(".error"), error);
  }
}

async function openCamera() {
  try {
    if (!navigator.mediaDevices) {
      throw new Error("Browsers open the camera only for pages from https or localhost. Choose photos instead.");
    }
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    element("live").hidden = false;
    showError(element("live-error"), error);
    return;
  }
  element("live-error").hidden = true;
  element("live").hidden = false;
  element("video").srcObject = stream;
  follow(element("video"));
}

async function follow(video) {
  const canvas = document.createElement("canvas");
  while (stream) {
    try {
      if (video.videoWidth) {
        canvas.height = Math.min(CAMERA_HEIGHT, video.videoHeight);
        canvas.width = Math.round((canvas.height * video.videoWidth) / video.videoHeight);
        canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
        const photo = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
        const answer = await measured(photo);
        draw(element("live-bars"), answer.value.feature);
        showTimes(element("live-times"), answer);
        showNeighbours(element("live-neighbours"), answer.found?.value.neighbours ?? []);
        element("live-error").hidden = true;
      }
    } catch (error) {
      showError(element("live-error"), error);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function closeCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  element("live").hidden = true;
}

element("files").addEventListener("change", (event) => {
  [...event.target.files].forEach(add);
  event.target.value = "";
});
element("camera").addEventListener("click", openCamera);
element("close").addEventListener("click", closeCamera);
element("clear").addEventListener("click", () => {
  element("results").replaceChildren();
  element("clear").hidden = true;
});
element("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = element("token").value.trim();
  sessionStorage.setItem("edgefeat-token", token);
  start();
});
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    element("drop").classList.add("over");
  });
}
for (const name of ["dragleave", "drop"]) {
  document.addEventListener(name, () => element("drop").classList.remove("over"));
}
document.addEventListener("drop", (event) => {
  event.preventDefault();
  [...event.dataTransfer.files].forEach(add);
});
start();
