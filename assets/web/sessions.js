// Recorded drives, and the reports that the vehicle makes of them.

import { Refused, ask, json } from "./api.js";
import { byId, element, length, say, sleep } from "./dom.js";

const body = () => byId("sessions").tBodies[0];

export async function sessions() {
  try {
    const { sessions: found, reason } = await json("/api/sessions");
    say(byId("sessions-note"), reason || (found.length ? "" : "Nothing has been recorded yet."));
    byId("sessions").hidden = found.length === 0;
    body().replaceChildren(...found.map(line));
  } catch (error) {
    say(byId("sessions-note"), error instanceof Refused ? error.message : "The list cannot be had now.");
  }
}

function line(session) {
  const began = session.started_utc ? new Date(session.started_utc).toLocaleString([], { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" }) : session.name;
  const marks = [session.live && "in progress", session.preserved && "preserved", session.name].filter(Boolean).join(" · ");
  const last = element("td");
  const row = element("tr", { "data-session": session.key },
    element("td", {}, began, element("span", { class: "sub" }, marks)),
    element("td", {}, session.length_s === null ? "–" : length(session.length_s)),
    element("td", {}, `${(session.bytes / 1e6).toFixed(1)} MB`), last);
  state(last, session);
  return row;
}

function state(target, session) {
  if (session.report === "ready") {
    target.replaceChildren(element("a", { href: `/api/sessions/${session.key}/report`, target: "_blank", rel: "noopener" },
      "Open", element("span", { class: "unseen" }, ` the report of ${session.name}`)));
    return;
  }
  const making = session.report === "making";
  const button = element("button", { type: "button" }, making ? "Being made…" : "Make", element("span", { class: "unseen" }, ` the report of ${session.name}`));
  button.disabled = making;
  target.replaceChildren(button);
  if (session.problem) target.append(element("span", { class: "sub" }, session.problem));
  if (making) wait(target, session);
  button.addEventListener("click", async () => {
    try {
      await ask(`/api/sessions/${session.key}/report`, { method: "POST" });
      state(target, { ...session, report: "making" });
    } catch (error) {
      state(target, { ...session, report: "none", problem: error.message });
    }
  });
}

async function wait(target, session) {
  while (target.isConnected) {
    await sleep(1000);
    try {
      const now = await json(`/api/sessions/${session.key}`);
      if (now.report !== "making") return state(target, { ...session, ...now });
    } catch (error) {
      if (error instanceof Refused && error.status === 404) return sessions();
    }
  }
}
