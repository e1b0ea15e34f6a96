"""Codecs on held-out tissue: rate and fidelity by magnification, over each codec's range of settings.

Bits are those of the tiles as a conversion stores them, headers included.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsicomp.codecs.base import Options, TileCodec
from wsicomp.codecs.neural.store import model_named
from wsicomp.codecs.registry import create_codec
from wsicomp.codecs.tile_quality import encoded_fidelity
from wsicomp.concurrency.threads import available_cores, batched, ordered_map
from wsicomp.errors import TrainingError
from wsicomp.geometry import TileIndex
from wsicomp.progress import StageProgress
from wsicomp.slide import Pixels
from wsicomp.training.codec.curves import CodecComparison, Measurement, RatePoint, at_equal_ssim, curves
from wsicomp.training.data.labels import IGNORED, TISSUE
from wsicomp.training.data.patch_set import Patch, PatchSet

TILE_PX = 240
"""The side of a measured tile: a field of 1000 px at 40x has one such tile at 10x."""
SWEEPS: Mapping[str, Sequence[Options]] = {
    "jpeg": [{"quality": quality} for quality in (30, 40, 50, 60, 70, 75, 80, 85, 90, 93, 95, 97)],
    "jpegxl": [
        {"distance": distance, "effort": 7}
        for distance in (0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0)
    ],
    "jpeg2000": [{"psnr": psnr} for psnr in (26.0, 28.0, 30.0, 32.0, 34.0, 36.0, 38.0, 40.0, 43.0)],
}
"""The codecs that models are measured beside, with their settings in order of quality."""
_LEAST_TISSUE = 0.5
_WORST = 8
_MOST_IGNORED = 0.1
_UNGUARDED = {"min_ssim": 0.0, "min_psnr": 0.0, "max_color_shift": 255.0}


@dataclass(frozen=True, slots=True)
class TissueTile:
    """A tile of a patch set to measure on."""

    power: float
    """The magnification."""
    group: str
    """The patient or slide that it comes from."""
    name: str
    """The tile's name."""
    pixels: Pixels
    """(rows, columns, 3) uint8 RGB."""


@dataclass(frozen=True, slots=True)
class CodecSetting:
    """A codec at one setting: one point of its curve."""

    name: str
    """The codec's, or the model file's without suffix."""
    setting: str
    """The setting, in words."""
    codec: TileCodec
    """The codec at this setting."""


@dataclass(frozen=True)
class CodecEvaluation:
    """Everything that was measured of codecs."""

    tiles: Sequence[TissueTile]
    """The tiles that were measured on."""
    measurements: Sequence[Measurement]
    """Every tile by every codec and setting."""
    points: Sequence[RatePoint]
    """The points of all curves."""
    comparisons: Sequence[CodecComparison]
    """All codecs at equal SSIM."""
    worst: Sequence[tuple[CodecSetting, Sequence[tuple[Measurement, TissueTile]]]]
    """Each model at the middle of its settings, and its worst tiles there."""


def evaluate_codecs(
    tiles: Sequence[TissueTile],
    models: Mapping[str, str],
    targets: Sequence[float],
    device: str,
    progress: StageProgress,
) -> CodecEvaluation:
    """Measure models beside `SWEEPS` on tiles, and compare all of them at each target SSIM.

    `models` maps the name or file of each model to its architecture.
    """
    codecs = list(codec_settings(models, device))
    found = measure(codecs, tiles, available_cores(), progress)
    points = curves(found)
    worst = []
    for name in models:
        own = [codec for codec in codecs if codec.name == Path(name).stem]
        middle = own[len(own) // 2]
        worst.append((middle, worst_tiles(found, tiles, middle, _WORST)))
    return CodecEvaluation(tiles, found, points, at_equal_ssim(points, targets), worst)


def tiles_of_split(sets: Sequence[PatchSet], split: str | None, most: int = 1 << 30) -> list[TissueTile]:
    """Return tiles of tissue of the sources of a split, of all sources where it is None.

    At most `most` tiles of each magnification are taken, at even distances.

    Raises:
        TrainingError: the split has no tile of tissue.
    """
    tiles = [
        tile
        for patches in sets
        for patch in patches.patches
        if split in (None, patches.sources[patch.source].split)
        for tile in _tissue_of(patches, patch)
    ]
    if not tiles:
        raise TrainingError(f"no tile of tissue of split {split!r} to measure on")
    by_power = [[tile for tile in tiles if tile.power == power] for power in {tile.power for tile in tiles}]
    return [tile for alike in by_power for tile in alike[:: -(-len(alike) // most)]]


def _tissue_of(patches: PatchSet, patch: Patch) -> Iterator[TissueTile]:
    """Yield the tiles of a patch that are at least half tissue."""
    source = patches.sources[patch.source]
    pixels, labels = patches.read(patch)
    for row in range(0, pixels.shape[0] - TILE_PX + 1, TILE_PX):
        for column in range(0, pixels.shape[1] - TILE_PX + 1, TILE_PX):
            place = slice(row, row + TILE_PX), slice(column, column + TILE_PX)
            is_tissue = (labels[place] == TISSUE).mean() >= _LEAST_TISSUE
            if is_tissue and (labels[place] == IGNORED).mean() <= _MOST_IGNORED:
                name = f"{source.name} {patch.power:g}x #{patch.number} ({column}, {row})"
                yield TissueTile(patch.power, source.group, name, pixels[place].copy())


def codec_settings(models: Mapping[str, str], device: str) -> Iterator[CodecSetting]:
    """Yield every point of every curve; `models` maps each model to its architecture."""
    for codec, sweep in SWEEPS.items():
        for options in sweep:
            yield CodecSetting(codec, _text(options), create_codec(codec, options))
    for model, architecture in models.items():
        for quality in range(1, len(model_named(model).card.steps) + 1):
            options = {"model": model, "quality": quality, "device": device, **_UNGUARDED}
            yield CodecSetting(Path(model).stem, f"quality {quality}", create_codec(architecture, options))


def _text(options: Options) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in options.items())


def measure(
    codecs: Sequence[CodecSetting], tiles: Sequence[TissueTile], workers: int, progress: StageProgress
) -> list[Measurement]:
    """Encode, decode and measure every tile by every codec."""
    jobs = [(codec, batch) for codec in codecs for batch in batched(tiles, 16)]
    found: list[Measurement] = []
    for number, rows in enumerate(ordered_map(_measure_batch, jobs, workers), 1):
        found += rows
        progress(number, len(jobs))
    return found


def _measure_batch(job: tuple[CodecSetting, list[TissueTile]]) -> list[Measurement]:
    point, tiles = job
    numbered = [(TileIndex(0, number, 0), tile.pixels) for number, tile in enumerate(tiles)]
    return [
        Measurement(point.name, point.setting, tile.power, tile.name, found)
        for tile, found in zip(tiles, encoded_fidelity(point.codec, numbered), strict=True)
    ]


def worst_tiles(
    measurements: Sequence[Measurement], tiles: Sequence[TissueTile], codec: CodecSetting, count: int
) -> list[tuple[Measurement, TissueTile]]:
    """Return the `count` worst tiles of a codec, with their measurements.

    Half of them are worst by SSIM, half by shift of colour.
    """
    by_name = {tile.name: tile for tile in tiles}
    own = [row for row in measurements if (row.codec, row.setting) == (codec.name, codec.setting)]
    by_ssim = sorted(own, key=lambda row: row.found.ssim)[: -(-count // 2)]
    by_color = sorted((row for row in own if row not in by_ssim), key=lambda row: -row.found.color_shift)
    return [(row, by_name[row.tile]) for row in (*by_ssim, *by_color[: count // 2])]
