// The operator's page of a vehicle. It shows what the vehicle says, and gives it commands; it decides nothing.

import { Refused, ask, command, events, isToken, json, use } from "./api.js";
import { byId, mark, say, sleep } from "./dom.js";
import * as panels from "./panels.js";
import { sessions } from "./sessions.js";
import { Stage } from "./stage.js";
import { Talk } from "./talk.js";

// Nothing was heard for so long: the connection is dead, whatever the browser thinks.
const SILENT_MS = 7000;

// Words and numbers change no more often than this.
const LOOK_MS = 150;

const KEPT = "waywarden-token";

let visitor = null;
let running = null;
let newest = null;
let boot = "";

const stage = new Stage({ changed: show, told: message => { if (message.talk) talk.hear(message.talk); } });
const talk = new Talk(stage);

function link(state, text) {
  mark(byId("link"), "data-state", state);
  say(byId("link-text"), text);
}

function show() {
  talk.show(visitor);
  const listen = byId("listen");
  listen.hidden = !stage.session?.stream.getAudioTracks().length;
  mark(listen, "aria-pressed", !stage.video.muted);
  byId("again").hidden = !stage.sent;
  if (stage.trouble) say(byId("said"), `No live video: ${stage.trouble}`);
}

function switches(report) {
  const may = Boolean(visitor?.scopes.includes("command"));
  for (const name of ["privacy", "recording"]) {
    const button = byId(name);
    if (button.getAttribute("aria-busy") === "true") continue;
    mark(button, "aria-checked", report[name]);
    button.disabled = !may;
    button.title = may ? "" : "This needs a token with the scope “command”.";
  }
}

let looked = 0;

function hear(report) {
  newest = report;
  stage.hear(report);
  panels.alerts(report.alerts);
  const now = performance.now();
  if (now - looked < LOOK_MS) return;
  looked = now;
  panels.drive(report);
  panels.sound(report);
  const troubled = panels.health(report);
  switches(report);
  const when = report.utc ? new Date(report.utc) : null;
  say(byId("clock"), when ? when.toLocaleString([], { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" }) : "date unknown");
  if (when) byId("clock").dateTime = report.utc;
  if (troubled) link("care", troubled === 1 ? "Live, 1 thing needs attention" : `Live, ${troubled} things need attention`);
  else link("good", "Live");
  document.body.dataset.state = troubled ? "degraded" : "live";
}

// Watches until the connection ends or `signal` says so.
async function watch(signal) {
  const over = new AbortController();
  const end = () => over.abort();
  signal.addEventListener("abort", end, { once: true });
  let heard = performance.now();
  const guard = setInterval(() => { if (performance.now() - heard > SILENT_MS) end(); }, 1000);
  const renew = setInterval(() => begin().catch(() => {}), 5 * 60_000);
  try {
    const answer = await ask("/api/scenes", { signal: over.signal, headers: { accept: "text/event-stream" } });
    stage.silent = "";
    stage.start(visitor);
    show();
    sessions();
    for await (const [name, data] of events(answer, () => { heard = performance.now(); })) {
      if (signal.aborted) return;
      if (name === "scene") hear(data);
      else if (name === "events") panels.happened(data);
    }
  } finally {
    clearInterval(guard);
    clearInterval(renew);
    signal.removeEventListener("abort", end);
    over.abort();
    talk.release();
    stage.stop();
    show();
  }
}

// Begins a session of this browser, and says who it is.
async function begin() {
  visitor = await json("/session", { method: "POST" });
  if (visitor.run !== boot) {
    boot = visitor.run;
    panels.forget();
  }
  say(byId("vehicle"), visitor.vehicle || "");
  document.title = visitor.vehicle ? `${visitor.vehicle} · Waywarden` : "Waywarden";
  return visitor;
}

function inside(is) {
  byId("door").hidden = is;
  byId("vehicle-view").hidden = !is;
  byId("leave").hidden = !is;
}

async function connect(token, keep) {
  running?.abort();
  const mine = running = new AbortController();
  use(token);
  link("care", "Connecting…");
  byId("enter").disabled = true;
  say(byId("door-error"), "");
  let pause = 500, known = false;
  while (!mine.signal.aborted) {
    let wait = 0;
    try {
      await begin();
      if (!visitor.scopes.includes("view")) throw new Refused(403, `The token “${visitor.name}” does not allow to see anything: it lacks the scope “view”.`);
      if (!known) {
        known = true;
        store(token, keep);
        inside(true);
        byId("main").focus({ preventScroll: true });
      }
      pause = 500;
      await watch(mine.signal);
    } catch (error) {
      if (mine.signal.aborted) return;
      if (error instanceof Refused && [401, 403].includes(error.status)) return leave(error.status === 401 ? "The vehicle does not know this token." : error.message);
      if (error instanceof Refused && error.status === 429 && !known) return leave(`Too many wrong tokens. Try again in ${error.after} s.`);
      if (!known && !(error instanceof Refused) && pause > 2000) return leave("The vehicle does not answer.");
      wait = error instanceof Refused ? 1000 * error.after : 0;
    }
    if (mine.signal.aborted) return;
    document.body.dataset.state = "lost";
    link("bad", "Connection lost, trying again…");
    stage.silent = "The connection to the vehicle is lost.\nIt is tried again.";
    stage.judge();
    await sleep(Math.max(pause, wait), mine.signal);
    pause = Math.min(1.6 * pause, 4000);
  }
}

function store(token, keep) {
  try {
    sessionStorage.setItem(KEPT, token);
    if (keep) localStorage.setItem(KEPT, token);
  } catch { /* A browser that keeps nothing asks again. */ }
}

function leave(why) {
  running?.abort();
  running = null;
  visitor = null;
  try {
    sessionStorage.removeItem(KEPT);
    localStorage.removeItem(KEPT);
  } catch { /* Nothing was kept. */ }
  link("off", "Not connected");
  document.body.dataset.state = "closed";
  say(byId("door-error"), why);
  byId("enter").disabled = false;
  inside(false);
  byId("token").value = "";
  byId("token").focus();
}

byId("door").addEventListener("submit", event => {
  event.preventDefault();
  const token = byId("token").value.trim();
  if (!isToken(token)) {
    say(byId("door-error"), "A token is 16 or more letters, digits and signs.");
    return;
  }
  connect(token, byId("keep").checked);
});

byId("leave").addEventListener("click", async () => {
  await ask("/session", { method: "DELETE" }).catch(() => {});
  leave("");
});

// Gives a command, and says what came of it.
async function order(button, name, fields, done) {
  button.setAttribute("aria-busy", "true");
  try {
    const reply = await command(name, fields);
    say(byId("said"), done(reply));
  } catch (error) {
    say(byId("said"), `${name}: ${error.message}`);
  } finally {
    button.removeAttribute("aria-busy");
    if (newest) switches(newest);
  }
}

for (const name of ["privacy", "recording"]) {
  byId(name).addEventListener("click", event => {
    const on = event.currentTarget.getAttribute("aria-checked") !== "true";
    order(event.currentTarget, name, { value: on ? "on" : "off" }, reply => `${reply.reason}.`);
  });
}

byId("snapshot").addEventListener("click", async event => {
  const button = event.currentTarget;
  button.disabled = true;
  try {
    say(byId("said"), `Saved as ${await stage.snapshot(visitor?.vehicle)}.`);
  } catch (error) {
    say(byId("said"), `No snapshot: ${error.message}`);
  }
  button.disabled = false;
});

byId("draw").addEventListener("click", event => {
  stage.wanted = !stage.wanted;
  mark(event.currentTarget, "aria-pressed", stage.wanted);
  stage.draw();
});

byId("listen").addEventListener("click", () => {
  stage.video.muted = !stage.video.muted;
  stage.video.play().catch(() => {});
  show();
});

byId("full").addEventListener("click", () => {
  if (document.fullscreenElement) document.exitFullscreen();
  else byId("stage").requestFullscreen?.().catch(() => {});
});
byId("full").hidden = !document.fullscreenEnabled;

byId("again").addEventListener("click", () => stage.follow());

// Foxglove can be told an address and nothing else: it gets one that lets in once.
byId("foxglove").addEventListener("click", async () => {
  try {
    const { path, seconds } = await json("/foxglove", { method: "POST" });
    const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
    await navigator.clipboard?.writeText(address).catch(() => {});
    say(byId("said"), `For Foxglove, within ${seconds} s, once: ${address}`);
  } catch (error) {
    say(byId("said"), `No address for Foxglove: ${error.message}`);
  }
});

byId("sessions-again").addEventListener("click", () => sessions());

// What is not looked at costs the vehicle nothing.
let hidden = null;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hidden);
  if (document.hidden) hidden = setTimeout(() => stage.stop(), 10_000);
  else if (visitor && !stage.leaving) stage.start(visitor);
});
window.addEventListener("pagehide", () => stage.stop());

const kept = (() => {
  try { return sessionStorage.getItem(KEPT) || localStorage.getItem(KEPT); } catch { return null; }
})();
if (kept && isToken(kept)) connect(kept, false);
else byId("token").focus();
