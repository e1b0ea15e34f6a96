"""Likeness: bounds by which a guarded codec is as true to a slide's tissue as another codec would be.

`like="jpeg:90"` asks of a slide at least the mean SSIM, and of each tile at least the least SSIM, that JPEG
of quality 90 has on a sample of its tiles. This module measures both codecs on such a sample, and finds the
coarsest quality and the least SSIM that make it so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs.base import Encoded, ModelCodec, Options, TileCodec
from wsicomp.codecs.memory import remembering
from wsicomp.codecs.quality import ssim_inside
from wsicomp.codecs.registry import bytes_a_pixel, codec_info, create_codec, decode_tile, encode_tiles
from wsicomp.concurrency.threads import batched, ordered_map
from wsicomp.errors import ConfigError
from wsicomp.files.limits import workers_for
from wsicomp.geometry import Size
from wsicomp.slide import EncodedTile, Pixels
from wsicomp.text.escaping import quoted

MOST_TILES = 64
"""The most tiles of a sample: a neural codec takes half a minute for them on two cores."""
_REFERENCES = ("jpeg", "webp")
"""Codecs that `like` takes: each has a quality from 0 or 1 to 100."""
_BATCH = 8
_SURE = 1.645
"""Standard errors by which the sample's mean has to be higher, so that the slide's is, 19 times of 20."""
_TRIES = 6
_MOST_SSIM = 0.999


class SampleTile(NamedTuple):
    """A tile of a sample."""

    pixels: Pixels
    """(rows, columns, 3) uint8 RGB."""
    visible: Size
    """The part that lies inside the level."""


@dataclass(frozen=True)
class Likeness:
    """What the codec named by `like` does to a sample of tiles, and what bounds are as good."""

    like: str
    """The codec and its quality, as "jpeg:90"."""
    tiles: int
    """The count of tiles in the sample."""
    of: int
    """The count of tiles that it stands for."""
    mean_ssim: float
    """That codec's mean SSIM on the sample."""
    least_ssim: float
    """That codec's least SSIM of a tile."""
    quality: int
    """The coarsest quality that tiles may take."""
    min_ssim: float
    """The least SSIM that tiles must have."""
    reached_ssim: float
    """The mean SSIM of the sample with these bounds."""

    @property
    def options(self) -> Options:
        """The bounds, as options of the codec."""
        return {"quality": self.quality, "min_ssim": self.min_ssim}

    @property
    def text(self) -> str:
        """What was found, in one sentence."""
        return (
            f"as like as {self.like}: on {self.tiles} of {self.of} tissue tiles that has a mean SSIM of "
            f"{self.mean_ssim:.4f} and at least {self.least_ssim:.4f}; tiles take quality {self.quality} or "
            f"finer and an SSIM of at least {self.min_ssim:.4f}, which gives {self.reached_ssim:.4f} there"
        )


def reference_codec(like: str) -> TileCodec:
    """Return the codec that `like` names.

    >>> reference_codec("jpeg:90").config()
    {'quality': 90}

    Raises:
        ConfigError: the text names none.
    """
    name, _, quality = like.partition(":")
    if name not in _REFERENCES or not quality.isdecimal():
        expected = " or ".join(f"{each}:90" for each in _REFERENCES)
        raise ConfigError(f"`like` is {quoted(like)}, expected a codec with its quality, as {expected}")
    declared = codec_info(name).option("quality")
    assert declared is not None, "it has a quality"
    return create_codec(name, {"quality": declared.checked(int(quality), "the quality of `like`")})


def reference_ssim(like: str, sample: Sequence[SampleTile], workers: int) -> NDArray[np.float64]:
    """Return the SSIM of each tile after the codec that `like` names.

    Raises:
        ConfigError: the text names none.
    """
    codec = reference_codec(like)

    def measured(tile: SampleTile) -> float:
        size = Size(tile.pixels.shape[1], tile.pixels.shape[0])
        back = decode_tile(EncodedTile(codec.encode(tile.pixels), codec.encoding, size))
        return ssim_inside(tile.pixels, back, tile.visible)

    with closing(ordered_map(measured, sample, workers)) as found:
        return np.array(list(found))


def find_likeness(
    name: str, options: Mapping[str, Any], like: str, sample: Sequence[SampleTile], of: int, workers: int
) -> Likeness:
    """Return the bounds by which the neural codec `name` is as true to a sample of tiles as `like`.

    `of` is the count of tiles that the sample stands for. A uniform quality gives the fewest bytes at a mean,
    and qualities are few: so the next coarser one with a higher least SSIM is tried as well.

    Raises:
        ConfigError: `like` names no codec.
    """
    wanted = reference_ssim(like, sample, workers)
    with remembering():
        made = _Search(name, options, sample, of, workers, wanted).best()
    return Likeness(
        like=like,
        tiles=len(sample),
        of=of,
        mean_ssim=float(wanted.mean()),
        least_ssim=float(wanted.min()),
        quality=made.quality,
        min_ssim=made.min_ssim,
        reached_ssim=made.ssim,
    )


class _Made(NamedTuple):
    """A sample, encoded by some bounds: its bytes, its mean SSIM, and whether that is high enough."""

    quality: int
    min_ssim: float
    bytes: int
    ssim: float
    is_like: bool


@dataclass(frozen=True)
class _Search:
    """The search for bounds; `wanted` has the SSIM of each tile after the codec to be like."""

    name: str
    options: Mapping[str, Any]
    sample: Sequence[SampleTile]
    of: int
    workers: int
    wanted: NDArray[np.float64]

    def best(self) -> _Made:
        """Return what the bounds make that do with the fewest bytes."""
        least = _rounded_up(float(self.wanted.min()))
        first = self._coarsest(least)
        if first.is_like and first.quality == 1:
            return first
        raised = self._raised(first.quality - first.is_like, least)
        return min(first, raised, key=lambda made: (not made.is_like, made.bytes))

    def _coarsest(self, least: float) -> _Made:
        """Return the coarsest quality that does; the finest where none does."""
        card = cast(ModelCodec, create_codec(self.name, self.options)).describe()
        low, high = 0, len(cast(Sequence[float], card["steps"]))
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._made(middle, least).is_like else (middle, high)
        return self._made(high, least)

    def _raised(self, quality: int, least: float) -> _Made:
        """Return what a quality makes with the smallest least SSIM, of those tried, that makes it do."""
        low, high = least, min(_MOST_SSIM, float(self.wanted.mean()) + 2 * self._error(self.wanted))
        best = self._made(quality, _rounded_up(high))
        for _ in range(_TRIES if best.is_like else 0):
            middle = (low + high) / 2
            tried = self._made(quality, _rounded_up(middle))
            low, high, best = (low, middle, tried) if tried.is_like else (middle, high, best)
        return best

    def _made(self, quality: int, least: float) -> _Made:
        codec = create_codec(self.name, {**self.options, "quality": quality, "min_ssim": least})

        def encoded(tiles: list[SampleTile]) -> list[Encoded]:
            return encode_tiles(codec, [tile.pixels for tile in tiles], (), [tile.visible for tile in tiles])

        largest = max((tile.pixels.shape[:2] for tile in self.sample), key=math.prod)
        threads = workers_for(Size(*largest), self.workers, bytes_a_pixel(codec.encoding))
        with closing(ordered_map(encoded, batched(self.sample, _BATCH), threads)) as batches:
            made = [tile for batch in batches for tile in batch]
        found = np.array([tile.fidelity.ssim if tile.fidelity else 1.0 for tile in made])
        better = found - self.wanted
        is_like = float(better.mean()) >= self._error(better)
        return _Made(quality, least, sum(len(tile.data) for tile in made), float(found.mean()), is_like)

    def _error(self, values: NDArray[np.float64]) -> float:
        """Return how far the sample's mean may be above that of all tiles; 0 where the sample is all."""
        left_out = 1 - len(values) / max(self.of, len(values))
        return _SURE * float(values.std()) * math.sqrt(left_out / len(values))


def _rounded_up(value: float) -> float:
    return math.ceil(value * 10_000) / 10_000
