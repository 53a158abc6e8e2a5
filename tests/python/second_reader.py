"""A second reader of sessions, written from docs/session-format.md alone.

    second_reader.py docs/session-format.md SESSION

Rebuilds ticks, inputs, samples, snapshots and outputs, checks every value against the types of the page, computes every
digest again, and prints what it counted as one JSON object.
"""

import json
import re
import struct
import sys
from collections import Counter
from pathlib import Path

import msgpack
import xxhash
from mcap.exceptions import EndOfFile
from mcap.records import Channel, Header, Message, Metadata, Schema
from mcap.stream_reader import StreamReader
from mcap_protobuf.decoder import DecoderFactory
from session_types import Types

KIND_ROW = r"^\| `(\w+)` \| [^|]+ \| (state|payload|message) \|"


def unpack(data):
    return msgpack.unpackb(data, strict_map_key=False)


class World:
    """Values as the records say they are."""

    def __init__(self, types, treatments):
        self.types, self.treatments = types, treatments
        self.values = {}  # kind -> {(stream, seq): MessagePack}
        self.encoded = {}  # kind -> {(stream, seq): postcard}
        self.digests = {}  # kind -> digest, while nothing of it changes

    def put(self, kind, key, value):
        assert kind in self.treatments, f"the page does not know kind `{kind}`"
        self.digests.pop(kind, None)
        decoded = unpack(value)
        self.types.check(("name", kind), decoded, f"{kind} of {key}")
        out = bytearray()
        self.types.postcard(("name", kind), decoded, out)
        self.values.setdefault(kind, {})[key] = value
        self.encoded.setdefault(kind, {})[key] = bytes(out)

    def remove(self, kind, key):
        self.digests.pop(kind, None)
        for table in (self.values, self.encoded):
            table.get(kind, {}).pop(key, None)

    def forget(self, kind):
        for table in (self.values, self.encoded, self.digests):
            table.pop(kind, None)

    def take(self, snapshot):
        """Begins anew with a snapshot."""
        self.values, self.encoded, self.digests = {}, {}, {}
        for saved in snapshot["kinds"]:
            for key, value in saved["values"]:
                self.put(saved["kind"], (key["stream"], key["seq"]), value)

    def apply(self, outputs):
        for kind, treatment in self.treatments.items():
            if treatment == "message":
                self.forget(kind)
        for change in outputs["changes"]:
            kind, key = change["kind"], (change["id"]["stream"], change["id"]["seq"])
            assert self.treatments.get(kind) != "payload", f"tick {outputs['tick']}: `{kind}` in outputs"
            if change["value"] is None:
                self.remove(kind, key)
            else:
                self.put(kind, key, change["value"])

    def digest(self):
        total = xxhash.xxh3_64()
        for kind in sorted(self.encoded, key=str.encode):
            values = self.encoded[kind]
            if not values or self.treatments[kind] == "payload":
                continue
            if kind not in self.digests:
                of_kind = xxhash.xxh3_64()
                for stream, seq in sorted(values):
                    value = values[stream, seq]
                    of_kind.update(struct.pack("<HQQ", stream, seq, len(value)))
                    of_kind.update(value)
                self.digests[kind] = of_kind.intdigest()
            total.update(kind.encode())
            total.update(struct.pack("<Q", self.digests[kind]))
        return total.intdigest()

    def retire(self):
        """Despawns the samples that no job holds."""
        held = set()
        for value in self.values.get("jobs", {}).values():
            for queue in unpack(value)["queues"].values():
                frames = list(queue["waiting"].values())
                frames += [queue["running"]["frame"]] if queue["running"] else []
                held.update((frame["stream"], frame["seq"]) for frame in frames)
        for key in [key for key in self.values.get("stamp", {}) if key not in held]:
            for kind in list(self.values):
                self.remove(kind, key)

    def state(self):
        """Values of state kinds, without kinds that have none."""
        return {k: v for k, v in self.values.items() if v and self.treatments[k] == "state"}


class Session:
    """Reads the files of a session in turn."""

    def __init__(self, types, treatments):
        self.types = types
        self.world = World(types, treatments)
        self.info = None
        self.began = False
        self.tick = None  # the journal record whose outputs have not come yet
        self.last_tick = 0
        self.last_now = 0
        self.samples = {}
        self.ticks = 0
        self.segments = []
        self.inputs, self.input_bytes, self.changes = Counter(), Counter(), Counter()
        self.counts = Counter()

    def read(self, path):
        self.channels, self.schemas, self.decoders = {}, {}, {}
        self.file_begins = True  # before it, files may be missing
        with open(path, "rb") as file:
            try:
                for record in StreamReader(file, validate_crcs=True).records:
                    self.record(record)
            except EndOfFile:
                # Cut in the middle: everything up to the last whole chunk is good.
                self.counts["files cut"] += 1
                self.samples = {}

    def record(self, record):
        if isinstance(record, Header):
            assert record.profile == "waywarden", record.profile
        elif isinstance(record, Metadata) and record.name == "waywarden.session":
            self.describe(record.metadata)
        elif isinstance(record, Schema):
            self.schemas[record.id] = record
        elif isinstance(record, Channel):
            self.channels[record.id] = record
        elif isinstance(record, Message):
            self.message(record)

    def describe(self, metadata):
        assert metadata["format"].split(".")[0] == "1", metadata["format"]
        assert metadata["checksum"] == f"{xxhash.xxh3_64_intdigest(metadata['session'].encode()):016x}"
        info = json.loads(metadata["session"])
        assert self.info is None or self.info["session_id"] == info["session_id"]
        self.info = info
        self.sample_topics = {}
        for stream in info["streams"]:
            what = {"camera": "image", "microphone": "audio"}.get(stream["kind"])
            self.sample_topics[f"/{stream['name']}/{what}"] = stream["id"]

    def message(self, message):
        channel = self.channels[message.channel_id]
        if channel.topic in self.sample_topics:
            self.sample(self.sample_topics[channel.topic], channel, message)
        elif channel.topic == "/waywarden/journal":
            self.journal(self.own("journal_record", message), message)
        elif channel.topic == "/waywarden/outputs":
            self.outputs(self.own("outputs_record", message), message)
        elif channel.topic == "/waywarden/snapshot":
            self.snapshot(self.own("snapshot_record", message), message)

    def own(self, name, message):
        record = unpack(message.data)
        self.types.check(("name", name), record, name)
        assert message.log_time == record["now" if "now" in record else "tick"] + self.info["log_time_offset_ns"] or (
            name == "outputs_record"
        ), f"{name}: log time {message.log_time}"
        return record

    def sample(self, stream, channel, message):
        if channel.id not in self.decoders:
            schema = self.schemas[channel.schema_id]
            self.decoders[channel.id] = DecoderFactory().decoder_for(channel.message_encoding, schema)
        decoded = self.decoders[channel.id](message.data)
        self.samples[stream, message.sequence] = decoded

    def journal(self, record, message):
        assert message.sequence == record["tick"] & 0xFFFF_FFFF
        if self.tick is not None:
            self.counts["ticks without outputs"] += 1
        assert record["tick"] == self.last_tick + 1 or not self.ticks, f"tick {record['tick']} after {self.last_tick}"
        assert record["now"] >= self.last_now
        self.tick, self.last_tick, self.last_now = record, record["tick"], record["now"]
        self.ticks += 1
        for n, entry in enumerate(record.get("inputs", [])):
            payload = entry["payload"]
            name = payload if isinstance(payload, str) else next(iter(payload))
            self.inputs[f"{entry['stream']} {name}"] += 1
            if name in ("frame", "audio"):
                self.take_sample(record, entry, name)
            elif name == "serial":
                self.input_bytes[f"{entry['stream']} {name}"] += len(payload["serial"])
            elif name == "boundary":
                assert n == 0, f"tick {record['tick']}: the boundary is input {n}"
        assert not self.samples, f"tick {record['tick']}: samples that nobody asked for: {list(self.samples)}"

    def take_sample(self, record, entry, name):
        sample = self.samples.pop((entry["stream"], entry["seq"] & 0xFFFF_FFFF), None)
        assert sample is not None, f"tick {record['tick']}: sample {entry['stream']}:{entry['seq']} is missing"
        captured = sample.timestamp.seconds * 1_000_000_000 + sample.timestamp.nanos
        assert captured == entry["at"] + self.info["log_time_offset_ns"], "time of capture"
        self.input_bytes[f"{entry['stream']} {name}"] += len(sample.data)
        if name == "frame":
            assert sample.format == "jpeg" and sample.data[:2] == b"\xff\xd8" and sample.data[-2:] == b"\xff\xd9"
        else:
            assert (sample.format, sample.sample_rate, sample.number_of_channels) == ("pcm-s16", 16000, 1)

    def outputs(self, record, message):
        tick, self.tick = self.tick, None
        assert tick is not None and tick["tick"] == record["tick"] == message.sequence, "outputs of another tick"
        assert message.log_time == tick["now"] + self.info["log_time_offset_ns"]
        self.counts["outputs"] += 1
        record.setdefault("changes", [])
        for change in record["changes"]:
            self.changes[change["kind"]] += 1
        self.world.apply(record)
        if self.began:
            assert self.world.digest() == record["digest"], f"tick {record['tick']}: another digest"
            self.counts["digests"] += 1
        self.world.retire()

    def snapshot(self, record, message):
        assert message.sequence == record["segment"]
        missing = self.file_begins and record["tick"] != self.last_tick + 1
        gap = record["reason"] == "gap" or record["lost_ticks"] > 0 or missing
        self.file_begins = False
        if self.began and not gap:
            before = self.world.state()
            self.world.take(record)
            after = self.world.state()
            assert list(before.keys() - after.keys()) == list(after.keys() - before.keys()) == [], "kinds of a snapshot"
            for kind, values in after.items():
                assert values == before[kind], f"segment {record['segment']}: `{kind}` is not what the changes made it"
                self.counts["values as the changes made them"] += len(values)
            self.counts["snapshots compared"] += 1
        else:
            self.world.take(record)
            self.last_tick = record["tick"] - 1
        self.began = True
        kinds = [saved["kind"] for saved in record["kinds"]]
        assert kinds == sorted(kinds, key=str.encode), "order of kinds"
        assert record["tick"] == self.last_tick + 1
        assert "message" not in {self.world.treatments[kind] for kind in kinds}
        self.segments.append(record["segment"])


def main():
    page, path = Path(sys.argv[1]).read_text(encoding="utf-8"), Path(sys.argv[2])
    session = Session(Types(page), dict(re.findall(KIND_ROW, page, re.M)))
    for file in sorted(path.glob("*.mcap")) if path.is_dir() else [path]:
        session.read(file)
    report = {
        "ticks": session.ticks,
        "segments": session.segments,
        "inputs": session.inputs,
        "input_bytes": session.input_bytes,
        "changes": session.changes,
        "counts": session.counts,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
