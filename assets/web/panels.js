// Numbers, sound, health and events: what the vehicle says of itself, in words.

import { byId, element, mark, say } from "./dom.js";
import { Plot, side } from "./plot.js";

const SIGNS = { active: "✓", degraded: "!", fault: "✕", standby: "…", off: "–" };
const STATES = { active: "active", degraded: "degraded", fault: "fault", standby: "standby", off: "off" };
const MOST_EVENTS = 250;

const plot = new Plot();

export function drive(report) {
  const { motion, position } = report;
  say(byId("speed"), motion.speed_kmh === null ? "–" : motion.speed_kmh.toFixed(0));
  const heading = motion.heading_deg;
  say(byId("heading"), heading === null ? "–" : `${heading.toFixed(0)}° ${side(heading)}`);
  say(byId("ahead"), report.distance_m === null ? "–" : `${report.distance_m.toFixed(1)} m`);
  const lane = report.cameras.find(camera => camera.role === "front")?.lane;
  const offset = lane?.offset_m ?? null;
  say(byId("lane"), offset === null ? "no lane" : Math.abs(offset) < 0.05 ? "centred" : `${Math.abs(offset).toFixed(2)} m ${offset > 0 ? "left" : "right"}`);
  say(byId("position"), position ? `${position.latitude_deg.toFixed(5)}, ${position.longitude_deg.toFixed(5)}` : "unknown");
  plot.add(position, heading);
}

// The loudest of the last moments, which falls back slowly.
let level = -96;

export function sound(report) {
  if (report.level_dbfs !== null) level = Math.max(report.level_dbfs, level - 1.5);
  const heard = report.devices.some(device => device.description !== undefined && /microphone/.test(device.name));
  const on = report.privacy ? "off: privacy is on" : heard || level > -96 ? `${level.toFixed(0)} dBFS` : "no microphone";
  const share = report.privacy ? 0 : Math.max(0, Math.min(1, (level + 60) / 60));
  byId("sound-level").style.transform = `scaleX(${share.toFixed(3)})`;
  mark(byId("sound-bar"), "aria-valuenow", Math.round(60 * share - 60));
  mark(byId("sound-bar"), "aria-valuetext", on);
  say(byId("sound-text"), on);
  mark(byId("speech"), "data-on", report.speaking);
  say(byId("speech"), report.speaking ? "Somebody speaks." : "Nobody speaks.");
}

function list(target, items) {
  const lines = items.map(([name, { state, reason }]) => {
    const line = element("li", { "data-state": state, "data-name": name },
      element("span", { class: "sign", "aria-hidden": "true" }, SIGNS[state] || "?"),
      element("span", { class: "name" }, name),
      element("span", { class: "state" }, STATES[state] || state));
    if (reason) line.append(element("span", { class: "why" }, reason));
    return line;
  });
  target.replaceChildren(...lines);
}

let told = "";

// How many devices and functions need attention.
export function health(report) {
  const functions = Object.entries(report.functions).map(([name, how]) => [name.replaceAll("_", " "), how]);
  const devices = report.devices.map(device => [device.name, { state: device.state, reason: device.reason }]);
  const now = JSON.stringify([devices, functions]);
  if (now !== told) {
    told = now;
    list(byId("devices"), devices);
    list(byId("functions"), functions);
  }
  return [...devices, ...functions].filter(([, how]) => ["degraded", "fault"].includes(how.state)).length;
}

let alarms = "";

export function alerts(found) {
  const now = JSON.stringify(found.map(alert => [alert.id, alert.level, alert.text]));
  if (now === alarms) return;
  alarms = now;
  byId("alerts").replaceChildren(...found.map(alert =>
    element("p", { class: "alert", "data-level": alert.level, "data-kind": alert.kind }, alert.text)));
}

const events = new Map();
let kind = "";

export function happened(news) {
  if (news.length === 0) return;
  for (const event of news) events.set(event.number, event);
  for (const number of [...events.keys()].sort((a, b) => a - b).slice(0, Math.max(0, events.size - MOST_EVENTS))) events.delete(number);
  timeline();
}

// Another run of the program counts its events anew.
export function forget() {
  level = -96;
  events.clear();
  timeline();
}

function timeline() {
  const shown = [...events.values()].filter(event => !kind || event.kind === kind).sort((a, b) => b.number - a.number);
  const target = byId("events"), top = target.scrollTop;
  const lines = shown.map(event => {
    const when = event.utc ? new Date(event.utc) : null;
    const time = element("time", when ? { datetime: event.utc, title: when.toLocaleString() } : {},
      when ? when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }) : `${(event.started_mono_ns / 1e9).toFixed(0)} s`);
    const text = element("span", { class: "text" }, element("b", {}, event.source.replaceAll("_", " ")), ` ${event.text}`);
    if (event.length_s === null) text.append(" ", element("span", { class: "on" }, "goes on"));
    else if (event.length_s >= 0.1 && event.kind === "alert") text.append(` (${event.length_s.toFixed(1)} s)`);
    return element("li", { "data-level": event.level, "data-kind": event.kind }, time,
      element("span", { class: "spot", role: "img", "aria-label": event.level }), text);
  });
  target.replaceChildren(...(lines.length ? lines : [element("li", { class: "none" }, "Nothing has happened yet.")]));
  target.scrollTop = top;
}

for (const button of document.querySelectorAll(".filters button")) {
  button.addEventListener("click", () => {
    kind = button.dataset.kind;
    for (const other of document.querySelectorAll(".filters button")) mark(other, "aria-pressed", other === button);
    timeline();
  });
}
