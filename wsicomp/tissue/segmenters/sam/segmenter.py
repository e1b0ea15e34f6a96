"""Outline by Segment Anything what a person points at on a slide.

The network sees a square around the box, a quarter wider than it: then it sees the glass around a piece of
tissue, at the finest scale at which that fits. Points and the grid say nothing of a size, so with them it
sees the whole slide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import ConfigError
from wsicomp.formats.base import Slide
from wsicomp.geometry import Region, Size
from wsicomp.progress import StageProgress, no_progress
from wsicomp.slide import Pixels, SlideInfo
from wsicomp.tissue.bits import BitMask
from wsicomp.tissue.mask import MOST_MASK_PIXELS, TissueMask
from wsicomp.tissue.overview import Overview
from wsicomp.tissue.prompts import Box, Prompt
from wsicomp.tissue.scale import ReadingScale, read_scaled, stated_mpp
from wsicomp.tissue.segmenters.sam.base import LABELS_OF_BOX, Logits, SamNetwork, check_extra, open_network
from wsicomp.tissue.segmenters.sam.grid import foreground

CONTEXT = 1.25
"""The side of what the network sees, in longer sides of the box."""


@dataclass(frozen=True)
class SamSegmenter:
    """What a person points at, outlined by a network of the Segment Anything family.

    It finds no tissue by itself: what is elsewhere on the slide is not in its mask.
    """

    prompt: Prompt
    """Where a person points, in level-0 pixels of the slide's file."""
    weights: Path | None = None
    """The weights; None for LiteMedSAM, which comes with the extra."""

    def check(self, slide: Slide) -> None:
        """Refuse a prompt that does not lie on the slide, before a pixel of it is read.

        Raises:
            ConfigError: it does not lie on the slide.
            MissingExtraError: the extra is not installed.
            WeightsError: there is no such file of weights.
        """
        _placed(self.prompt, slide.info)
        check_extra(self.weights)

    def segment(
        self,
        slide: Slide,
        overview: Overview,  # noqa: ARG002 - as other segmenters
        workers: int,
        progress: StageProgress,
    ) -> TissueMask:
        """Return the region that is pointed at, over the whole slide, as `outline` does."""
        return outline(slide, self.prompt, self.weights, workers, progress)


def outline(
    slide: Slide,
    prompt: Prompt,
    weights: Path | None = None,
    workers: int = 1,
    progress: StageProgress = no_progress,
    context: float = CONTEXT,
    network: SamNetwork | None = None,
) -> TissueMask:
    """Return the region of a slide that is pointed at, as a mask over the whole slide.

    `prompt` is in level-0 pixels of the slide's file. The network sees `context` times the longer side of a
    box. Weights are read, and never fetched; not at all where `network` is open already.

    Memory: what the network takes, 1.1 GB for LiteMedSAM; a picture of 512 x 512 px, or of 2048 x 2048 px
    for others; and two bits for each pixel of the mask.

    Raises:
        ConfigError: the prompt does not lie on the slide.
        MissingExtraError: the extra is not installed.
        WeightsError: the weights are missing, damaged, could run code, are another model's, or cannot run.
        TileReadError: a tile under what the network sees cannot be decoded.
    """
    placed = _placed(prompt, slide.info)
    network = network or open_network(weights, workers)
    seen = _seen(placed.box, slide.info.size, context)
    scale = scale_for(slide.info, max(seen.right - seen.left, seen.bottom - seen.top) / network.side_px)
    region = _on_picture(seen, scale, slide.info)
    pixels = read_scaled(slide, scale, region)
    inside = outlined_pixels(network, pixels, _prompts(placed, region, scale, slide.info), progress)
    return _over_slide(inside, region, scale, slide.info, network, placed)


def scale_for(info: SlideInfo, downsample: float) -> ReadingScale:
    """Return the coarsest reading scale that is as fine as a downsample, else level 0."""
    fitting = [n for n, level in enumerate(info.levels) if level.downsample <= max(1.0, downsample)]
    number = fitting[-1]
    level = info.levels[number]
    factor = max(1, math.floor(downsample / level.downsample))
    size = Size(-(-level.size.width // factor), -(-level.size.height // factor))
    mpp, assumption = stated_mpp(info)
    return ReadingScale(number, factor, size, factor * level.downsample * mpp, assumption)


def _placed(prompt: Prompt, info: SlideInfo) -> Prompt:
    try:
        return prompt.on(info)
    except ConfigError as exc:
        raise ConfigError(exc.message, info.path) from exc


def _seen(box: Box | None, slide: Size, context: float) -> Box:
    """Return what the network is to see, in level-0 pixels: a square around the box, moved into the slide."""
    if box is None:
        return Box(0, 0, slide.width, slide.height)
    side = max(box.right - box.left, box.bottom - box.top) * context
    left, right = _span(box.left, box.right, side, slide.width)
    top, bottom = _span(box.top, box.bottom, side, slide.height)
    return Box(left, top, right, bottom)


def _span(first: float, last: float, length: float, limit: int) -> tuple[float, float]:
    start = max(0.0, min((first + last - length) / 2, limit - length))
    return start, min(start + length, limit)


def _steps(scale: ReadingScale, info: SlideInfo) -> tuple[float, float]:
    """Return the width and height in level-0 pixels of a pixel of the scaled picture."""
    level = info.levels[scale.level].size
    return scale.factor * info.size.width / level.width, scale.factor * info.size.height / level.height


def _on_picture(seen: Box, scale: ReadingScale, info: SlideInfo) -> Region:
    across, down = _steps(scale, info)
    left, top = math.floor(seen.left / across), math.floor(seen.top / down)
    left, top = min(left, scale.size.width - 1), min(top, scale.size.height - 1)
    right, bottom = math.ceil(seen.right / across), math.ceil(seen.bottom / down)
    width, height = min(right, scale.size.width) - left, min(bottom, scale.size.height) - top
    return Region(left, top, max(1, width), max(1, height))


def _prompts(
    prompt: Prompt, region: Region, scale: ReadingScale, info: SlideInfo
) -> NDArray[np.float32] | None:
    """Return points and labels, (points, 3) float32 in the region's pixels; None for the grid."""
    if prompt.box is not None:
        corners = ((prompt.box.left, prompt.box.top), (prompt.box.right, prompt.box.bottom))
        found = [(*corner, label) for corner, label in zip(corners, LABELS_OF_BOX, strict=True)]
    else:
        found = [(point.x, point.y, int(point.is_inside)) for point in prompt.points]
    if not found:
        return None
    across, down = _steps(scale, info)
    return np.array(
        [(x / across - region.x, y / down - region.y, label) for x, y, label in found], np.float32
    )


def outlined_pixels(
    network: SamNetwork, pixels: Pixels, prompt: NDArray[np.float32] | None, progress: StageProgress
) -> NDArray[np.bool_]:
    """Return which pixels of a picture, (rows, columns, 3) uint8 RGB, are meant: (rows, columns) bool.

    `prompt` is (points, 3) float32: x, y in the picture's pixels, and label; None for a grid of points.

    Raises:
        WeightsError: the network cannot run, or its result is not finite.
    """
    shrunk = _fitted(pixels, network.side_px)
    embedding = network.embed(shrunk)
    if prompt is None:
        logits = foreground(network, embedding, shrunk, progress)
    else:
        sides = [shrunk.shape[axis] / pixels.shape[axis] for axis in (1, 0)]
        scaled = prompt * np.array([*sides, 1], np.float32)
        several = len(prompt) == 1  # one point may mean a part or the whole: of three masks the best counts
        found, scores = network.outline(embedding, [scaled], several)
        logits = found[int(scores.argmax())]
        progress(1, 1)
    return _enlarged(logits, network.side_px, shrunk.shape[:2], pixels.shape[:2])


def _fitted(pixels: Pixels, side_px: int) -> Pixels:
    """Return a picture with `side_px` on its longer side."""
    rows, columns = pixels.shape[:2]
    by = side_px / max(rows, columns)
    size = max(1, round(columns * by)), max(1, round(rows * by))
    way = cv2.INTER_AREA if by < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=way), np.uint8)


def _enlarged(
    logits: Logits, side_px: int, shown: tuple[int, ...], shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Return where logits over the network's input are over 0, for the picture in its upper left."""
    whole = cv2.resize(logits, (side_px, side_px), interpolation=cv2.INTER_LINEAR)
    part = np.ascontiguousarray(whole[: shown[0], : shown[1]])
    return np.asarray(cv2.resize(part, shape[1::-1], interpolation=cv2.INTER_LINEAR) > 0)


def _over_slide(
    inside: NDArray[np.bool_],
    region: Region,
    scale: ReadingScale,
    info: SlideInfo,
    network: SamNetwork,
    prompt: Prompt,
) -> TissueMask:
    """Return a region's mask as one of the whole slide, coarser where it would have over 2^27 pixels.

    A coarser pixel is inside where any part of it is.
    """
    by = 1
    while -(-scale.size.width // by) * -(-scale.size.height // by) > MOST_MASK_PIXELS:
        by += 1
    rows, columns = -(-scale.size.height // by), -(-scale.size.width // by)
    first, last = region.y // by, -(-(region.y + region.height) // by)
    strip = np.zeros(((last - first) * by, columns * by), np.bool_)
    top = region.y - first * by
    strip[top : top + region.height, region.x : region.x + region.width] = inside
    strip = strip.reshape(last - first, by, columns, by).any(axis=(1, 3))
    above, below = (BitMask.of(np.zeros((count, columns), np.bool_)) for count in (first, rows - last))
    across, down = _steps(scale, info)
    source = f"Segment Anything, {network.name}, weights {network.sha256[:12]}"
    bits = BitMask.stacked([above, BitMask.of(strip), below])
    notes = tuple(_notes(network, prompt, bool(inside.any())))
    return TissueMask(bits, info.size, across * by, down * by, source, notes)  # type: ignore[arg-type]


def _notes(network: SamNetwork, prompt: Prompt, found: bool) -> list[str]:
    notes = []
    if not found:
        notes.append("nothing was outlined there; draw the box closer, or point elsewhere")
    if prompt.is_grid:
        notes.append("a grid of points finds tissue poorly; segmenter unet finds it")
    elif prompt.points and not network.knows_points:
        notes.append(f"{network.name} learnt from boxes alone and does poorly with points; draw a box")
    return notes
