// The picture: live video where the vehicle speaks WebRTC, else its pictures one by one, with what it knows drawn on top.

import { Refused, ask } from "./api.js";
import { byId, element, mark, say, sleep } from "./dom.js";
import { draw, words } from "./overlay.js";
import { Whep } from "./whep.js";

// A picture that is older than this is not shown as if it were now.
const STALE_MS = 2500;

// Live video that broke is tried again after so long, which doubles up to the last.
const AGAIN_MS = [2000, 30_000];

export class Stage {
  camera = "";
  report = null;
  size = null;
  // When a picture was last shown.
  shown = -Infinity;
  wanted = true;
  privacy = false;

  constructor({ changed, told }) {
    Object.assign(this, { changed, told });
    this.still = byId("still");
    this.video = byId("video");
    this.canvas = byId("overlay");
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    byId("cameras").addEventListener("keydown", event => this.step(event));
    this.video.addEventListener("loadeddata", () => this.see());
    setInterval(() => this.judge(), 500);
  }

  // Begins to show pictures; until `stop`.
  start(visitor) {
    this.stop();
    this.leaving = new AbortController();
    this.visitor = visitor;
    if (this.camera) this.follow();
  }

  stop() {
    this.leaving?.abort();
    this.leaving = null;
    this.drop();
  }

  drop() {
    this.following?.abort();
    this.following = null;
    this.session?.end();
    this.session = null;
    this.video.srcObject = null;
  }

  // The newest report of the whole vehicle.
  hear(report) {
    // Whoever was sent away for privacy may look again.
    const again = this.privacy && !report.privacy && report.cameras.find(camera => camera.camera === this.camera)?.role === "cabin";
    this.privacy = report.privacy;
    const names = report.cameras.map(camera => camera.camera);
    if (names.join("\n") !== this.names) {
      this.names = names.join("\n");
      if (!names.includes(this.camera)) this.camera = names[0] || "";
      this.tabs(report.cameras);
      if (this.leaving) this.follow();
    } else if (again && this.leaving) this.follow();
    this.known = report;
    // A session says for each picture what is in it; there it is drawn.
    if (!this.session) this.tell(report.cameras.find(camera => camera.camera === this.camera) || null);
    this.judge();
  }

  tell(report) {
    this.report = report;
    this.draw();
  }

  tabs(cameras) {
    const made = cameras.map(camera => {
      const here = camera.camera === this.camera;
      const tab = element("button", { type: "button", role: "tab", "aria-selected": here, "aria-controls": "stage", tabindex: here ? 0 : -1 },
        camera.camera === camera.role ? camera.camera : `${camera.camera} (${camera.role})`);
      tab.addEventListener("click", () => this.choose(camera.camera));
      tab.dataset.camera = camera.camera;
      return tab;
    });
    byId("cameras").replaceChildren(...made);
  }

  choose(name) {
    if (name === this.camera) return;
    this.camera = name;
    for (const tab of byId("cameras").children) {
      mark(tab, "aria-selected", tab.dataset.camera === name);
      tab.tabIndex = tab.dataset.camera === name ? 0 : -1;
    }
    Object.assign(this, { report: null, size: null, shown: -Infinity, refused: "" });
    this.still.hidden = this.video.hidden = true;
    this.draw();
    if (this.leaving) this.follow();
  }

  step(event) {
    const tabs = [...event.currentTarget.children], by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by || tabs.length === 0) return;
    event.preventDefault();
    const tab = tabs[(tabs.indexOf(document.activeElement) + by + tabs.length) % tabs.length];
    tab.focus();
    tab.click();
  }

  // Shows the chosen camera, in the best way there is.
  async follow() {
    this.drop();
    this.sent = false;
    if (!this.camera) return;
    const leave = this.following = new AbortController();
    this.leaving.signal.addEventListener("abort", () => leave.abort(), { once: true });
    const signal = leave.signal;
    this.pictures(signal);
    let pause = AGAIN_MS[0];
    while (!signal.aborted && "RTCPeerConnection" in window) {
      try {
        const over = await this.live(signal);
        pause = AGAIN_MS[0];
        await over;
      } catch (error) {
        // A server without WebRTC is not asked again.
        if (error instanceof Refused && error.status === 404 && error.message === "there is nothing here") return;
        this.trouble = error instanceof Refused ? error.message : "";
      }
      this.session = null;
      this.changed();
      // Whoever was sent away does not come back by himself: another one may be watching.
      if (this.sent) return;
      await sleep(pause, signal);
      pause = Math.min(2 * pause, AGAIN_MS[1]);
    }
  }

  // Resolves when live video is there, with a promise of its end.
  async live(signal) {
    let lost;
    const over = new Promise(resolve => {
      lost = (why, sent) => {
        Object.assign(this, { trouble: why, sent });
        resolve();
      };
    });
    const session = await Whep.begin(this.camera, {
      talk: this.visitor.scopes.includes("talk"),
      told: message => this.message(message),
      lost,
      signal,
    });
    if (signal.aborted) {
      session.end();
      return Promise.resolve();
    }
    signal.addEventListener("abort", () => { session.end(); lost(""); }, { once: true });
    this.session = session;
    Object.assign(this, { trouble: "", sent: false });
    this.video.srcObject = session.stream;
    this.video.play().catch(() => {});
    this.watchVideo(session);
    this.changed();
    return over;
  }

  // A message of the data channel.
  message(message) {
    if (message.camera) {
      this.size = { width: message.width, height: message.height };
      this.tell(message.camera);
    }
    this.told(message);
  }

  // Counts pictures that are shown, where the browser tells.
  watchVideo(session) {
    const next = () => {
      if (session.over) return;
      this.see();
      this.video.requestVideoFrameCallback?.(next);
    };
    if (this.video.requestVideoFrameCallback) this.video.requestVideoFrameCallback(next);
    else this.video.ontimeupdate = next;
  }

  see() {
    this.shown = performance.now();
    if (this.session) {
      this.video.hidden = false;
      this.still.hidden = true;
    }
  }

  // Picture by picture, each asked for when the one before is there; as long as there is no video.
  async pictures(signal) {
    let after = "";
    while (!signal.aborted) {
      if (this.session) {
        await sleep(1000, signal);
        continue;
      }
      const camera = this.camera;
      try {
        const answer = await ask(`/api/cameras/${encodeURIComponent(camera)}/frame.jpg${after && `?after=${after}`}`, { signal });
        if (answer.status === 200) {
          after = answer.headers.get("x-frame") || "";
          await this.show(await answer.blob(), after);
          this.refused = "";
        }
      } catch (error) {
        if (signal.aborted) return;
        this.refused = error instanceof Refused ? error.message : "";
        after = "";
        await sleep(Math.max(1000, 1000 * (error.after || 0)), signal);
      }
    }
  }

  async show(blob, frame) {
    const url = URL.createObjectURL(blob);
    const before = this.still.src;
    this.still.src = url;
    try {
      await this.still.decode();
    } catch {
      return;
    } finally {
      if (before.startsWith("blob:")) URL.revokeObjectURL(before);
    }
    if (this.session && !this.video.hidden) return;
    this.shown = performance.now();
    this.still.hidden = false;
    this.still.alt = `Picture of the ${this.camera} camera`;
    this.size = { width: this.still.naturalWidth, height: this.still.naturalHeight };
    this.still.dataset.frame = frame;
    this.draw();
  }

  draw() {
    if (this.size?.width) byId("stage").style.aspectRatio = `${this.size.width} / ${this.size.height}`;
    draw(this.canvas, this.size || {}, this.report, this.wanted);
    const seen = this.report?.fresh ? this.report.objects.slice(0, 5).map(object => words(object)) : [];
    say(byId("scene-words"), seen.length ? `Seen: ${seen.join("; ")}.` : "Nothing is followed.");
  }

  // Says what is not as it should be, on the picture itself.
  judge() {
    const device = this.known?.devices.find(device => device.name === this.camera);
    const camera = this.known?.cameras.find(camera => camera.camera === this.camera);
    const hidden = this.privacy && camera?.role === "cabin";
    // Nor is what was seen before.
    if (hidden) {
      this.video.hidden = this.still.hidden = true;
      this.shown = -Infinity;
      this.refused = "";
    }
    const stale = performance.now() - this.shown > STALE_MS;
    let note = "";
    if (this.silent) note = this.silent;
    else if (!this.known) note = "Connecting…";
    else if (!this.known.cameras.length) note = "No camera.\nThis vehicle's config names none.";
    else if (hidden) note = "Privacy is on.\nNobody is watched inside of the vehicle.";
    else if (device && ["fault", "off"].includes(device.state)) note = `The ${this.camera} camera is not there.\n${device.reason}`;
    else if (stale) note = this.refused || (Number.isFinite(this.shown) ? "No new picture comes." : "Waiting for the first picture…");
    say(byId("stage-note"), note);
    byId("stage").classList.toggle("stale", note !== "");
    const kind = byId("stage-kind");
    kind.hidden = note !== "";
    say(kind, this.session ? "Live" : "Pictures");
    mark(byId("stage"), "data-way", this.session ? "live" : "pictures");
  }

  // A whole picture, as the camera gave it.
  async snapshot(name) {
    const answer = await ask(`/api/cameras/${encodeURIComponent(this.camera)}/frame.jpg`);
    if (answer.status !== 200) throw new Error("the camera gave no picture");
    const url = URL.createObjectURL(await answer.blob());
    const file = `${[name, this.camera, new Date().toISOString().replace(/[:.]/g, "-")].filter(Boolean).join("-")}.jpg`;
    const link = element("a", { href: url, download: file });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
    return file;
  }
}
