// Push-to-talk: while the button or the space bar is held, whoever sits here is heard in the vehicle.

import { byId, mark, say } from "./dom.js";

// After so long without a word the browser's sign that it listens goes out.
const QUIET_MS = 15_000;

export class Talk {
  constructor(stage) {
    this.stage = stage;
    this.button = byId("talk");
    this.button.addEventListener("pointerdown", event => {
      if (event.button !== 0) return;
      this.button.setPointerCapture?.(event.pointerId);
      this.press();
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) this.button.addEventListener(name, () => this.release());
    this.button.addEventListener("contextmenu", event => event.preventDefault());
    document.addEventListener("keydown", event => {
      if (this.isKey(event) && !event.repeat) { event.preventDefault(); this.press(); }
      else if (this.isKey(event)) event.preventDefault();
    });
    document.addEventListener("keyup", event => { if (event.code === "Space" && this.held) { event.preventDefault(); this.release(); } });
    window.addEventListener("blur", () => this.release());
    document.addEventListener("visibilitychange", () => this.release());
  }

  // The space bar means talking everywhere but where it means something else already.
  isKey(event) {
    const target = event.target instanceof Element ? event.target : document.body;
    return event.code === "Space" && (target === this.button || !target.closest("button, input, a, select, textarea, [tabindex]:not(main)"));
  }

  // Why nobody can talk; empty where somebody can.
  why(visitor) {
    if (!visitor) return "";
    if (!visitor.scopes.includes("talk")) return "Talking needs a token with the scope “talk”.";
    if (!window.isSecureContext || !navigator.mediaDevices?.getUserMedia) {
      return "Talking needs HTTPS: browsers give a microphone to no other page. “waywarden init --certificate NAME” makes a certificate.";
    }
    if (!this.stage.session) return "Talking needs live video, which is not there.";
    return this.refused || "";
  }

  // What the vehicle says of this voice.
  hear({ heard, delay_ms: delay }) {
    this.heard = heard;
    this.delay = delay;
    this.stage.changed();
  }

  // That it is heard, and how late, as far as the vehicle knows.
  isHeard() {
    return this.delay ? `You are heard in the vehicle, ${(this.delay / 1000).toFixed(1)} s later.` : "You are heard in the vehicle.";
  }

  show(visitor) {
    const why = this.why(visitor);
    // What was refused once may be tried again.
    this.button.disabled = why !== "" && why !== this.refused;
    say(byId("talk-note"), why || (!this.held ? "Hold the button or the space bar." : this.heard ? this.isHeard() : "Not heard yet…"));
    say(byId("talk-text"), this.held ? "Talking…" : "Hold to talk");
    mark(this.button, "aria-pressed", Boolean(this.held));
  }

  async press() {
    const session = this.stage.session;
    if (this.held || this.button.disabled || !session) return;
    const held = this.held = {};
    this.refused = "";
    try {
      this.microphone ??= await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true } });
      const [track] = this.microphone.getAudioTracks();
      // Let go while the browser asked.
      if (this.held === held) await session.speak(track);
      if (this.held !== held) await session.speak(null);
      this.speaking = session;
    } catch (error) {
      this.held = null;
      this.refused = error.name === "NotAllowedError" ? "This browser was told not to give the microphone to this page."
        : error.name === "NotFoundError" ? "This device has no microphone." : `No talking: ${error.message}`;
    }
    this.stage.changed();
  }

  async release() {
    if (!this.held) return;
    this.held = null;
    this.heard = false;
    await this.speaking?.speak(null).catch(() => {});
    clearTimeout(this.quiet);
    this.quiet = setTimeout(() => {
      if (this.held) return;
      this.microphone?.getTracks().forEach(track => track.stop());
      this.microphone = null;
    }, QUIET_MS);
    this.stage.changed();
  }
}
