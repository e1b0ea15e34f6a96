"""Files of every kind that a command reads, with one or a few things in them made wrong on purpose.

Unlike `mutants`, which draws slides, this takes files that are sound and knows where in them their tags,
codestreams, provenance and numbers stand.
"""

from __future__ import annotations

import copy
import json
import random
import struct
from dataclasses import dataclass
from pathlib import Path

from wsicomp.formats.tiff import xmp

SIZES = {
    **dict.fromkeys((1, 2, 6, 7), 1),
    **dict.fromkeys((3, 8), 2),
    **dict.fromkeys((4, 9, 11, 13), 4),
    **dict.fromkeys((5, 10, 12, 16, 17, 18), 8),
}
"""Bytes of a value by TIFF's type."""
_TYPES = (*SIZES, 0, 14, 15, 255, 65535)
_CODES = (
    *(
        254,
        255,
        256,
        257,
        258,
        259,
        262,
        266,
        269,
        270,
        271,
        272,
        273,
        274,
        277,
        278,
        279,
        282,
        283,
        284,
        296,
    ),
    *(
        305,
        306,
        315,
        316,
        317,
        320,
        322,
        323,
        324,
        325,
        330,
        338,
        339,
        347,
        530,
        532,
        700,
        32997,
        33432,
        34675,
    ),
    *(65420, 65421, 65426, 65427, 65439, 65450, 65451, 65453, 0, 65535),
)
_FAR = (14_000_000_000_000, 1 << 31, (1 << 32) - 1, 1 << 40, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
_NUMBERS = (0, 1, 2, 3, 5, 7, 8, 16, 255, 256, 4095, 4096, 65535, 65536, *_FAR)
_XMP_TAG, _OFFSETS, _COUNTS = 700, 324, 325
DIGITS = "9" * 5000
DEPTH = 3000


@dataclass(frozen=True)
class Entry:
    """A tag: where it stands, and where its value does."""

    at: int
    code: int
    kind: int
    count: int
    value: int

    @property
    def bytes(self):
        return SIZES.get(self.kind, 1) * self.count


class Layout:
    """Where everything of a sound TIFF stands."""

    def __init__(self, data):
        self.order = "<" if data[:2] == b"II" else ">"
        self.big = data[2 if self.order == "<" else 3] == 43
        self.entries, self.directories, self.links = [], [], [8 if self.big else 4]
        offset = self.number(data, self.links[0])
        while offset and len(self.directories) < 50:
            offset = self._directory(data, offset)

    def _directory(self, data, offset):
        step, head, count_form = (20, 8, "Q") if self.big else (12, 2, "H")
        (count,) = struct.unpack_from(self.order + count_form, data, offset)
        self.directories.append((offset, count_form))
        room = 8 if self.big else 4
        for number in range(count):
            at = offset + head + step * number
            code, kind = struct.unpack_from(self.order + "HH", data, at)
            many = self.number(data, at + 4)
            value = at + 4 + room
            if SIZES.get(kind, 1) * many > room:
                value = self.number(data, value)
            self.entries.append(Entry(at, code, kind, many, value))
        link = offset + head + step * count
        self.links.append(link)
        return self.number(data, link)

    @property
    def form(self):
        return self.order + ("Q" if self.big else "I")

    def number(self, data, at):
        return struct.unpack_from(self.form, data, at)[0]

    def put(self, data, at, value, form=None):
        form = form or self.form
        size = struct.calcsize(form)
        if at + size <= len(data):
            struct.pack_into(form, data, at, value & ((1 << 8 * size) - 1))

    def tiles(self, data):
        """(offset, count) of every tile and strip."""
        found = []
        for code, other in ((_OFFSETS, _COUNTS), (273, 279)):
            places = [entry for entry in self.entries if entry.code == code]
            counts = [entry for entry in self.entries if entry.code == other]
            for place, many in zip(places, counts, strict=False):
                found += zip(self.values(data, place), self.values(data, many), strict=False)
        return found

    def values(self, data, entry):
        form = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}.get(entry.kind)
        if form is None or entry.value + entry.bytes > len(data):
            return ()
        return struct.unpack_from(f"{self.order}{entry.count}{form}", data, entry.value)


def fuzzed_tiff(data, chance):
    """A TIFF with one to four things changed, and what they are, in words."""
    layout = Layout(data)
    data, told = bytearray(data), []
    if chance.random() < 0.05:
        cut = chance.randrange(0, 40) if chance.random() < 0.5 else chance.randrange(len(data))
        return bytes(data[:cut]), f"cut at {cut}"
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        change = chance.choice(_CHANGES)
        told.append(f"{change.__name__.strip('_')} {change(data, layout, chance)}")
    return bytes(data), ", ".join(told)


def _kind(data, layout, chance):
    entry = chance.choice(layout.entries)
    kind = chance.choice(_TYPES)
    layout.put(data, entry.at + 2, kind, layout.order + "H")
    return f"of {entry.code}: {kind}"


def _kind_whole(data, layout, chance):
    """Another type, and as many values as fill the same bytes."""
    entry = chance.choice(layout.entries)
    kind = chance.choice(tuple(SIZES))
    layout.put(data, entry.at + 2, kind, layout.order + "H")
    layout.put(data, entry.at + 4, max(1, entry.bytes // SIZES[kind]))
    return f"of {entry.code}: {kind}"


def _count(data, layout, chance):
    entry = chance.choice(layout.entries)
    count = chance.choice((0, 1, 2, 3, entry.count - 1, entry.count + 1, entry.count * 2, *_FAR))
    layout.put(data, entry.at + 4, count)
    return f"of {entry.code}: {count}"


def _value(data, layout, chance):
    entry = chance.choice(layout.entries)
    value = chance.choice((*_NUMBERS, len(data), len(data) - 1, chance.randrange(1 << 32)))
    if (
        entry.bytes <= struct.calcsize(layout.form)
        and SIZES.get(entry.kind) in (2, 4)
        and chance.random() < 0.7
    ):
        form = {2: "H", 4: "I"}[SIZES[entry.kind]]
        layout.put(data, entry.value, value, layout.order + form)
    else:
        layout.put(data, entry.at + 4 + struct.calcsize(layout.form), value)
    return f"of {entry.code}: {value}"


def _one_of_many(data, layout, chance):
    """One of a tag's values: of the offsets and byte counts of tiles above all."""
    wanted = [entry for entry in layout.entries if entry.code in (_OFFSETS, _COUNTS, 273, 279)]
    entry = chance.choice(wanted if wanted and chance.random() < 0.7 else layout.entries)
    size = SIZES.get(entry.kind, 1)
    at = entry.value + size * chance.randrange(max(1, min(entry.count, 10_000)))
    value = chance.choice((*_NUMBERS, len(data) - 1, len(data)))
    layout.put(data, at, value, layout.order + {1: "B", 2: "H", 4: "I", 8: "Q"}[size])
    return f"of {entry.code}: {value}"


def _code(data, layout, chance):
    entry, code = chance.choice(layout.entries), chance.choice(_CODES)
    layout.put(data, entry.at, code, layout.order + "H")
    return f"{entry.code} -> {code}"


def _exchange(data, layout, chance):
    """A tag takes another one's type, count and value."""
    one, other = chance.choice(layout.entries), chance.choice(layout.entries)
    length = 18 if layout.big else 10
    data[one.at + 2 : one.at + 2 + length] = data[other.at + 2 : other.at + 2 + length]
    return f"{one.code} <- {other.code}"


def _link(data, layout, chance):
    targets = (0, 1, 8, 16, len(data), len(data) - 3, *(offset for offset, _ in layout.directories), *_FAR)
    value = chance.choice(targets)
    layout.put(data, chance.choice(layout.links), value)
    return value


def _directory_count(data, layout, chance):
    offset, form = chance.choice(layout.directories)
    count = chance.choice((0, 1, 2, 5, 60, 4097, 65535))
    layout.put(data, offset, count, layout.order + form)
    return count


def _head(data, layout, chance):
    at, byte = chance.randrange(16), chance.choice((0, 1, 2, 42, 43, 255, 0x49, 0x4D))
    data[at] = byte
    return f"byte {at}: {byte}"


def _codestream(data, layout, chance):
    tiles = [(at, size) for at, size in layout.tiles(data) if size and at + size <= len(data)]
    if not tiles:
        return "none"
    at, size = chance.choice(tiles)
    for _ in range(chance.choice((1, 1, 2, 8))):
        within = min(size, 200) if chance.random() < 0.7 else size
        place = at + chance.randrange(within)
        data[place] = chance.choice((0, 1, 2, 127, 128, 254, 255, data[place] ^ 1, chance.randrange(256)))
    return at


def _bytes(data, layout, chance):
    for _ in range(chance.choice((1, 2, 10))):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return ""


_WORDS = (
    *(b"|MPP = nan|AppMag = inf|", b"|MPP = 1e999|", b"|AppMag = -0|MPP = 0x|", b"|OffsetZ = 9e9|"),
    *(b"\x1b]0;x\x07", b"\xff\xfe\0\0", b"=cmd|'x'!A1", b"<OME><", b"\r\n\r\n|||===", b"wsicomp "),
)


def _text(data, layout, chance):
    """Other words in a text, of the same length."""
    texts = [
        entry for entry in layout.entries if entry.kind == 2 and 8 < entry.count < len(data) - entry.value
    ]
    if not texts:
        return "none"
    entry = chance.choice(texts)
    words = chance.choice(_WORDS)
    at = entry.value + chance.choice((0, chance.randrange(entry.count)))
    end = min(entry.value + entry.count - 1, at + len(words))
    data[at:end] = words[: end - at]
    return words


_CHANGES = (
    *(_kind, _kind, _kind_whole, _kind_whole, _count, _count, _value, _value, _one_of_many, _one_of_many),
    *(_code, _exchange, _link, _directory_count, _head, _codestream, _codestream, _bytes, _text),
)


def fuzzed_conversion(data, chance):
    """A file of ours whose provenance is another, with a digest that fits; and what is changed, in words."""
    layout = Layout(data)
    entry = next(entry for entry in layout.entries if entry.code == _XMP_TAG)
    packet = bytes(data[entry.value : entry.value + entry.count])
    values, told = fuzzed_json(json.loads(xmp.unwrap(packet)), chance)
    text = values if isinstance(values, str) else json.dumps(values)
    forged = xmp.wrap(text.encode("ascii", "backslashreplace").decode("ascii"))
    data = bytearray(data)
    if chance.random() < 0.1:
        at = chance.randrange(len(forged))
        forged = forged[:at] + bytes([chance.randrange(256)]) + forged[at + 1 :]
    layout.put(data, entry.at + 4, len(forged))
    layout.put(data, entry.at + (12 if layout.big else 8), len(data))
    data = bytes(data) + forged
    return data, f"provenance {told}"


_STRANGE = (
    *(
        None,
        True,
        False,
        -1,
        0,
        1,
        2,
        7,
        255,
        4096,
        65535,
        1 << 31,
        1 << 32,
        1 << 62,
        1 << 63,
        1 << 64,
        1 << 200,
    ),
    *(
        -(1 << 63),
        0.5,
        -0.0,
        1e308,
        -1e308,
        1e-320,
        float("nan"),
        float("inf"),
        float("-inf"),
        "",
        "x",
        "0",
        "-1",
    ),
    *(
        "\u202e\x1b[31m\n",
        "é" * 50,
        "A" * 5000,
        "1e999",
        "nan",
        "C",
        "5C",
        "1T1E",
        "svs",
        "jpeg",
        "copy",
        "keep",
    ),
    *([], {}, [None], [0], [1, 2], [[[]]], {"": 0}, {"x": None}),
)


def fuzzed_json(values, chance):
    """JSON values with one to three changed, or a text where no such values can be; and what is changed."""
    values, told = copy.deepcopy(values), []
    if chance.random() < 0.03:
        return "[" * DEPTH + "]" * DEPTH, "nested deeply"
    if chance.random() < 0.03:
        text = json.dumps(values)
        digits = [at for at, letter in enumerate(text) if letter.isdigit()]
        at = chance.choice(digits or [0])
        return text[:at] + DIGITS + text[at:], f"a number of {len(DIGITS)} digits"
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        places = list(_places(values))
        if not places:
            break
        holder, key, path = chance.choice(places)
        told.append(_changed(holder, key, path, chance))
    return values, ", ".join(told)


def _changed(holder, key, path, chance):
    how = chance.random()
    old = holder[key]
    if how < 0.12:
        del holder[key]
        return f"{path} is gone"
    if how < 0.24 and isinstance(holder, list):
        holder.insert(chance.randrange(len(holder) + 1), copy.deepcopy(old))
        return f"{path} is there twice"
    if how < 0.4 and isinstance(old, str) and old:
        at = chance.randrange(len(old))
        holder[key] = old[:at] + chance.choice(("", "x", "0", "9", "A", "\n", "=", "-")) + old[at + 1 :]
        return f"{path} has another letter"
    if how < 0.5 and isinstance(old, int | float):
        holder[key] = chance.choice((old + 1, old - 1, -old, old * 2, old * 1000, old + 0.5))
        return f"{path} is {holder[key]}"
    holder[key] = copy.deepcopy(chance.choice(_STRANGE))
    return f"{path} is {str(holder[key])[:30]!r}"


def _places(values, path=""):
    pairs = (
        values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    )
    for key, value in list(pairs):
        name = f"{path}.{key}"
        yield values, key, name
        yield from _places(value, name)


_PIECES = (
    *(
        "",
        "[" * DEPTH + "]" * DEPTH,
        DIGITS,
        "0x" + "f" * 4300,
        "\0",
        "\x1b[2J",
        "\ufeff",
        "\ud7ff",
        "\u202e",
    ),
    *("nan", "-inf", "1e999", "-1", "{", "}", '"', "'''", "=", "\n[x]\n", "true", "1979-05-27", ",,,,", "\t"),
)


def fuzzed_text(text, chance):
    """A text with parts of it taken out, doubled, or made into what a parser may stumble over."""
    at, end = sorted((chance.randrange(len(text) + 1), chance.randrange(len(text) + 1)))
    end = min(end, at + 20)
    new = chance.choice((*_PIECES, text[at:end] * 2))
    return text[:at] + new + text[end:], f"{new[:20]!r} at {at}"


def write_fuzzed(path: Path, sound: bytes, seed: int) -> str:
    """Write a mutant of a file that is sound, of whatever kind; and say in words what was changed."""
    chance = random.Random(seed)
    is_tiff = sound[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    if is_tiff and b"urn:wsicomp:" in sound and chance.random() < 0.5:
        data, told = fuzzed_conversion(sound, chance)
    elif is_tiff:
        data, told = fuzzed_tiff(sound, chance)
    elif path.suffix in (".json", ".geojson") and chance.random() < 0.8:
        values, told = fuzzed_json(json.loads(sound), chance)
        data = (values if isinstance(values, str) else json.dumps(values)).encode()
    elif path.suffix in (".toml", ".json", ".geojson", ".csv", ".tsv"):
        text, told = fuzzed_text(sound.decode(), chance)
        data = text.encode()
    else:
        data, told = _fuzzed_bytes(sound, chance)
    path.write_bytes(data)
    return told


def _fuzzed_bytes(sound, chance):
    data = bytearray(sound)
    if chance.random() < 0.15:
        return bytes(data[: chance.randrange(len(data))]), "cut"
    for _ in range(chance.choice((1, 1, 4, 30))):
        within = min(len(data), 300) if chance.random() < 0.6 else len(data)
        data[chance.randrange(within)] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
    return bytes(data), "bytes changed"
