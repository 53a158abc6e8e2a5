// An operator's browser, driven line by line: `node watch.mjs URL TOKEN [OPTIONS]`. Standard output says what has happened, an
// object a line; standard input says what is to be done, likewise. The page is this test's own and does what WHEP says.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const [url, token, options = "{}"] = process.argv.slice(2);
const say = what => process.stdout.write(`${JSON.stringify(what)}\n`);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const heard = async () => { const { value, done } = await lines.next(); return done ? { do: "end" } : JSON.parse(value); };

const page_text = `<!doctype html><meta charset="utf-8"><title>watch</title><video id="video" autoplay playsinline muted></video>`;

const profile = mkdtempSync(join(tmpdir(), "watch-"));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  headless: true,
  // One that the vehicle signs itself: the test has made it.
  ignoreHTTPSErrors: true,
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", "--autoplay-policy=no-user-gesture-required",
  ],
});
const page = browser.pages()[0] ?? await browser.newPage();
await page.route(`${url}/of-the-test`, route => route.fulfill({ contentType: "text/html", body: page_text }));
await page.goto(`${url}/of-the-test`);

// In the page: what it has seen is in `seen`.
await page.evaluate(({ token, options }) => {
  window.seen = { states: [], messages: 0, frames: 0, last: null, ended: null, talk: null, late: [], shown: [] };
  window.authorization = { authorization: `Bearer ${token}` };
  // What this browser offers, as soon as it knows where it can be reached.
  window.make_offer = async () => {
    // A page that has a microphone is told where it can be reached; others get names that only browsers resolve.
    if (options.addresses) await navigator.mediaDevices.getUserMedia({ audio: true });
    // Only by way of a server that the vehicle names, with what it gives for that.
    let configuration = {};
    if (options.relayed) {
      const links = (await fetch("/whep", { method: "OPTIONS", headers: authorization })).headers.get("link") ?? "";
      const named = [...links.matchAll(/<(turn:[^>]+)>; rel="ice-server"; username="([^"]*)"; credential="([^"]*)"/g)];
      const iceServers = named.map(([, urls, username, credential]) => ({ urls, username, credential: options.credential ?? credential }))
        .map(server => ({ ...server, username: options.username ?? server.username }));
      configuration = { iceServers, iceTransportPolicy: "relay" };
    }
    const peer = window.peer = new RTCPeerConnection(configuration);
    peer.onconnectionstatechange = () => seen.states.push(peer.connectionState);
    if (options.video !== false) peer.addTransceiver("video", { direction: "recvonly" });
    window.voice = peer.addTransceiver("audio", { direction: options.talk ? "sendrecv" : "recvonly" });
    const data = peer.createDataChannel("scene", { ordered: false, maxRetransmits: 0 });
    data.onmessage = event => {
      const message = JSON.parse(event.data);
      if (message.ended) seen.ended = message.ended;
      else if (message.talk) seen.talk = message.talk;
      else {
        seen.messages++;
        if (message.frame !== null) seen.frames++;
        if (message.camera?.lane) seen.lanes = (seen.lanes ?? 0) + 1;
        seen.last = { frame: message.frame, captured_ns: message.captured_ns, width: message.width, height: message.height,
          camera: message.camera?.camera, devices: message.devices?.length, keys: Object.keys(message) };
      }
    };
    const stream = new MediaStream();
    peer.ontrack = event => { stream.addTrack(event.track); video.srcObject = stream; };
    // What is on the screen, off its pixels: sixteen blocks along the upper edge.
    const canvas = Object.assign(document.createElement("canvas"), { width: 16, height: 1 });
    const ink = canvas.getContext("2d", { willReadFrequently: true });
    const number = () => {
      ink.drawImage(video, 0, video.videoHeight / 64, video.videoWidth, video.videoHeight / 32, 0, 0, 16, 1);
      const { data } = ink.getImageData(0, 0, 16, 1);
      let number = 0;
      for (let block = 0; block < 16; block++) number = number * 2 + (data[4 * block + 1] > 127 ? 1 : 0);
      return number;
    };
    const look = (now, picture) => {
      const at = performance.timeOrigin + performance.now();
      seen.shown.push([picture.rtpTimestamp, at, options.counter ? number() : null]);
      video.requestVideoFrameCallback(look);
    };
    video.requestVideoFrameCallback(look);
    await peer.setLocalDescription(await peer.createOffer());
    if (options.gather !== false) {
      await new Promise(done => {
        if (peer.iceGatheringState === "complete") done();
        peer.addEventListener("icegatheringstatechange", () => peer.iceGatheringState === "complete" && done());
        setTimeout(done, 2000);
      });
    }
    return peer.localDescription.sdp;
  };
  window.open_session = async () => {
    let sdp = await make_offer();
    if (options.proxy) sdp = sdp.split(/(?<=\r\n)/).filter(line => !line.startsWith("a=candidate")).join("");
    const answer = await fetch(`/whep${options.camera ? `?camera=${options.camera}` : ""}`, {
      method: "POST", headers: { ...authorization, "content-type": "application/sdp" }, body: sdp,
    });
    window.place = answer.headers.get("location");
    return { status: answer.status, type: answer.headers.get("content-type"), place, sdp: await answer.text() };
  };
  // A session as the operator's page opens it, by the page's own code: only what it is told of can help, as above.
  window.open_by_page = async camera => {
    const { use } = await import("/api.js");
    const { Whep } = await import("/whep.js");
    use(token);
    const Plain = RTCPeerConnection;
    if (options.relayed) {
      window.RTCPeerConnection = class extends Plain {
        constructor(configuration) { super({ ...configuration, iceTransportPolicy: "relay" }); }
      };
    }
    try {
      const session = await Whep.begin(camera, { talk: false, told: () => seen.messages++, lost: why => { seen.ended = why; } });
      window.peer = session.peer;
      video.srcObject = session.stream;
      return { connected: true };
    } catch (error) {
      return { connected: false, why: error.message };
    } finally {
      window.RTCPeerConnection = Plain;
    }
  };
  window.stats = async () => {
    const all = [...(await peer.getStats()).values()];
    const video = all.find(entry => entry.type === "inbound-rtp" && entry.kind === "video") ?? {};
    const audio = all.find(entry => entry.type === "inbound-rtp" && entry.kind === "audio") ?? {};
    const pair = all.find(entry => entry.type === "candidate-pair" && entry.nominated && entry.state === "succeeded") ?? {};
    const kind = id => all.find(entry => entry.id === id)?.candidateType ?? null;
    const pick = (entry, ...names) => Object.fromEntries(names.map(name => [name, entry[name] ?? 0]));
    return {
      state: peer.connectionState,
      way: { here: kind(pair.localCandidateId), there: kind(pair.remoteCandidateId) },
      video: pick(video, "framesDecoded", "framesDropped", "keyFramesDecoded", "freezeCount", "totalFreezesDuration", "packetsLost",
        "packetsReceived", "nackCount", "pliCount", "frameWidth", "frameHeight", "framesPerSecond", "bytesReceived", "retransmittedPacketsReceived"),
      audio: pick(audio, "packetsReceived", "totalAudioEnergy", "audioLevel"),
      seen: { ...seen, shown: seen.shown.length },
    };
  };
}, { token, options: JSON.parse(options) });

// How long ago the time of this process is zero for the clock of the page, as exactly as a few questions tell.
const difference = async () => {
  let best = { took: Infinity };
  for (let n = 0; n < 20; n++) {
    const before = process.hrtime.bigint();
    const there = await page.evaluate(() => performance.timeOrigin + performance.now());
    const after = process.hrtime.bigint();
    const took = Number(after - before) / 1e6;
    if (took < best.took) best = { took, here: Number(before + after) / 2e6 - there };
  }
  return best.here;
};

// Milliseconds from the capture of each picture to its being shown. RTP's time is that of the capture, in 90 kHz and 32 bits.
const latencies = async each => {
  const offset = await difference();
  const shown = await page.evaluate(() => seen.shown.splice(0));
  const all = shown.map(([rtp, at, number]) => {
    const here = (at + offset) * 90;
    const late = ((here - rtp) % 2 ** 32 + 2 ** 32) % 2 ** 32;
    return { rtp, number, at: at + offset, late: late / 90 };
  });
  const times = all.map(({ late }) => late).sort((a, b) => a - b);
  const at = share => times.length ? Math.round(times[Math.min(times.length - 1, Math.floor(times.length * share))] * 10) / 10 : null;
  return { count: times.length, p50: at(0.5), p95: at(0.95), most: at(1), ...(each ? { pictures: all } : {}) };
};

try {
  for (;;) {
    const order = await heard();
    if (order.do === "open") say(await page.evaluate(() => open_session()));
    else if (order.do === "open by page") say(await page.evaluate(camera => open_by_page(camera), order.camera));
    else if (order.do === "offer") say({ sdp: await page.evaluate(() => make_offer()) });
    else if (order.do === "answer") say(await page.evaluate(async sdp => { await peer.setRemoteDescription({ type: "answer", sdp }); return {}; }, order.sdp));
    else if (order.do === "stats") say(await page.evaluate(() => stats()));
    else if (order.do === "latencies") say(await latencies(order.each));
    else if (order.do === "talk") say(await page.evaluate(async on => {
      if (on) {
        window.microphone = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
        await voice.sender.replaceTrack(microphone.getAudioTracks()[0]);
      } else {
        await voice.sender.replaceTrack(null);
        microphone.getTracks().forEach(track => track.stop());
      }
      return {};
    }, order.on));
    else if (order.do === "listen") say(await page.evaluate(async () => {
      // Beside the picture, which is shown when it comes.
      const [sound] = peer.getReceivers().map(receiver => receiver.track).filter(track => track.kind === "audio");
      window.ear = Object.assign(new Audio(), { srcObject: new MediaStream([sound]) });
      await ear.play();
      return {};
    }));
    else if (order.do === "delete") say(await page.evaluate(async () => {
      const answer = await fetch(place, { method: "DELETE", headers: authorization });
      return { status: answer.status };
    }));
    else if (order.do === "screenshot") { await page.screenshot({ path: order.path }); say({}); }
    else break;
  }
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}
