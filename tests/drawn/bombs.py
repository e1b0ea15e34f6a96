"""Files of some kilobytes or megabytes that state, or unpack to, far more than they hold.

Each function writes one and returns what there is to know of it. A `scale` makes a bomb larger: small ones
are for tests, large ones for the table of memory and time.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import lzma
import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from wsicomp.formats.originals import forms
from wsicomp.formats.originals.writing import IndexBuilder
from wsicomp.formats.tiff import xmp

Pixels = NDArray[np.uint8]
RGB, JPEG2000 = 2, 33005
CODECS = {
    "jpeg": 7,
    "jpegxl": 50002,
    "webp": 50001,
    "deflate": 8,
    "lzw": 5,
    "zstd": 50000,
    "jpeg2000": JPEG2000,
}
"""Compressions of tiles that `encoded` makes."""
SVS = "Aperio Image Library v12.0\r\n{0}x{1} ({2}x{2}) J2K/RGB|AppMag = 20|MPP = 0.5"
BLOCK_BYTES = 1 << 26


def encoded(codec: str, pixels: Pixels) -> bytes:
    """A tile's bytes."""
    makers = {
        "jpeg": lambda: imagecodecs.jpeg8_encode(pixels, level=90, colorspace="rgb", outcolorspace="rgb"),
        "jpegxl": lambda: imagecodecs.jpegxl_encode(pixels, lossless=True, effort=1, usecontainer=False),
        "webp": lambda: imagecodecs.webp_encode(pixels, lossless=True),
        "deflate": lambda: zlib.compress(pixels.tobytes()),
        "lzw": lambda: imagecodecs.lzw_encode(pixels.tobytes()),
        "zstd": lambda: imagecodecs.zstd_encode(pixels.tobytes()),
        "jpeg2000": lambda: imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", reversible=True),
    }
    return bytes(makers[codec]())


def noise(side: int) -> Pixels:
    """Pixels that no codec makes small."""
    return np.random.default_rng(7).integers(0, 256, (side, side, 3), np.uint8)


def tiled(path: Path, data: list[bytes], codec: str, tile: int, columns: int, rows: int) -> Path:
    """A TIFF, an SVS where JPEG 2000 asks for one; tiles behind `data` share the last one's bytes."""
    width, height = columns * tile, rows * tile
    in_svs = codec == "jpeg2000"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(
            iter([*data, *[b""] * (columns * rows - len(data))]),
            shape=(height, width, 3),
            dtype=np.uint8,
            tile=(tile, tile),
            photometric=RGB,
            compression=CODECS[codec],
            description=SVS.format(width, height, tile) if in_svs else None,
            metadata=None,
            **({"compressionargs": {"outcolorspace": "rgb"}} if codec == "jpeg" else {}),
        )
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for code in (324, 325):
            tag = tiff.pages.first.tags[code]
            values = list(tag.value)
            values[len(data) :] = [values[len(data) - 1]] * (len(values) - len(data))
            tag.overwrite(values)
    return path


def shared_tile(path: Path, side: int = 12) -> Pixels:
    """A slide of `side` x `side` tiles that are all the same stored bytes; returns a tile's pixels."""
    data = encoded("jpeg", noise(256))
    tiled(path, [data], "jpeg", 256, side, side)
    return np.asarray(imagecodecs.jpeg8_decode(data, colorspace="rgb", outcolorspace="rgb"))


def large_tiles(path: Path, codec: str = "jpeg", columns: int = 5, rows: int = 4) -> tuple[int, int, int]:
    """Tiles of 4096 x 4096 px of one colour, all the same bytes; returns the colour."""
    color = (200, 150, 190)
    tiled(path, [encoded(codec, np.full((4096, 4096, 3), color, np.uint8))], codec, 4096, columns, rows)
    return color


def long_text(path: Path, repeated: str = "|", times: int = 5_000_000, in_fields: bool = True) -> str:
    """An SVS with so many of a text's pieces at the end of its ImageDescription, or of its history."""
    head, _, fields = SVS.format(128, 128, 64).replace("J2K/RGB", "JPEG/RGB").partition("|")
    text = f"{head}|{fields}{repeated * times}" if in_fields else f"{head}{repeated * times}|{fields}"
    with tifffile.TiffWriter(path) as tiff:
        options: dict[str, Any] = {"photometric": "rgb", "compression": "jpeg", "metadata": None}
        pixels = np.full((128, 128, 3), 200, np.uint8)
        tiff.write(pixels, tile=(64, 64), description=text.encode("latin-1"), **options)
    return text


def one_tile(path: Path, tile: int, columns: int, rows: int, is_shared: bool = True) -> None:
    """So many tiles that share the first one's bytes, or have none; small, they stand for a square mile."""
    data = encoded("jpeg", np.full((tile, tile, 3), (200, 150, 190), np.uint8))
    tiled(path, [data] if is_shared else [data, b""], "jpeg", tile, columns, rows)


def larger_frame(path: Path, codec: str = "jpeg", side: int = 8000) -> None:
    """Tiles of 256 px whose streams hold a picture of `side` px."""
    tiled(path, [encoded(codec, np.full((side, side, 3), 200, np.uint8))], codec, 256, 2, 2)


def many_scans(path: Path, scans: int = 2000) -> int:
    """A slide of four tiles: a sound one, and three times a progressive JPEG of so many scans."""
    stream = io.BytesIO()
    pixels = np.full((256, 256, 3), 200, np.uint8)
    Image.fromarray(pixels).save(stream, "JPEG", progressive=True, keep_rgb=True)
    data = stream.getvalue()
    last = data.rindex(b"\xff\xda")
    bomb = data[:-2] + data[last:-2] * scans + data[-2:]
    tiled(path, [encoded("jpeg", pixels), bomb], "jpeg", 256, 2, 2)
    return bomb.count(b"\xff\xda")


def cut_small(path: Path, kind: str = "precincts", side: int = 2048) -> None:
    """JPEG 2000 in precincts of 2 px ("precincts"), in 42,025 tiles ("tiles"), or 65535 layers ("layers")."""
    data = encoded("jpeg2000", np.full((side, side, 3), 200, np.uint8))
    at = data.index(b"\xff\x52")
    end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    segment = bytearray(data[at:end])
    header = bytearray(data[:at])
    exponents = {"precincts": 0x11, "layers": 0x66}.get(kind, 0xFF)
    segment[4] |= 1
    segment[14:] = bytes([exponents]) * (segment[9] + 1)
    segment[2:4] = (len(segment) - 2).to_bytes(2, "big")
    if kind == "layers":
        segment[6:8] = b"\xff\xff"
    if kind == "tiles":
        header[24:32] = (side // 200).to_bytes(4, "big") * 2
    tiled(path, [bytes(header + segment) + data[end:]], "jpeg2000", side, 2, 1)


def packed_comments(comments: int = 200) -> bytes:
    """A JPEG of 256 px with so many comments of 64 kB, packed as JPEG XL to some kilobytes."""
    data = bytes(imagecodecs.jpeg8_encode(np.full((256, 256, 3), 200, np.uint8)))
    comment = b"\xff\xfe\xff\xff" + bytes(0xFFFD)
    whole = data[:2] + comment * comments + data[2:]
    return bytes(imagecodecs.jpegxl_encode_jpeg(whole, usecontainer=True, numthreads=1))


def shared_lists(path: Path, directories: int = 40, tiles: int = 100_000) -> None:
    """So many directories that all have the same list of so many tiles."""
    side = int(tiles**0.5) * 16
    count = (side // 16) ** 2
    lists = struct.pack(f"<{count}I", *[8] * count)
    body = bytearray(
        b"II*\0" + struct.pack("<I", 8 + 2 * len(lists)) + lists + struct.pack(f"<{count}I", *[1] * count)
    )
    tags = [
        (254, 4, 1, 1),
        (256, 4, 1, side),
        (257, 4, 1, side),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
    ]
    tags += [
        (277, 3, 1, 3),
        (322, 4, 1, 16),
        (323, 4, 1, 16),
        (324, 4, count, 8),
        (325, 4, count, 8 + len(lists)),
    ]
    for number in range(directories):
        entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
        following = len(body) + 2 + len(entries) + 4 if number + 1 < directories else 0
        body += struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)
    path.write_bytes(body)


def huge_profile(path: Path, gigabytes: float = 0.5) -> None:
    """A slide whose ICC profile is a hole of so many gigabytes in its file."""
    tiled(path, [encoded("deflate", noise(64))], "deflate", 64, 2, 2)
    size = int(gigabytes * (1 << 30))
    with path.open("r+b") as file:
        start = file.seek(0, 2)
        file.truncate(start + size)
        file.seek(4)
        (offset,) = struct.unpack("<I", file.read(4))
        file.seek(offset)
        (count,) = struct.unpack("<H", file.read(2))
        entries = file.read(12 * count + 4)
        file.seek(start)
        profile = struct.pack("<HHII", 34675, 7, size, start + 8192)
        file.write(struct.pack("<H", count + 1) + entries[:-4] + profile + bytes(4))
        file.seek(4)
        file.write(struct.pack("<I", start))


def large_macro(path: Path, side: int = 9000) -> None:
    """An SVS whose macro is one strip of deflate of `side` x `side` px in one colour."""
    with tifffile.TiffWriter(path) as tiff:
        description = SVS.format(128, 128, 64)
        tiff.write(noise(128), tile=(64, 64), photometric="rgb", description=description, metadata=None)
        tiff.write(
            noise(64), rowsperstrip=64, photometric="rgb", description="Aperio\r\nof 64 px", metadata=None
        )
        strip = zlib.compress(bytes([200, 150, 190]) * side * side, 1)
        tiff.write(
            iter([strip]),
            shape=(side, side, 3),
            dtype=np.uint8,
            rowsperstrip=side,
            photometric=RGB,
            compression=8,
            subfiletype=9,
            description="Aperio\r\nmacro",
            metadata=None,
        )


def crossing_edges(path: Path, edges: int = 20_000, side: int = 4096) -> None:
    """GeoJSON of one outline of so many edges from end to end of a slide of `side` px."""
    points = np.random.default_rng(3).integers(0, side, (edges, 2)).tolist()
    ring = [*points, points[0]]
    path.write_text(json.dumps({"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}}))


def many_outlines(path: Path, outlines: int = 2000, side: int = 4096) -> None:
    """GeoJSON of so many squares that all cover a slide of `side` px."""
    square = [[[0, 0], [side, 0], [side, side], [0, side], [0, 0]]]
    path.write_text(json.dumps({"type": "MultiPolygon", "coordinates": [square] * outlines}))


def large_mask(path: Path, side: int = 12_000) -> None:
    """A PNG of `side` x `side` px with alpha, in some hundred kilobytes."""
    Image.new("RGBA", (side, side), (255, 255, 255, 255)).save(path, compress_level=1)


def tile_of_a_mask(path: Path, side: int = 60_000) -> None:
    """A mask in TIFF of 64 x 64 px, whose one tile states `side` px."""
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(np.full((64, 64), 255, np.uint8), tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for code in (322, 323):
            tiff.pages.first.tags[code].overwrite(side)


def reforged(path: Path, **changed: Any) -> None:
    """Give a conversion another provenance, in which these keys have other values, with a sound digest."""
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tag = tiff.pages.first.tags[xmp.XMP_TAG]
        values = json.loads(xmp.unwrap(tag.value) or "")
        for name, value in changed.items():
            values[name] = value(values[name]) if callable(value) else value
        tag.overwrite(xmp.wrap(json.dumps(values)))


def long_remainder(path: Path, gigabytes: float = 2.0) -> None:
    """Have a restorable conversion end in so many gigabytes of zeros, in some hundred kilobytes."""
    blocks = int(gigabytes * (1 << 30) / BLOCK_BYTES)
    packer, digest = lzma.LZMACompressor(preset=0), hashlib.sha256()
    parts = [packer.compress(bytes(8))]
    for _ in range(blocks):
        parts.append(packer.compress(bytes(BLOCK_BYTES)))
        digest.update(bytes(BLOCK_BYTES))
    with_remainder(path, b"".join([*parts, packer.flush()]), blocks * BLOCK_BYTES, digest.hexdigest())


def zero_blocks(path: Path, gigabytes: float = 2.0) -> None:
    """Have a restorable conversion be so many gigabytes of zeros, by its index."""
    builder, blocks = IndexBuilder(), int(gigabytes * (1 << 30) / forms.BLOCK_BYTES)
    zeros = bytes(forms.BLOCK_BYTES)
    packed = bytes(imagecodecs.zstd_encode(zeros))
    with path.open("ab") as file:
        for _ in range(blocks):
            unit = builder.add_unit(forms.ZSTD, file.tell(), len(packed), zeros)
            builder.add_extent(unit, 0, len(zeros))
            file.write(packed)
    digest = hashlib.sha256()
    for _ in range(blocks):
        digest.update(zeros)
    with_index(path, builder.index().to_bytes(), blocks * len(zeros), digest.hexdigest())


def with_index(path: Path, data: bytes, stated: int, sha256: str) -> None:
    """Append an index of one's own to a restorable conversion, which states so large a source."""
    with_remainder(path, data, stated, sha256, index_bytes=len(data))


def with_remainder(path: Path, data: bytes, stated: int, sha256: str, **more: int) -> None:
    """Append a remainder of one's own to a restorable conversion, which states so large a source."""
    with path.open("ab") as file:
        offset = file.tell()
        file.write(data)
    kept = {"offset": offset, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), **more}
    reforged(
        path,
        restoration=kept,
        plan=lambda plan: plan | {"source": plan["source"] | {"bytes": stated, "sha256": sha256}},
    )


def same_piece(path: Path, times: int = 100_000) -> None:
    """Have a restorable conversion list its first tile so many times."""
    lists = [np.array([times]), np.zeros(times), np.zeros(times), np.zeros(times)]
    data = lzma.compress(b"".join(numbers.astype("<i8").tobytes() for numbers in lists))
    with_remainder(path, data, 1 << 40, "0" * 64)


def large_dictionary(path: Path) -> None:
    """Have what rebuilds a source ask for a dictionary of 1.5 GB."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 3 << 29}]
    packer = lzma.LZMACompressor(filters=filters)
    # The dictionary stands in one byte of the block's header; making it of a small one takes no memory.
    small = lzma.compress(bytes(8), preset=0)
    del packer
    header = bytearray(small)
    start, length = 12, (small[12] + 1) * 4
    block = header[start : start + length - 4]
    place = block.index(0x21) + 2
    block[place] = 39
    header[start : start + length] = block + zlib.crc32(bytes(block)).to_bytes(4, "little")
    with_remainder(path, bytes(header), 1000, "0" * 64)


def many_runs(path: Path, runs: int = 1_000_000) -> None:
    """Have a conversion's first row of tiles be told in so many runs more, of no tile each."""

    def told(plan: dict[str, Any]) -> dict[str, Any]:
        rows = plan["levels"][0]["actions"]
        rows[0] = "0C0B" * (runs // 2) + rows[0]
        return plan

    reforged(path, plan=told)


def many_values(path: Path, values: int = 5_000_000) -> None:
    """Have a conversion's provenance hold so many empty lists where nothing reads them."""
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tag = tiff.pages.first.tags[xmp.XMP_TAG]
        text = (xmp.unwrap(tag.value) or "")[:-1]
        tag.overwrite(xmp.wrap(f'{text},"more":[{"[]," * values}0]}}'))


def many_tiles(path: Path, levels: int = 4, side: int = 8000) -> None:
    """Have a conversion state so many levels of `side` x `side` tiles, in a line for each row of them."""

    def stated(plan: dict[str, Any]) -> dict[str, Any]:
        large = dict(plan["levels"][0])
        large |= {"size": [side * 16, side * 16], "tile": [16, 16], "actions": [f"{side}C"] * side}
        return plan | {"levels": [large | {"number": number} for number in range(levels)]}

    record = {
        "sha256": "0" * 64,
        "digests": base64.b64encode(b"").decode(),
        "kept": [],
        "flawed": [],
        "lost": [],
    }
    reforged(path, plan=stated, levels=[record] * levels)
