"""Find tissue with the U-Net, run by LiteRT in overlapping patches, a row of patches in memory at a time."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.concurrency.interpreters import start_interpreter
from wsicomp.config import TissueConfig
from wsicomp.errors import ConfigError, WeightsError
from wsicomp.formats.base import Slide
from wsicomp.formats.stated_scale import MPP_AT_1X
from wsicomp.geometry import Region, Size
from wsicomp.progress import StageProgress
from wsicomp.slide import Pixels
from wsicomp.tissue.bits import BitMask
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.morphology import drop_specks, fill_holes
from wsicomp.tissue.overview import Overview
from wsicomp.tissue.scale import ReadingScale, check_mask_size, choose_scale
from wsicomp.tissue.scaled_rows import ScaledRows
from wsicomp.tissue.segmenters.weights import SHIPPED, Weights, load_weights
from wsicomp.tissue.white_balance import GLASS_AT, WhitePoint, find_white_point, white_balanced

Probability = NDArray[np.float32]
"""Tissue probability in [0, 1], (rows, columns) float32."""

OVERLAP = 0.1
"""The part of a patch's side that overlaps the next patch, at least."""
_TISSUE_OVER = 0.5
_BLANK_RANGE = 12
_BLANK_DARKER = 40
_BLANK_SURELY = 4
_BLOCK_PX = 4


class LiteRtNetwork:
    """The network ready to run, on `threads` cores, one patch at a time.

    Raises:
        WeightsError: LiteRT cannot run it, or its tensors are not float32 of the manifest's sizes.
    """

    def __init__(self, weights: Weights, threads: int) -> None:
        self._manifest = weights.manifest
        try:
            self._interpreter = start_interpreter(weights.litert, threads)
        except (ValueError, RuntimeError) as exc:
            raise WeightsError(f"LiteRT cannot run it ({type(exc).__name__})", weights.manifest) from exc
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        found = [(list(detail["shape"]), detail["dtype"]) for detail in (*inputs, *outputs)]
        side, mask = weights.patch_px, weights.mask_px
        if found != [([1, side, side, 3], np.float32), ([1, mask, mask, 2], np.float32)]:
            shapes = ", ".join(f"{shape} {np.dtype(kind)}" for shape, kind in found)
            expected = f"float32 of {side} px" + (f" and {mask} px" if mask != side else "")
            raise WeightsError(f"tensors {shapes}, expected {expected}", weights.manifest)
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]

    def tissue(self, pixels: Pixels) -> Probability:
        """Return the tissue probability in [0, 1] of a white-balanced patch, (patch_px, patch_px) float32.

        `pixels` is (patch_px, patch_px, 3) uint8 RGB.

        Raises:
            WeightsError: LiteRT cannot run the network, or its result is not finite.
        """
        try:
            self._interpreter.set_tensor(self._input, pixels[None].astype(np.float32))
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as exc:
            raise WeightsError(f"LiteRT cannot run it ({type(exc).__name__})", self._manifest) from exc
        found: Probability = self._interpreter.get_tensor(self._output)[0, ..., 1]
        if not np.isfinite(found).all():
            raise WeightsError(
                "gives values that are not finite, expected probabilities; train it again", self._manifest
            )
        return enlarged(found, len(pixels))


def enlarged(probability: Probability, side: int) -> Probability:
    """Return a square of probabilities as (side, side) float32, between its pixels as between two of them."""
    if len(probability) == side:
        return probability
    return np.asarray(cv2.resize(probability, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)


class KeptNetwork:
    """Keeps a started network from slide to slide where `is_wanted`, as in a batch's processes.

    One thread may use it. Memory: what the network takes, 46 MB for the one that ships.
    """

    def __init__(self) -> None:
        self.is_wanted = False
        self._started: dict[tuple[str, int], LiteRtNetwork] = {}

    def of(self, weights: Weights, threads: int) -> LiteRtNetwork:
        """Return the network of these weights, ready to run.

        Raises:
            WeightsError: LiteRT cannot run it.
        """
        key = weights.sha256, threads
        network = self._started.get(key) or LiteRtNetwork(weights, threads)
        if self.is_wanted:
            self._started = {key: network}
        return network


KEPT_NETWORK = KeptNetwork()


@dataclass(frozen=True)
class UnetSegmenter:
    """Tissue is where the network's blended probability exceeds 0.5.

    Holes are then filled and specks dropped. Patches overlap by 10 % and are white-balanced (`white_balance`)
    before the network sees them. Patches that are certainly blank are not run. Whatever the guard finds on
    tiles called glass is kept all the same (`glass_guard`).
    """

    manifest: Path = SHIPPED
    """The manifest of the network."""
    magnification: float = TissueConfig.magnification
    """The magnification at which the slide is read: 2.5 is 4 um per px."""
    hole_um: float = TissueConfig.hole_um
    """Diameter; smaller holes in tissue are filled. 0 fills none."""
    speck_um: float = TissueConfig.speck_um
    """Diameter; smaller pieces of tissue are dropped. 0 drops none."""
    skips_blank: bool = True
    """Whether blank patches are glass without a run of the network."""

    def check(self, slide: Slide) -> None:
        """Refuse a slide whose mask would be too large, before a pixel of it is read.

        Raises:
            ConfigError: the mask would have more than 2^27 pixels.
        """
        self._scale(slide)

    def _scale(self, slide: Slide) -> ReadingScale:
        scale = choose_scale(slide.info, MPP_AT_1X / self.magnification)
        try:
            check_mask_size(scale)
        except ConfigError as exc:
            raise ConfigError(exc.message, slide.info.path) from exc
        return scale

    def segment(self, slide: Slide, overview: Overview, workers: int, progress: StageProgress) -> TissueMask:
        """Return the tissue, without margin, at about the magnification.

        A slide of a lower magnification is read at its own.

        A patch that cannot be read counts as tissue.

        Memory: `ScaledRows`, the sums of `_Blend`, and two bits for each pixel
        of the mask. Filling holes takes 6 bytes for each pixel of a square of 2500 px, or of 1500 px and
        twice the area in pixels of the largest hole or speck.

        Raises:
            ConfigError: the mask would have more than 2^27 pixels.
            WeightsError: the network is missing, differs from its manifest, or cannot run.
        """
        weights = load_weights(self.manifest)
        scale = self._scale(slide)
        tissue, notes = self._found(slide, overview, scale, weights, workers, progress)
        tissue = fill_holes(tissue, self.hole_um / scale.mpp)
        tissue = drop_specks(tissue, self.speck_um / scale.mpp)
        if scale.assumption is not None:
            notes = [f"tissue was looked for as if {scale.assumption}", *notes]
        return replace(_mask(slide, scale, tissue, weights), notes=tuple(notes))

    def _found(
        self,
        slide: Slide,
        overview: Overview,
        scale: ReadingScale,
        weights: Weights,
        workers: int,
        progress: StageProgress,
    ) -> tuple[BitMask, list[str]]:
        """Return where the network finds tissue, and what a user should know of it."""
        network = KEPT_NETWORK.of(weights, workers)
        white_point = find_white_point(overview)

        def probability(pixels: Pixels | None) -> Probability | float:
            if pixels is None:
                return 1.0
            balanced = white_balanced(pixels, white_point)
            if self.skips_blank and _is_blank(balanced):
                return 0.0
            return _run(network, balanced, weights.patch_px)

        grid = _PatchGrid(scale.size, weights.patch_px)
        glass = _Glass(overview, scale.size, white_point) if self.skips_blank else None
        regions = [region for region in grid.regions() if glass is None or not glass.fills(region)]
        wanted = set(regions)
        blend = _Blend(scale.size, weights.patch_px)
        tissue: list[BitMask] = []  # finished rows, small while the network is in memory
        done = unread = 0

        def found(region: Region) -> Probability | float:
            nonlocal done, unread
            is_wanted = region in wanted
            pixels = next(patches) if is_wanted else None
            done, unread = done + 1, unread + (is_wanted and pixels is None)
            progress(done, grid.count)
            return probability(pixels) if is_wanted else 0.0

        with closing(_patches(slide, overview, scale, regions, workers)) as patches:
            for top, bottom in pairwise((*grid.tops, scale.size.height)):
                row = ((region.x, found(region)) for region in grid.row(top))
                tissue.append(BitMask.of(blend.finished(bottom - top, row)))
        return BitMask.stacked(tissue), [
            f"{unread} of {done} patches have damaged tiles and count as tissue"
        ] * bool(unread)


def _patches(
    slide: Slide, overview: Overview, scale: ReadingScale, regions: list[Region], workers: int
) -> Generator[Pixels | None]:
    """Yield each region of the scaled picture, or None if it cannot be read.

    What the overview shows is not read again.
    """
    if regions and overview.scaled(scale, regions[0]) is not None:
        yield from (overview.scaled(scale, region) for region in regions)
        return
    with closing(ScaledRows(slide, scale, regions, workers)) as rows:
        yield from map(rows.read, regions)


def _mask(slide: Slide, scale: ReadingScale, tissue: BitMask, weights: Weights) -> TissueMask:
    level, whole = slide.info.levels[scale.level].size, slide.info.size
    source = f"U-Net {weights.name} at {scale.magnification:.3g}x, weights {weights.sha256[:12]}"
    scale_x = scale.factor * whole.width / level.width
    scale_y = scale.factor * whole.height / level.height
    return TissueMask.of(tissue, whole, scale_x, scale_y, source)


class _Glass:
    """Where the overview shows that a patch is blank (`_is_blank`), with a margin for its coarser pixels."""

    def __init__(self, overview: Overview, size: Size, white_point: WhitePoint) -> None:
        self._pixels, self._white_point = overview.pixels, white_point
        shown = overview.slide.width / overview.scale_x, overview.slide.height / overview.scale_y
        self._across, self._down = shown[0] / size.width, shown[1] / size.height
        self._is_fine = min(self._across, self._down) * _BLOCK_PX >= 1

    def fills(self, region: Region) -> bool:
        """Return whether a region of the scaled picture is certainly blank."""
        if not self._is_fine:
            return False  # an overview pixel could hide a block that differs
        top, bottom = (math.floor(y * self._down) for y in (region.y, region.y + region.height))
        left, right = (math.floor(x * self._across) for x in (region.x, region.x + region.width))
        part = self._pixels[max(0, top - 1) : bottom + 2, max(0, left - 1) : right + 2]
        part = white_balanced(part, self._white_point).reshape(-1, 3)
        least, most = part.min(axis=0).astype(int), part.max(axis=0)
        is_bright = least.min() >= GLASS_AT - _BLANK_DARKER + _BLANK_SURELY
        return bool(is_bright and (most - least <= _BLANK_RANGE - _BLANK_SURELY).all())


class _PatchGrid:
    """Patches spread evenly over a picture, each overlapping the next by at least a tenth."""

    def __init__(self, size: Size, patch_px: int) -> None:
        self._size, self._patch_px = size, patch_px
        self.tops, self.lefts = (self._starts(length) for length in size.shape)

    @property
    def count(self) -> int:
        """The number of patches."""
        return len(self.tops) * len(self.lefts)

    def regions(self) -> Iterator[Region]:
        """Yield the patches, row by row."""
        return (region for top in self.tops for region in self.row(top))

    def row(self, top: int) -> Iterator[Region]:
        """Yield the patches of the row that begins at `top`."""
        width, height = min(self._patch_px, self._size.width), min(self._patch_px, self._size.height)
        return (Region(left, top, width, height) for left in self.lefts)

    def _starts(self, length: int) -> list[int]:
        rest = length - self._patch_px
        if rest <= 0:
            return [0]
        steps = math.ceil(rest / (self._patch_px * (1 - OVERLAP)))
        return [round(rest * step / steps) for step in range(steps + 1)]


class _Blend:
    """The weighted sums of patches, row by row and each row from its left.

    Memory: of float32 a patch, and the rows between two rows of patches, both as sums and as weights.
    """

    def __init__(self, size: Size, patch_px: int) -> None:
        ramp = np.minimum(np.arange(1, patch_px + 1), np.arange(patch_px, 0, -1))
        ramp = np.minimum(ramp / (patch_px * OVERLAP), 1).astype(np.float32)
        self._window = np.outer(ramp[: min(patch_px, size.height)], ramp[: min(patch_px, size.width)])
        self._width = size.width
        self._above = np.zeros((2, 0, size.width), np.float32)

    def finished(self, rows: int, patches: Iterable[tuple[int, Probability | float]]) -> NDArray[np.bool_]:
        """Return where the first `rows` rows of a row of patches are tissue, (rows, columns) bool.

        No further patch reaches them. A patch is its left edge and its probability; a number stands for all
        its pixels.
        """
        height, width = self._window.shape
        tissue = np.empty((rows, self._width), np.bool_)
        below = np.empty((2, height - rows, self._width), np.float32)
        here, left = np.zeros((2, height, width), np.float32), 0
        here[:, : self._above.shape[1]] = self._above[:, :, :width]

        def finish(columns: int) -> None:
            there = slice(left, left + columns)
            total, weight = here[:, :rows, :columns]
            tissue[:, there] = total / weight > _TISSUE_OVER
            below[:, :, there] = here[:, rows:, :columns]

        for next_left, probability in patches:
            if next_left > left:
                finish(next_left - left)
                here = self._moved(here, left, next_left)
                left = next_left
            here[0] += self._window * probability
            here[1] += self._window
        finish(width)
        self._above = below
        return tissue

    def _moved(self, here: NDArray[np.float32], left: int, next_left: int) -> NDArray[np.float32]:
        """Return the sums and weights of a patch that begins at `next_left`, after those of one at `left`."""
        above, width = self._above, here.shape[2]
        kept = left + width - next_left
        moved = np.zeros_like(here)
        moved[:, :, :kept] = here[:, :, -kept:]
        moved[:, : above.shape[1], kept:] = above[:, :, left + width : next_left + width]
        return moved


def _run(network: LiteRtNetwork, pixels: Pixels, patch_px: int) -> Probability:
    rows, columns = pixels.shape[:2]
    below, beside = patch_px - rows, patch_px - columns
    padded = cv2.copyMakeBorder(pixels, 0, below, 0, beside, cv2.BORDER_REPLICATE)
    return network.tissue(np.asarray(padded, np.uint8))[:rows, :columns]


def _is_blank(pixels: Pixels) -> bool:
    """Return whether a white-balanced patch has one colour as bright as glass, so that nothing can be found.

    All blocks of 4 x 4 px are within 12 grey levels of each other in every channel, and their mean is in no
    channel more than 40 darker than glass.
    """
    rows, columns = (max(1, side // _BLOCK_PX) for side in pixels.shape[:2])
    blocks = cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA).reshape(-1, 3).astype(np.int16)
    is_even = bool((np.ptp(blocks, axis=0) <= _BLANK_RANGE).all())
    return is_even and float(blocks.mean(axis=0).min()) >= GLASS_AT - _BLANK_DARKER
