// The operator's page in a real browser. The test that starts this starts the app, too.
//
//   node page.js URL TOKEN FOLDER
//
// Prints what it found as lines of JSON. Behind the line `restart` it waits for a line: the app is then a new one.

import { join } from "node:path";
import { createInterface } from "node:readline";
import { Operator, PATIENCE, tell } from "./operator.js";

const [url, token, folder] = process.argv.slice(2);
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const operator = await Operator.begin(folder, "--use-fake-ui-for-media-stream");
const { browser, page, complaints } = operator;
const text = selector => operator.text(selector);
const live = () => operator.live();
const faults = where => operator.faults(where);

// The door: what is wrong with a token is said.
await page.goto(url);
await faults("door");
await page.fill("#token", "short");
await page.click("#enter");
await page.fill("#token", "0123456789abcdef0123");
await page.click("#enter");
await page.waitForFunction(() => document.querySelector("#door-error").textContent !== "", null, PATIENCE);
tell("refused", await text("#door-error"));
await page.fill("#token", token);
await page.keyboard.press("Enter");
await live();

// The drive: the speed changes, devices are listed, a picture is there.
const speeds = new Set();
await page.waitForFunction(() => /^\d+$/.test(document.querySelector("#speed").textContent), null, PATIENCE);
for (let n = 0; n < 300 && speeds.size < 3; n++) {
  speeds.add(await text("#speed"));
  await page.waitForTimeout(100);
}
tell("speeds", [...speeds]);
await page.waitForFunction(() => document.querySelector("#stage-note").textContent === "", null, PATIENCE);
await page.waitForFunction(() => document.querySelectorAll("#devices li[data-state=active]").length >= 4, null, PATIENCE);
tell("devices", await page.locator("#devices .name").allTextContents());
tell("vehicle", await text("#vehicle"));
await page.waitForFunction(() => document.querySelector("#plot .way") && document.querySelector("#events li"), null, PATIENCE);

// Words and numbers, once there is something of each.
await page.waitForFunction(() => /\d° \w/.test(document.querySelector("#heading").textContent), null, PATIENCE);
await page.waitForFunction(() => /centred|\d m (left|right)/.test(document.querySelector("#lane").textContent), null, PATIENCE);
await page.waitForFunction(() => /-?\d+ dBFS/.test(document.querySelector("#sound-text").textContent), null, PATIENCE);
tell("words", await page.evaluate(() =>
  Object.fromEntries(["heading", "lane", "sound-text", "speech", "scene-words"].map(id => [id, document.getElementById(id).textContent]))));

// What is drawn: where, and that there is ink.
const boxes = [];
for (let n = 0; n < 1200 && boxes.length < 20; n++) {
  const found = await page.evaluate(() => {
    const canvas = document.querySelector("#overlay");
    if (!canvas.dataset.place) return [];
    const [left, top, scale] = JSON.parse(canvas.dataset.place), ink = canvas.getContext("2d");
    return JSON.parse(canvas.dataset.boxes).map(([frame, x, y, w, h]) => {
      // In the middle of its left edge, and far below it.
      const alpha = (dx, dy) => ink.getImageData(Math.round(left + dx * scale), Math.round(top + dy * scale), 1, 1).data[3];
      return { frame, box: [x, y, w, h], edge: alpha(x, y + h / 2) };
    });
  });
  boxes.push(...found.filter(one => !boxes.some(other => other.frame === one.frame && other.box[0] === one.box[0])));
  await page.waitForTimeout(50);
}
tell("boxes", boxes);
const way = await page.locator("#stage").getAttribute("data-way");
tell("way", way);
if (way === "live") {
  // Pictures are decoded, and whoever holds the space bar talks.
  const decoded = () => page.evaluate(() => document.querySelector("#video").getVideoPlaybackQuality().totalVideoFrames);
  const before = await decoded();
  await page.locator("#main").focus();
  await page.keyboard.down("Space");
  await page.waitForSelector("#talk[aria-pressed=true]", PATIENCE);
  await page.waitForFunction(() => document.querySelector("#talk-note").textContent === "You are heard in the vehicle.", null, PATIENCE);
  await page.waitForTimeout(5000);
  tell("talk", await text("#talk-note"));
  await page.keyboard.up("Space");
  await page.waitForSelector("#talk[aria-pressed=false]", PATIENCE);
  tell("decoded", await decoded() - before);
}
await page.screenshot({ path: join(folder, "page.png"), fullPage: true });
await faults("view");

// A switch goes there and comes back.
for (const on of ["true", "false"]) {
  await page.click("#privacy");
  await page.waitForSelector(`#privacy[aria-checked=${on}]`, PATIENCE);
  tell("privacy", await text("#said"));
}

// A snapshot is a file.
const [download] = await Promise.all([page.waitForEvent("download", PATIENCE), page.click("#snapshot")]);
await download.saveAs(join(folder, "snapshot.jpg"));

// A drive has a report, which asks this server for nothing.
await page.click("#sessions-again");
await page.locator("#sessions tbody button").first().click(PATIENCE);
const link = page.locator("#sessions tbody a").first();
// It is made by a thread that stands back behind everything else on this computer.
await link.waitFor({ timeout: 300_000 });
const [report] = await Promise.all([browser.waitForEvent("page", PATIENCE), link.click()]);
await report.waitForFunction(() => document.querySelector("#verdict")?.textContent.length > 30 || document.querySelectorAll("section").length > 2, null, PATIENCE);
tell("report", [await report.title(), await report.evaluate(() => window.origin)]);
await report.close();

// A new app in the old one's place.
tell("restart", null);
await page.waitForFunction(() => document.body.dataset.state === "lost", null, PATIENCE);
tell("lost", await text("#link-text"));
await answers.next();
await live();
await page.waitForFunction(() => document.querySelector("#stage-note").textContent === "", null, PATIENCE);
tell("again", await text("#link-text"));

// By keyboard alone, on a phone, in the dark.
await page.emulateMedia({ colorScheme: "dark", reducedMotion: "reduce" });
await page.setViewportSize({ width: 360, height: 740 });
await page.waitForTimeout(300);
tell("width", await page.evaluate(() => document.documentElement.scrollWidth));
await page.screenshot({ path: join(folder, "phone.png"), fullPage: true });
await faults("phone");
await page.locator("#recording").focus();
await page.keyboard.press("Space");
await page.waitForSelector("#recording[aria-checked=false]", PATIENCE);
await page.locator("#leave").focus();
await page.keyboard.press("Enter");
await page.waitForSelector("#door:not([hidden])", PATIENCE);
tell("kept", await page.evaluate(() => sessionStorage.length + localStorage.length));
tell("complaints", complaints);
await browser.close();
tell("done", null);
process.exit(0);
