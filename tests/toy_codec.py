"""A codec of a test: samples in the order of their planes, packed by zlib; declared as any other."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np

from wsicomp.codecs.base import CodecInfo, Compression, Options, Program, QualityDial
from wsicomp.codecs.pixels import rgb
from wsicomp.geometry import Size
from wsicomp.options import Option
from wsicomp.slide import RGB, EncodedTile, Pixels, TileEncoding

TOY = 65_432


def decode(tile: EncodedTile) -> Pixels:
    samples = zlib.decompress(tile.data)
    if len(samples) != tile.size.width * tile.size.height * 3:
        raise ValueError(f"{len(samples)} samples")
    return np.frombuffer(samples, np.uint8).reshape(3, *tile.size.shape).transpose(1, 2, 0).copy()


def encode_uniform(encoding: TileEncoding, size: Size, color: tuple[int, int, int]) -> bytes:
    return Codec().encode(np.full((*size.shape, 3), color, np.uint8))


def without_text(tile: EncodedTile, tables: bytes | None) -> EncodedTile:
    return replace(tile, data=Codec().encode(decode(tile)))


def encode_alike(tile: EncodedTile, encoding: TileEncoding, pixels: Pixels) -> bytes:
    return Codec().encode(pixels)


class Codec:
    lossless = False
    encoding = TileEncoding(TOY, RGB)

    def __init__(self, steps: int = 1) -> None:
        self.steps = steps

    def config(self) -> Options:
        return {"steps": self.steps}

    def encode(self, pixels: Pixels) -> bytes:
        coarse = rgb(pixels) // self.steps * self.steps
        return zlib.compress(np.ascontiguousarray(coarse.transpose(2, 0, 1)).tobytes())


CODECS = (
    CodecInfo(
        name="toy",
        module=__name__,
        compressions=(Compression(TOY, "toy tiles", readers=frozenset({Program.FAST})),),
        options=(Option("steps", int, "grey levels in a step", default=1, least=1, most=64, metavar="N"),),
        dial=QualityDial("steps", 64, 1, (32, 8, 2), is_whole=True),
        color_shift=lambda options: 1 + int(options.get("steps", 1)),
        aliases={"toy-coarse": {"steps": 16}},
    ),
)
