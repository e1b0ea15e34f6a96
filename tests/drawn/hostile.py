"""Files that mean harm, or were harmed: tags of another type, numbers beyond bounds, forged provenance."""

from __future__ import annotations

import json
import random
import shutil

import numpy as np
import tifffile

from tests import layouts, tiffs
from tests.drawn import colour
from tests.drawn.fuzzed import DEPTH, DIGITS, SIZES, Layout
from wsicomp.formats.tiff import xmp

FAR = 14_000_000_000_000
TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS, JPEG_TABLES = 323, 324, 325, 347


def shared_tables(path, big=False):
    """Write an SVS of abbreviated JPEG tiles of 64 x 64 px whose tables stand in JPEGTables; its pixels."""
    pixels = colour.picture(128, 96)
    padded = np.pad(pixels, ((0, 32), (0, 0), (0, 0)), mode="edge")
    whole = [
        colour.jpeg_stream(
            np.ascontiguousarray(padded[y : y + 64, x : x + 64]), 6, "no marker", "1 2 3", "444"
        )
        for y in (0, 64)
        for x in (0, 64)
    ]
    tables = {JPEG_TABLES: ("B", colour.split(whole[0])[0]), 530: ("H", (1, 1))}
    text = tiffs.DESCRIPTION.format(128, 96).encode()
    pieces = [colour.abbreviated(stream) for stream in whole]
    image = layouts.Image(128, 96, pieces, description=text, tags=tables)
    path.write_bytes(layouts.lay_out([image], random.Random(0), big))
    return pixels


def with_kind(path, code, kind):
    """Give a tag of a TIFF another type; as many of its values as fill the same bytes."""
    data = bytearray(path.read_bytes())
    layout = Layout(data)
    for entry in layout.entries:
        if entry.code == code:
            layout.put(data, entry.at + 2, kind, layout.order + "H")
            layout.put(data, entry.at + 4, max(1, entry.bytes // SIZES.get(kind, 1)))
    path.write_bytes(data)


def tables_as_shorts(path):
    """Write the same slide with JPEGTables of 16-bit numbers, each of which holds a byte; its pixels."""
    pixels = shared_tables(path)
    data = bytearray(path.read_bytes())
    layout = Layout(data)
    entry = next(entry for entry in layout.entries if entry.code == JPEG_TABLES)
    tables = data[entry.value : entry.value + entry.count]
    layout.put(data, entry.at + 2, 3, "<H")
    layout.put(data, entry.at + 8, len(data))
    path.write_bytes(bytes(data) + b"".join(bytes([byte, 0]) for byte in tables))
    return pixels


def far_out(path, code, value=FAR):
    """Write an SVS of JPEG 2000 with a number beyond all bounds for its first tile, or its tiles' length."""
    tiffs.write_tiff(path, bigtiff=True, compression="aperio_jp2000_ycbc")
    data = bytearray(path.read_bytes())
    layout = Layout(data)
    entry = next(entry for entry in layout.entries if entry.code == code)
    if entry.count == 1:
        layout.put(data, entry.value, value, "<I")
    else:
        place = len(data)
        values = list(layout.values(data, entry))
        values[0] = value
        data += b"".join(number.to_bytes(8, "little") for number in values)
        layout.put(data, entry.at + 2, 16, "<H")
        layout.put(data, entry.at + 12, place)
    path.write_bytes(data)


def torn_off(path):
    """Write an SVS of two levels whose last tile of level 0 lies beyond the file's end; its pixels."""
    pixels = tiffs.picture(400, 300)
    with tifffile.TiffWriter(path) as tiff:
        options = {"tile": (64, 64), "compression": "jpeg", "photometric": "rgb", "metadata": None}
        tiff.write(pixels, description=tiffs.DESCRIPTION.format(400, 300), **options)
        tiff.write(np.ascontiguousarray(pixels[::2, ::2]), **options)
    data = bytearray(path.read_bytes())
    layout = Layout(data)
    entry = next(entry for entry in layout.entries if entry.code == TILE_OFFSETS)
    layout.put(data, entry.value + 4 * (entry.count - 1), len(data) + 1_000_000, "<I")
    path.write_bytes(data)
    return pixels


def cut(path, sound, count):
    """Write the first bytes of a sound file."""
    path.write_bytes(sound.read_bytes()[:count])


def forge(path, change):
    """Change what a file of ours says of itself, with a digest that fits: `change` gets its values."""
    data = bytearray(path.read_bytes())
    layout = Layout(data)
    entry = next(entry for entry in layout.entries if entry.code == 700)
    values = json.loads(xmp.unwrap(bytes(data[entry.value : entry.value + entry.count])))
    values = change(values) or values
    packet = xmp.wrap(values if isinstance(values, str) else json.dumps(values))
    packet = packet[packet.index(b"<x:") :].partition(b"<?xpacket")[0]  # as older versions hold it
    layout.put(data, entry.at + 4, len(packet))
    layout.put(data, entry.at + (12 if layout.big else 8), len(data))
    path.write_bytes(bytes(data) + packet)


def with_a_level_more(path):
    """Make the label of an SVS of ours a tiled image, which OpenSlide's aperio driver takes for a level."""
    data = bytearray(path.read_bytes())
    layout = Layout(data)
    start, _ = layout.directories[-1]
    own = {entry.code: entry for entry in layout.entries if entry.at > start}
    for old, new in ((273, 324), (279, 325), (278, 323), (282, 322)):
        entry = own[old]
        layout.put(data, entry.at, new, "<H")
        if new in (322, 323):
            layout.put(data, entry.at + 2, 3, "<H")
            layout.put(data, entry.at + 4, 1)
            layout.put(data, entry.at + 8, 256)
    path.write_bytes(data)


DEEP = {
    "lists in lists": f"margin_um = {'[' * DEPTH}{']' * DEPTH}\n",
    "tables in tables": f"margin_um = {'{a = ' * DEPTH}1{'}' * DEPTH}\n",
    "a name of many parts": f"{'.'.join('a' * DEPTH)} = 1\n",
    "a number of 5,000 digits": f"quality = {DIGITS}\n",
    "a fraction of 5,000 digits": f"margin_um = -1.{DIGITS}\n",
    "a date that is none": "codec = 1979-13-99\n",
    "a hexadecimal of 4,300 digits": f"quality = 0x{'f' * 4300}\n",
    "the same for a length": f"margin_um = 0x{'f' * 4300}\n",
    "the same for a choice": f"glass = 0x{'f' * 4300}\n",
    "no text": "codec = '\udcff'\n",
}
"""Presets, each by what is wrong with it."""


def write_preset(path, kind):
    """Write one of them."""
    path.write_bytes(DEEP[kind].encode("utf-8", "surrogateescape"))


NAMES = {
    "escape": "\x1b]0;owned\x07\x1b[31m.svs",
    "lines": "a\nwsicomp: all is well\n.svs",
    "formula": "=cmd|' C calc'!A0.svs",
    "plus": "+1+1.svs",
    "at": "@SUM(A1).svs",
    "right to left": "a\u202egvs.svs",
    "markup": "<img src=x onerror=alert(1)>.svs",
    "marks": "a|b`*_[x](y)_*#.svs",
}
"""Names of files that a terminal, a spreadsheet, a browser or Markdown would obey."""


def write_named(folder, source):
    """Copy a slide under each of these names."""
    folder.mkdir(exist_ok=True)
    for name in NAMES.values():
        shutil.copy(source, folder / name)
