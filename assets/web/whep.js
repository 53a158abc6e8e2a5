// Live video by WHEP (draft-ietf-wish-whep): an offer is posted, an answer comes back with a place at which the session is ended.

import { Refused, ask, bearer } from "./api.js";

// How long a picture may take to be there.
const PATIENCE_MS = 10_000;

// Servers that help to find a way to the vehicle, with what lets this browser use them for a while. A server that does not say is
// done without.
async function servers(signal) {
  let links;
  try {
    links = (await ask("/whep", { method: "OPTIONS", signal })).headers.get("link") ?? "";
  } catch {
    return [];
  }
  const server = /<([^>]+)>; rel="ice-server"(?:; username="([^"]*)"; credential="([^"]*)")?/g;
  return [...links.matchAll(server)].map(([, urls, username, credential]) => ({ urls, ...(username ? { username, credential } : {}) }));
}

// A session with one camera. `told` hears each message of the data channel, `lost` that the session is over.
export class Whep {
  // Throws `Refused` where the server does not do it; 404 where it knows no WebRTC at all.
  static async begin(camera, { talk, told, lost, signal }) {
    const session = new Whep();
    try {
      await session.offer(camera, { talk, told, lost, signal });
      return session;
    } catch (error) {
      session.end();
      throw error;
    }
  }

  async offer(camera, { talk, told, lost, signal }) {
    const peer = this.peer = new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers: await servers(signal) });
    peer.addTransceiver("video", { direction: "recvonly" });
    // Who may talk has a place for his voice from the start; until he talks nothing is sent.
    this.audio = peer.addTransceiver("audio", { direction: talk ? "sendrecv" : "recvonly" });
    const data = peer.createDataChannel("scene", { ordered: false, maxRetransmits: 0 });
    data.onmessage = event => {
      if (this.over) return;
      const message = JSON.parse(event.data);
      // The vehicle says why it hangs up: somebody else watches now, nobody may.
      if (message.ended) this.lose(why => lost(why, true), message.ended);
      else told(message);
    };
    this.stream = new MediaStream();
    peer.ontrack = event => {
      this.stream.addTrack(event.track);
      // A picture is to be seen as it comes, whatever the sound does.
      if ("jitterBufferTarget" in event.receiver) event.receiver.jitterBufferTarget = 0;
    };
    const candidates = [];
    peer.onicecandidate = event => {
      candidates.push(event.candidate);
      this.trickle(candidates);
    };
    peer.onconnectionstatechange = () => {
      const state = peer.connectionState;
      if (state === "connected") this.connected?.();
      if (["failed", "closed"].includes(state)) this.lose(lost, "the connection broke");
      if (state === "disconnected") setTimeout(() => peer.connectionState === "disconnected" && this.lose(lost, "the connection broke"), 4000);
    };
    await peer.setLocalDescription(await peer.createOffer());
    const answer = await ask(`/whep?camera=${encodeURIComponent(camera)}`, {
      method: "POST", headers: { "content-type": "application/sdp", accept: "application/sdp" }, body: peer.localDescription.sdp, signal,
    });
    const place = answer.headers.get("location");
    if (answer.status !== 201 || !place) throw new Refused(answer.status, "the answer names no session");
    this.place = new URL(place, new URL("/whep", location.href)).pathname;
    this.mark = answer.headers.get("etag");
    this.sdp = peer.localDescription.sdp;
    await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
    this.trickle(candidates);
    await new Promise((resolve, reject) => {
      this.connected = resolve;
      const late = setTimeout(() => reject(new Error("no way to the vehicle was found for live video")), PATIENCE_MS);
      signal?.addEventListener("abort", () => reject(new Error("left")), { once: true });
      peer.addEventListener("connectionstatechange", () => {
        if (peer.connectionState === "connected") clearTimeout(late);
        if (peer.connectionState === "failed") reject(new Error("the connection for live video failed"));
      });
      if (peer.connectionState === "connected") resolve();
    });
  }

  // Tells the server where this browser may be reached, as soon as the session has a place; several at a time.
  trickle(candidates) {
    if (!this.place || this.waiting || candidates.length === 0) return;
    this.waiting = true;
    const line = (name, sdp = this.sdp) => sdp.match(new RegExp(`^a=${name}:.*$`, "m"))?.[0];
    setTimeout(async () => {
      this.waiting = false;
      const now = candidates.splice(0);
      const lines = [line("ice-ufrag"), line("ice-pwd"), this.sdp.match(/^m=.*$/m)?.[0], "a=mid:0"];
      for (const candidate of now) lines.push(candidate?.candidate ? `a=${candidate.candidate}` : "a=end-of-candidates");
      const headers = { "content-type": "application/trickle-ice-sdpfrag", ...(this.mark ? { "if-match": this.mark } : {}) };
      try {
        await ask(this.place, { method: "PATCH", headers, body: `${lines.filter(Boolean).join("\r\n")}\r\n` });
      } catch { /* A server that gathers everything at once needs none of them. */ }
    }, 50);
  }

  lose(lost, why) {
    if (this.over) return;
    this.end();
    lost(why);
  }

  // The voice of whoever sits here; none ends it.
  speak(track) {
    return this.audio.sender.replaceTrack(track);
  }

  // Ends the session here and there. It may be the last thing that the page does.
  end() {
    if (this.over) return;
    this.over = true;
    this.peer?.close();
    if (this.place) fetch(this.place, { method: "DELETE", headers: { authorization: bearer() }, keepalive: true }).catch(() => {});
  }
}
