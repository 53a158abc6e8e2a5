// What the page says when something is not as it should be, in a real browser that gives no microphone.
//
//   node states.js FOLDER URL TOKEN URL_OF_BARE TOKEN_OF_BARE
//
// The first vehicle drives, with cameras ahead and inside; the second one has next to nothing. Prints what it found as lines of JSON.

import { join } from "node:path";
import { Operator, PATIENCE, tell } from "./operator.js";

const [folder, url, token, bare, bareToken] = process.argv.slice(2);
const operator = await Operator.begin(folder, "--use-fake-ui-for-media-stream=deny");
const { browser, page } = operator;
const text = selector => operator.text(selector);
const seen = () => operator.until(() => document.querySelector("#stage-note").textContent === "");
const chosen = () => page.locator("#cameras [aria-selected=true]").getAttribute("data-camera");
const pictures = () => page.evaluate(() => [...document.querySelectorAll("#video, #still")].filter(one => !one.hidden).length);

await operator.enter(url, token);
await seen();

// Cameras by keyboard.
await page.locator("#cameras [aria-selected=true]").focus();
const tabs = [await chosen()];
for (const key of ["ArrowRight", "ArrowRight", "ArrowLeft"]) {
  await page.keyboard.press(key);
  tabs.push(await chosen());
}
tell("tabs", tabs);
await operator.until(() => document.querySelector("#stage-note").textContent === "" && document.querySelector("#stage").dataset.way);

// Nobody is watched inside, not even on a picture that was there before; and it comes back by itself.
await page.click("#privacy");
await operator.until(() => document.querySelector("#stage-note").textContent.startsWith("Privacy is on."));
await page.waitForTimeout(1500);
tell("private", [await text("#stage-note"), await pictures()]);
await page.click("#privacy");
await seen();
tell("public", await pictures());
await page.locator("#cameras [aria-selected=true]").focus();
await page.keyboard.press("ArrowLeft");
await seen();

// No microphone is given, and that is said. What the vehicle hears is listened to.
await operator.until(() => document.querySelector("#stage").dataset.way === "live");
await page.locator("#main").focus();
await page.keyboard.down("Space");
await operator.until(() => /told not to/.test(document.querySelector("#talk-note").textContent));
tell("denied", await text("#talk-note"));
await page.keyboard.up("Space");
await page.click("#listen");
await page.waitForSelector("#listen[aria-pressed=true]", PATIENCE);
await operator.until(() => {
  const video = document.querySelector("#video");
  // A track is muted for as long as nothing comes.
  return !video.muted && !video.paused && video.srcObject.getAudioTracks().some(track => !track.muted);
});

// A warning, what is nearing, and the warnings among all events.
const LONG = { timeout: 150_000 };
await page.waitForSelector("#alerts .alert", LONG);
tell("alert", await page.evaluate(() => {
  const { textContent: text, dataset: { level, kind } } = document.querySelector("#alerts .alert") ?? { dataset: {} };
  return { text, level, kind };
}));
await page.screenshot({ path: join(folder, "warning.png"), fullPage: true });
await operator.until(() => /nearing \d+ km\/h/.test(document.querySelector("#scene-words").textContent), LONG);
tell("nearing", await text("#scene-words"));
await page.click(".filters button[data-kind=alert]");
tell("events", await page.evaluate(() => [...document.querySelectorAll("#events li")].map(line => line.dataset.kind ?? "none")));
await operator.faults("a warning");

// Next to nothing.
await page.click("#leave");
await operator.enter(bare, bareToken);
await operator.until(() => document.querySelector("#stage-note").textContent.startsWith("No camera."));
await operator.until(() => document.body.dataset.state === "degraded");
tell("bare", await page.evaluate(() => ({
  note: document.querySelector("#stage-note").textContent,
  link: document.querySelector("#link-text").textContent,
  sound: document.querySelector("#sound-text").textContent,
  attention: [...document.querySelectorAll(".devices li:is([data-state=degraded], [data-state=fault])")].map(line => line.textContent),
  why: document.querySelector("#devices [data-name=speaker] .why")?.textContent,
})));
await operator.faults("bare");
await page.screenshot({ path: join(folder, "bare.png"), fullPage: true });
tell("complaints", operator.complaints);
await browser.close();
tell("done", null);
process.exit(0);
