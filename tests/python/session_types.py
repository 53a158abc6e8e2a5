"""The types of docs/session-format.md, read from that page: checks MessagePack values against them, and writes postcard."""

import re
import struct

INTEGERS = {"u8": 8, "u16": 16, "u32": 32, "u64": 64, "i16": -16, "i32": -32, "i64": -64}
PRIMITIVES = set(INTEGERS) | {"bool", "f32", "f64", "string", "bytes", "unit"}
TOKEN = re.compile(r"\s*(?:([A-Za-z0-9_]+)|([{}()\[\]<>,:|?=]))")


class Types:
    """All types of the page, by name."""

    def __init__(self, page: str):
        self.named = {}
        for block in re.findall(r"^```types\n(.*?)^```", page, re.M | re.S):
            for name, body in re.findall(r"^(\w+) *= *(.*?)(?=^\w+ *=|\Z)", block, re.M | re.S):
                parser = Parser(body)
                self.named[name] = parser.whole()
                assert parser.peek() is None, f"type {name}: cannot read {body!r}"

    def check(self, kind, value, where):
        """Fails unless `value`, as msgpack gave it, is of this type to the letter."""
        tag, *rest = kind
        if tag == "name":
            assert rest[0] in self.named, f"{where}: no type {rest[0]}"
            return self.check(self.named[rest[0]], value, where)
        if tag == "primitive":
            assert primitive_fits(rest[0], value), f"{where}: {value!r} is no {rest[0]}"
        elif tag == "option":
            if value is not None:
                self.check(rest[0], value, where)
        elif tag == "list":
            assert isinstance(value, list), f"{where}: {value!r} is no list"
            for n, item in enumerate(value):
                self.check(rest[0], item, f"{where}[{n}]")
        elif tag == "tuple":
            assert isinstance(value, list) and len(value) == len(rest[0]), f"{where}: {value!r} is no such tuple"
            for n, (part, item) in enumerate(zip(rest[0], value)):
                self.check(part, item, f"{where}[{n}]")
        elif tag == "map":
            assert isinstance(value, dict), f"{where}: {value!r} is no map"
            for key, item in value.items():
                self.check(rest[0], key, where)
                self.check(rest[1], item, f"{where}.{key}")
        elif tag == "struct":
            self.check_struct(rest[0], value, where)
        elif tag == "enum":
            _, variant, inner = self.variant(rest[0], value, where)
            if variant is not None:
                self.check(variant, inner, where)
        return None

    def check_struct(self, fields, value, where):
        assert isinstance(value, dict), f"{where}: {value!r} is no map"
        expected = [name for name, _, default in fields if default is None or name in value]
        assert list(value) == expected, f"{where}: has {list(value)}, not {expected}"
        for name, field, default in fields:
            if name in value:
                assert default is None or value[name] != default, f"{where}.{name}: should be left out"
                self.check(field, value[name], f"{where}.{name}")

    def variant(self, variants, value, where):
        """Number, type and value of a variant."""
        name, inner = next(iter(value.items())) if isinstance(value, dict) and len(value) == 1 else (value, None)
        for number, (known, variant) in enumerate(variants):
            if known == name:
                assert (variant is None) == isinstance(value, str), f"{where}: {value!r}"
                return number, variant, inner
        raise AssertionError(f"{where}: {value!r} is no variant of {[known for known, _ in variants]}")

    def postcard(self, kind, value, out: bytearray):
        """Appends a checked value in postcard."""
        tag, *rest = kind
        if tag == "name":
            self.postcard(self.named[rest[0]], value, out)
        elif tag == "primitive":
            write_primitive(rest[0], value, out)
        elif tag == "option":
            out.append(value is not None)
            if value is not None:
                self.postcard(rest[0], value, out)
        elif tag == "list":
            varint(len(value), out)
            for item in value:
                self.postcard(rest[0], item, out)
        elif tag == "tuple":
            for part, item in zip(rest[0], value):
                self.postcard(part, item, out)
        elif tag == "map":
            varint(len(value), out)
            for key, item in value.items():
                self.postcard(rest[0], key, out)
                self.postcard(rest[1], item, out)
        elif tag == "struct":
            for name, field, default in rest[0]:
                self.postcard(field, value.get(name, default), out)
        elif tag == "enum":
            number, variant, inner = self.variant(rest[0], value, "")
            varint(number, out)
            if variant is not None:
                self.postcard(variant, inner, out)


class Parser:
    """Reads one type."""

    def __init__(self, text: str):
        text = text.strip()
        self.tokens, at = [], 0
        while at < len(text):
            match = TOKEN.match(text, at)
            assert match, f"cannot read {text[at:]!r}"
            self.tokens.append(match[1] or match[2])
            at = match.end()

    def peek(self):
        return self.tokens[0] if self.tokens else None

    def take(self, expected=None):
        token = self.tokens.pop(0)
        assert expected in (None, token), f"{token!r} instead of {expected!r}"
        return token

    def whole(self):
        depth = 0
        for token in self.tokens:
            depth += (token in "{([<") - (token in "})]>")
            if token == "|" and depth == 0:
                return ("enum", self.separated(self.variant, "|"))
        return self.type()

    def separated(self, part, separator):
        parts = [part()]
        while self.peek() == separator:
            self.take()
            parts.append(part())
        return parts

    def variant(self):
        name = self.take()
        if self.peek() == "(":
            self.take()
            inner = self.type()
            self.take(")")
            return name, inner
        return name, self.type() if self.peek() == "{" else None

    def field(self):
        name = self.take()
        self.take(":")
        kind, default = self.type(), None
        if self.peek() == "=":
            self.take()
            default = [] if self.take() == "[" and self.take("]") else 0
        return name, kind, default

    def type(self):
        token = self.take()
        if token == "{":
            kind = ("struct", self.separated(self.field, ","))
            self.take("}")
        elif token == "[":
            kind = ("list", self.type())
            self.take("]")
        elif token == "(":
            kind = ("tuple", self.separated(self.type, ","))
            self.take(")")
        elif token == "map":
            self.take("<")
            key = self.type()
            self.take(",")
            kind = ("map", key, self.type())
            self.take(">")
        else:
            kind = ("primitive", token) if token in PRIMITIVES else ("name", token)
        if self.peek() == "?":
            self.take()
            kind = ("option", kind)
        return kind


def primitive_fits(name, value):
    if name in INTEGERS:
        bits = INTEGERS[name]
        low, high = (0, 1 << bits) if bits > 0 else (-(1 << -bits - 1), 1 << -bits - 1)
        return isinstance(value, int) and not isinstance(value, bool) and low <= value < high
    if name == "unit":
        return value == []
    python = {"bool": bool, "f32": float, "f64": float, "string": str, "bytes": bytes}
    return isinstance(value, python[name])


def varint(number: int, out: bytearray):
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def write_primitive(name, value, out: bytearray):
    if name in ("bool", "u8"):
        out.append(value)
    elif name in INTEGERS:
        bits = INTEGERS[name]
        varint(value if bits > 0 else ((value << 1) ^ (value >> 63)) & 0xFFFF_FFFF_FFFF_FFFF, out)
    elif name in ("f32", "f64"):
        out.extend(struct.pack("<f" if name == "f32" else "<d", value))
    elif name in ("string", "bytes"):
        data = value.encode() if name == "string" else value
        varint(len(data), out)
        out.extend(data)
