"""TIFFs laid out by hand, in any order that the format allows: what readers may meet."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

TYPES = {"B": 1, "s": 2, "H": 3, "I": 4, "f": 11, "d": 12, "Q": 16}


@dataclass
class Image:
    """One directory: `pieces` are the bytes of its tiles or strips; None repeats the piece before."""

    width: int
    height: int
    pieces: list
    tile: tuple | None = (64, 64)
    compression: int = 7
    photometric: int = 6
    subfile: int = 0
    description: bytes = b""
    tags: dict = field(default_factory=dict)


def lay_out(images, rng, big=False, byte_order="<", gap=40, tail=b""):
    """The file's bytes: directories, values and pieces in an order and with gaps that `rng` draws.

    Gaps hold noise. `tail` comes after everything.
    """
    form = Form(big, byte_order)
    tables = [_entries(image, form) for image in images]
    blocks = {}
    for number, (image, entries) in enumerate(zip(images, tables, strict=True)):
        pieces = {
            f"piece {number} {piece}": data for piece, data in enumerate(image.pieces) if data is not None
        }
        values = {f"value {number} {code}": form.pack(*entry) for code, entry in entries.items()}
        blocks |= pieces | {name: value for name, value in values.items() if len(value) > form.room}
        blocks[f"directory {number}"] = bytes(form.directory_bytes(len(entries)))
    names = list(blocks)
    rng.shuffle(names)
    place, at = {}, form.header_bytes
    for name in names:
        at += rng.randint(0, gap)
        at += at % 2
        place[name] = at
        at += len(blocks[name])
    data = bytearray(rng.randbytes(at)) + tail
    data[: form.header_bytes] = form.header(place["directory 0"])
    for number, (image, entries) in enumerate(zip(images, tables, strict=True)):
        _fill_pieces(image, number, entries, place, blocks)
        for code, entry in entries.items():
            if f"value {number} {code}" in blocks:
                blocks[f"value {number} {code}"] = form.pack(*entry)
        blocks[f"directory {number}"] = form.directory(number, entries, place)
    for name, block in blocks.items():
        data[place[name] : place[name] + len(block)] = block
    return bytes(data)


@dataclass(frozen=True)
class Form:
    """Classic or BigTIFF, and the order of bytes."""

    big: bool
    byte_order: str

    @property
    def offset(self):
        return "Q" if self.big else "I"

    @property
    def room(self):
        return 8 if self.big else 4

    @property
    def header_bytes(self):
        return 16 if self.big else 8

    def directory_bytes(self, count):
        return 8 + 20 * count + 8 if self.big else 2 + 12 * count + 4

    def header(self, first):
        order = b"II" if self.byte_order == "<" else b"MM"
        if self.big:
            return order + struct.pack(f"{self.byte_order}HHHQ", 43, 8, 0, first)
        return order + struct.pack(f"{self.byte_order}HI", 42, first)

    def pack(self, kind, values):
        return struct.pack(f"{self.byte_order}{len(values)}{'B' if kind == 's' else kind}", *values)

    def directory(self, number, entries, place):
        result = self.pack("Q" if self.big else "H", [len(entries)])
        for code, (kind, values) in entries.items():
            packed = self.pack(kind, values)
            if len(packed) > self.room:
                packed = self.pack(self.offset, [place[f"value {number} {code}"]])
            result += self.pack("H", [code, TYPES[kind]]) + self.pack(self.offset, [len(values)])
            result += packed.ljust(self.room, b"\0")
        return result + self.pack(self.offset, [place.get(f"directory {number + 1}", 0)])


def _entries(image, form):
    offset_type = form.offset
    count = len(image.pieces)
    entries = {
        254: ("I", [image.subfile]),
        256: ("I", [image.width]),
        257: ("I", [image.height]),
        258: ("H", [8, 8, 8]),
        259: ("H", [image.compression]),
        262: ("H", [image.photometric]),
        277: ("H", [3]),
        284: ("H", [1]),
    }
    if image.description:
        entries[270] = ("s", [*image.description, 0])
    if image.tile is None:
        rows = -(-image.height // count)
        entries |= {273: (offset_type, [0] * count), 278: ("I", [rows]), 279: ("I", [0] * count)}
    else:
        entries |= {
            322: ("I", [image.tile[0]]),
            323: ("I", [image.tile[1]]),
            324: (offset_type, [0] * count),
            325: ("I", [0] * count),
        }
    entries |= image.tags
    return dict(sorted((code, (kind, list(values))) for code, (kind, values) in entries.items()))


def _fill_pieces(image, number, entries, place, blocks):
    offsets, counts = (273, 279) if image.tile is None else (324, 325)
    at, length = 0, 0
    for piece, data in enumerate(image.pieces):
        if data is not None:
            at, length = place[f"piece {number} {piece}"], len(blocks[f"piece {number} {piece}"])
        entries[offsets][1][piece], entries[counts][1][piece] = at, length
