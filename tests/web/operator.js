// An operator at a real browser, for the tests of the page. What is found is printed as lines of JSON.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const tell = (what, value) => console.log(JSON.stringify({ what, value }));
export const PATIENCE = { timeout: 60_000 };

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--use-fake-device-for-media-stream", "--autoplay-policy=no-user-gesture-required"];

export class Operator {
  // A browser with a profile of its own in `folder`, started with one more flag.
  static async begin(folder, flag) {
    const operator = new Operator();
    operator.browser = await chromium.launchPersistentContext(join(folder, "profile"), {
      executablePath: "/usr/bin/chromium", headless: true, args: [...FLAGS, flag], viewport: { width: 1280, height: 900 }, colorScheme: "light",
    });
    const page = operator.page = operator.browser.pages()[0] ?? await operator.browser.newPage();
    const complaints = operator.complaints = [];
    page.on("pageerror", error => complaints.push(error.message));
    page.on("console", message => {
      // A browser reports every answer that is none, by itself.
      if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) complaints.push(message.text());
    });
    return operator;
  }

  text(selector) {
    return this.page.locator(selector).textContent();
  }

  // Waits until the vehicle is heard.
  live() {
    return this.until(() => ["live", "degraded"].includes(document.body.dataset.state));
  }

  // Waits for what becomes true in the page.
  until(condition, patience = PATIENCE) {
    return this.page.waitForFunction(condition, null, patience);
  }

  async enter(url, token) {
    await this.page.goto(url);
    await this.page.fill("#token", token);
    await this.page.keyboard.press("Enter");
    await this.live();
  }

  // Tells what keeps people out who cannot see or point.
  async faults(where) {
    await this.page.evaluate(axe);
    const found = await this.page.evaluate(() => axe.run());
    const serious = found.violations.filter(rule => ["serious", "critical"].includes(rule.impact));
    tell("faults", serious.map(rule => `${where}: ${rule.id}: ${rule.nodes.map(node => node.target.join(" ")).join(", ")}`));
  }
}
