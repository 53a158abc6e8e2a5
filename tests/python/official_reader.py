"""Opens a session with the official `mcap` package and its protobuf support, as anybody's tool would.

    official_reader.py FILE...

Decodes every message that has a schema, looks at what is in it, and prints how many there are by topic, as JSON.
"""

import json
import sys
from collections import Counter

from mcap.reader import make_reader
from mcap_protobuf.decoder import DecoderFactory


def image(message):
    assert message.format == "jpeg", message.format
    assert message.data[:2] == b"\xff\xd8" and message.data[-2:] == b"\xff\xd9", "not SOI to EOI"
    assert message.frame_id and message.HasField("timestamp")


def audio(message):
    assert (message.format, message.sample_rate, message.number_of_channels) == ("pcm-s16", 16000, 1)
    assert len(message.data) % 2 == 0 and message.data


def fix(message):
    assert -90 <= message.latitude <= 90 and -180 <= message.longitude <= 180
    assert (message.latitude, message.longitude) != (0, 0)
    assert len(message.position_covariance) in (0, 9)


def annotations(message):
    for shape in message.points:
        assert shape.points and shape.thickness > 0
        assert shape.outline_color.a == 1
    for text in message.texts:
        assert text.text


def log(message):
    assert message.message and message.name
    assert 1 <= message.level <= 5


LOOK = {
    "foxglove.CompressedImage": image,
    "foxglove.RawAudio": audio,
    "foxglove.LocationFix": fix,
    "foxglove.ImageAnnotations": annotations,
    "foxglove.Log": log,
}


def main():
    topics, shapes = Counter(), Counter()
    for path in sys.argv[1:]:
        with open(path, "rb") as file:
            reader = make_reader(file, validate_crcs=True)
            summary = reader.get_summary()
            assert summary is not None and summary.statistics is not None, f"{path}: no summary"
            counted = 0
            for _, channel, _ in reader.iter_messages():
                topics[channel.topic] += 1
                counted += 1
            assert counted == summary.statistics.message_count, f"{path}: the summary counts otherwise"
        with open(path, "rb") as file:
            reader = make_reader(file, decoder_factories=[DecoderFactory()])
            with_schema = [c.topic for c in summary.channels.values() if c.message_encoding == "protobuf"]
            for schema, channel, _, message in reader.iter_decoded_messages(topics=with_schema):
                LOOK[schema.name](message)
                if schema.name == "foxglove.ImageAnnotations":
                    shapes[channel.topic] += len(message.points)
    print(json.dumps({"topics": topics, "shapes": shapes}))


if __name__ == "__main__":
    main()
