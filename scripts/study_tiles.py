"""Codecs on tiles of tissue: their curves of SSIM over bits, and what they cost at equal SSIM.

What the parts of `scripts/study` that need no slide have in common.
"""

import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from wsicomp.codecs.quality import ssim
from wsicomp.codecs.registry import create_codec, decode_tiles, encode_tiles
from wsicomp.comparison.codec_specs import parse_codec_spec
from wsicomp.geometry import Size
from wsicomp.slide import EncodedTile, Pixels

SIDE = 256
PICTURES = (".png", ".webp", ".tif", ".tiff", ".jpg", ".jpeg")
PAGE = Path(__file__).parent.parent / "docs/results/codecs.md"
_UNGUARDED = {"min_ssim": 0.0, "min_psnr": 0.0, "max_color_shift": 255.0}

Encode = Callable[[float, Sequence[Pixels]], list[bytes]]
Decode = Callable[[float, Sequence[bytes]], list[Pixels]]


@dataclass(frozen=True)
class Coder:
    """A codec at every setting of its ladder."""

    name: str
    settings: tuple[float, ...]
    encode: Encode
    decode: Decode


@dataclass(frozen=True)
class Point:
    """Means over the tiles of a codec at one setting."""

    setting: float
    bits_per_pixel: float
    ssim: float
    encode_ms: float
    """CPU milliseconds a tile."""
    decode_ms: float


def add_options(parser: ArgumentParser) -> None:
    """Add the folder of pictures and the count of tiles."""
    parser.add_argument(
        "folder", type=Path, help="pictures of tissue, best of patients that no model has seen"
    )
    parser.add_argument("--tiles", type=int, default=44, help=f"of {SIDE} px, picked evenly from all")


def tiles_of(folder: Path, count: int) -> list[Pixels]:
    """Return tiles of a folder's pictures, picked evenly; end with a line where there are none."""
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in PICTURES)
    found = [tile for path in paths for tile in picture_tiles(np.asarray(Image.open(path).convert("RGB")))]
    if not found:
        sys.exit(f"{folder}: no picture of at least {SIDE} px a side ({', '.join(PICTURES)})")
    picked = np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int)
    return [found[number] for number in picked]


def picture_tiles(picture: Pixels) -> list[Pixels]:
    """Return the whole tiles of a picture, in rows."""
    rows, columns = (side // SIDE * SIDE for side in picture.shape[:2])
    return [
        np.ascontiguousarray(picture[y : y + SIDE, x : x + SIDE])
        for y in range(0, rows, SIDE)
        for x in range(0, columns, SIDE)
    ]


def registered(name: str, spec: str, settings: tuple[float, ...]) -> Coder:
    """Return a codec of wsicomp by its short name, as `{:g}` of a setting makes it: "jpeg:{:g}".

    A model runs without its guard.
    """

    def codec_at(setting: float):  # noqa: ANN202 - a TileCodec
        values = dict(parse_codec_spec(spec.format(setting)).config_values)
        codec = str(values.pop("codec"))
        return create_codec(codec, {**values, **(_UNGUARDED if "model" in values else {})})

    def encode(setting: float, tiles: Sequence[Pixels]) -> list[bytes]:
        codec = codec_at(setting)
        if hasattr(codec, "payloads"):
            return list(codec.payloads(tiles))
        return [made.data for made in encode_tiles(codec, tiles)]

    def decode(setting: float, data: Sequence[bytes]) -> list[Pixels]:
        encoding = codec_at(setting).encoding
        return decode_tiles([EncodedTile(each, encoding, Size(SIDE, SIDE)) for each in data])

    return Coder(name, settings, encode, decode)


def single(
    name: str,
    settings: tuple[float, ...],
    encode: Callable[[float, Pixels], bytes],
    decode: Callable[[bytes], Pixels],
) -> Coder:
    """Return a codec whose functions take one tile."""
    return Coder(
        name,
        settings,
        lambda setting, tiles: [encode(setting, tile) for tile in tiles],
        lambda _, data: [np.asarray(decode(each)) for each in data],
    )


def curve(coder: Coder, tiles: Sequence[Pixels]) -> list[Point]:
    """Measure a codec at each of its settings, on the same tiles."""
    coder.decode(coder.settings[0], coder.encode(coder.settings[0], tiles[:1]))  # what is loaded but once
    return [point(coder, setting, tiles) for setting in coder.settings]


def point(
    coder: Coder, setting: float, tiles: Sequence[Pixels], originals: Sequence[Pixels] | None = None
) -> Point:
    """Measure a codec at one setting; `originals` are what its tiles are held against, if not themselves."""
    start = time.process_time()
    data = coder.encode(setting, tiles)
    middle = time.process_time()
    decoded = coder.decode(setting, data)
    end = time.process_time()
    likeness = [ssim(one, two) for one, two in zip(originals or tiles, decoded, strict=True)]
    bits = 8 * sum(map(len, data)) / sum(tile.shape[0] * tile.shape[1] for tile in tiles)
    a_tile = 1000 / len(tiles)
    return Point(setting, bits, float(np.mean(likeness)), (middle - start) * a_tile, (end - middle) * a_tile)
