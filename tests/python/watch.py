"""An operator without a browser (aiortc), driven line by line as tests/web/watch.mjs is: URL, TOKEN, OPTIONS."""

import asyncio
import json
import math
import sys
import time
import urllib.request
from fractions import Fraction

import av
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

url, token, *rest = sys.argv[1:]
options = json.loads(rest[0]) if rest else {}


class Tone(MediaStreamTrack):
    """A voice: a tone that can be switched on, in real time."""

    kind = "audio"

    def __init__(self):
        super().__init__()
        self.on, self.sent, self.begin, self.spoke = False, 0, None, []

    async def recv(self):
        self.begin = self.begin or time.monotonic()
        await asyncio.sleep(max(0.0, self.begin + self.sent * 0.02 - time.monotonic()))
        frame = av.AudioFrame(format="s16", layout="mono", samples=960)
        level = 8000 if self.on else 0
        if self.on != len(self.spoke) % 2:
            # When it began to speak, and when it fell silent: both at the beginning of what they are first heard in.
            self.spoke.append(time.clock_gettime(time.CLOCK_BOOTTIME))
        first = self.sent * 960
        samples = (int(level * math.sin(2 * math.pi * 440 * (first + n) / 48000)) for n in range(960))
        frame.planes[0].update(b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples))
        frame.sample_rate, frame.pts, frame.time_base = 48000, first, Fraction(1, 48000)
        self.sent += 1
        return frame


async def main():
    peer = RTCPeerConnection()
    seen = {"pictures": 0, "sound": 0, "messages": 0, "frames": 0, "size": None, "late": [], "ended": None, "talk": None}
    state = {"place": None}
    voice = Tone()
    if options.get("video", True):
        peer.addTransceiver("video", direction="recvonly")
    peer.addTransceiver(voice if options.get("talk") else "audio", direction="sendrecv" if options.get("talk") else "recvonly")
    channel = peer.createDataChannel("scene", ordered=False, maxRetransmits=0)

    @channel.on("message")
    def _(text):
        message = json.loads(text)
        if "ended" in message:
            seen["ended"] = message["ended"]
        elif "talk" in message:
            seen["talk"] = message["talk"]
        else:
            seen["messages"] += 1
            seen["frames"] += message["frame"] is not None

    def first_time():
        receiver = next(one for one in peer.getReceivers() if one.track.kind == "video")
        return receiver._RTCRtpReceiver__timestamp_mapper._origin

    async def take(track):
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            if track.kind == "video":
                # RTP's time is that of the capture, in 90 kHz and 32 bits; aiortc counts it on from the first one.
                now = time.clock_gettime(time.CLOCK_BOOTTIME) * 90_000
                late = (now - frame.pts - first_time()) % 2**32
                seen["pictures"] += 1
                seen["size"] = [frame.width, frame.height]
                seen["late"].append(late / 90)
            else:
                seen["sound"] += 1

    peer.on("track", lambda track: asyncio.ensure_future(take(track)))

    def ask(method, path, body=None):
        headers = {"authorization": f"Bearer {token}", "content-type": "application/sdp"}
        request = urllib.request.Request(url + path, method=method, data=body, headers=headers)
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers.get("location"), answer.read().decode()

    async def obey(order):
        if order["do"] == "open":
            await peer.setLocalDescription(await peer.createOffer())
            sdp = peer.localDescription.sdp.encode()
            camera = f"?camera={options['camera']}" if "camera" in options else ""
            status, state["place"], answer = await asyncio.to_thread(ask, "POST", f"/whep{camera}", sdp)
            return {"status": status, "place": state["place"], "sdp": answer}
        if order["do"] == "offer":
            await peer.setLocalDescription(await peer.createOffer())
            return {"sdp": peer.localDescription.sdp}
        if order["do"] == "answer":
            await peer.setRemoteDescription(RTCSessionDescription(order["sdp"], "answer"))
        elif order["do"] == "stats":
            return {"state": peer.connectionState, "seen": {**seen, "late": len(seen["late"]), "spoke": voice.spoke}}
        elif order["do"] == "latencies":
            late = sorted(seen["late"])
            seen["late"] = []
            return {"count": len(late), "p50": late[len(late) // 2] if late else None}
        elif order["do"] == "talk":
            voice.on = order["on"]
        elif order["do"] == "delete":
            status, *_ = await asyncio.to_thread(ask, "DELETE", state["place"])
            return {"status": status}
        return {}

    while True:
        line = await asyncio.to_thread(sys.stdin.readline)
        order = json.loads(line) if line.strip() else {"do": "end"}
        if order["do"] == "end":
            break
        print(json.dumps(await obey(order)), flush=True)
    await peer.close()


asyncio.run(main())
