// Uses the page as a reader would, in headless Chromium, and prints what it gave as JSON.
// node page.mjs '{"chromium", "url", "variant", "tap", "gallery": [paths], "photo": path, "screenshots": folder | null}'

import { readFile } from "node:fs/promises";
import { chromium } from "playwright-core";

const asked = JSON.parse(process.argv[2]);
const browser = await chromium.launch({
  executablePath: asked.chromium,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
  ],
});
try {
  console.log(JSON.stringify(await use(browser)));
} finally {
  await browser.close();
}

async function use(browser) {
  const context = await browser.newContext({ colorScheme: "light", viewport: { width: 900, height: 900 } });
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.goto(asked.url);
  await settled(page);
  if (asked.picked) await page.locator("#bundle").setInputFiles(asked.picked);
  if (asked.variant) await page.getByLabel("Variant").selectOption(asked.variant);
  if (asked.tap) await page.getByLabel("Tap").selectOption(asked.tap);
  await settled(page);
  const error = async () => ((await page.getByRole("alert").isVisible()) ? page.getByRole("alert").textContent() : null);
  const opened = { model: await page.locator("#model-status").textContent(), error: await error() };
  if (opened.error || !asked.gallery) return { opened, complaints };

  await page.getByLabel("Add photos or a .jsonl").setInputFiles(asked.gallery);
  await settled(page);
  const galleryError = await error();
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Save as .jsonl" }).click(),
  ]);
  const gallery = await readFile(await download.path(), "utf8");

  await page.getByLabel("Choose a photo").setInputFiles(asked.photo);
  await settled(page);
  const nearest = await page.locator("#nearest li").evaluateAll((rows) =>
    rows.map((row) => ({
      name: row.querySelector(".name").textContent,
      cosine: Number(row.querySelector(".cosine").textContent.replace("cosine ", "")),
    })),
  );
  const spent = await page.locator("#photo-status").textContent();
  if (asked.screenshots) await pictures(page);

  await page.getByRole("button", { name: "Use the camera" }).click();
  await page.getByRole("button", { name: "Take the photo" }).click();
  await settled(page);
  const camera = await page.locator("#photo-status").textContent();
  const unlabelled = await page.locator("input, select, button, img").evaluateAll((controls) =>
    controls
      .filter((one) => one.tagName === "IMG" ? !one.hasAttribute("alt") : !(one.labels?.length || one.textContent.trim()))
      .map((one) => one.outerHTML),
  );
  return { opened, galleryError, gallery, nearest, spent, camera, unlabelled, error: await error(), complaints };
}

async function settled(page) {
  await page.waitForFunction(() => !document.body.hasAttribute("aria-busy"), null, { timeout: 120_000 });
}

async function pictures(page) {
  const looks = [
    ["light", 900],
    ["dark", 900],
    ["light", 375],
    ["dark", 375],
  ];
  for (const [colorScheme, width] of looks) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 800 });
    const wider = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    if (wider) throw new Error(`at ${width} pixels the page has to be scrolled sideways`);
    await page.screenshot({ path: `${asked.screenshots}/${colorScheme}-${width}.png`, fullPage: true });
  }
}
