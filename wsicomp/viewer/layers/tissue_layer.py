"""The tissue mask with its margin, as one small picture that covers a slide.

The mask comes from a file, or is found again as the conversion's own record says that it was.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsicomp.config import ConversionConfig
from wsicomp.errors import ConfigError, WsicompError
from wsicomp.formats.base import Slide
from wsicomp.geometry import Size
from wsicomp.plan.provenance import Provenance
from wsicomp.progress import Stages
from wsicomp.slide import Level
from wsicomp.tissue.findings import inspect_overview
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.mask_reader import read_mask
from wsicomp.tissue.scale import margin_in_px

MOST_SIDE_PX = 4096
"""The most pixels of a side of the picture."""
GLASS, MARGIN, TISSUE = 0, 128, 255
"""The grey levels of the picture."""

_OPTIONS = ("segmenter", "magnification", "hole_um", "speck_um", "margin_um")
"""The options that decide what is tissue, of those that a conversion's record holds."""
_FROM_FILE = "file"
"""What a mask's record says of a mask that was read from a file."""
_SAME_FRACTION = 1e-9


@dataclass(frozen=True)
class TissueLayer:
    """The tissue of a slide and the margin around it."""

    pixels: NDArray[np.uint8]
    """(rows, columns): `GLASS`, `MARGIN` or `TISSUE`. It covers the slide from edge to edge."""
    tissue_fraction: float
    """The part of the slide that is tissue, without the margin, in [0, 1]."""
    margin_um: float
    """The width of the margin in um."""
    source: str
    """Where the mask comes from, in words."""

    @classmethod
    def of(cls, tissue: TissueMask, margin_px: float, margin_um: float, source: str) -> TissueLayer:
        """Return the layer of a mask without margin; `margin_px` is the margin in level-0 pixels.

        Where the mask has more than 4096 px a side, a pixel is tissue if any of those under it is.
        """
        pixels = np.full(_size(tissue).shape, GLASS, np.uint8)
        pixels[_reduced(tissue.dilated(margin_px))] = MARGIN
        pixels[_reduced(tissue)] = TISSUE
        return cls(pixels, tissue.tissue_fraction, margin_um, source)

    @cached_property
    def png(self) -> bytes:
        """The picture as the bytes of an 8-bit grey PNG file."""
        file = io.BytesIO()
        Image.fromarray(self.pixels).save(file, "PNG", compress_level=1)
        return file.getvalue()

    def to_json(self) -> dict[str, Any]:
        """Return all but the picture itself, as JSON values."""
        rows, columns = self.pixels.shape
        return {
            "width": columns,
            "height": rows,
            "tissue_fraction": self.tissue_fraction,
            "source": self.source,
            "margin_um": self.margin_um,
        }


def _size(mask: TissueMask) -> Size:
    rows, columns = mask.shape
    factor = -(-max(rows, columns) // MOST_SIDE_PX)
    return Size(-(-columns // factor), -(-rows // factor))


def _reduced(mask: TissueMask) -> NDArray[np.bool_]:
    """Return a mask in the picture's size, (rows, columns) bool."""
    size, slide = _size(mask), mask.slide
    if size.shape != mask.shape:
        return mask.reaches_into(Level(size, Size(1, 1), slide.width / size.width))
    x = (np.arange(size.width) + 0.5) * (slide.width / size.width)
    y = (np.arange(size.height) + 0.5) * (slide.height / size.height)
    return mask.at(x, y)


def find_tissue_layer(
    slide: Slide, provenance: Provenance | None = None, mask: Path | None = None, workers: int = 1
) -> TissueLayer:
    """Return the tissue of a slide: from the file `mask`, else found as a conversion did.

    `slide` is the conversion's source from the level on at which the conversion begins, as `open_source`
    opens it, or the conversion itself. `provenance` is the conversion's; without it tissue is found by the
    default options. The margin is the conversion's, by default 50 um. Finding takes seconds, on as many
    threads as `workers`.

    Raises:
        MaskError: the mask file cannot be read, or does not fit the slide.
        ConfigError: the conversion took its mask from a file, and `mask` names none; or its record states
            options that no conversion has.
        WeightsError: the network is missing, or differs from its manifest.
        SlideReadError: the slide cannot be read.
    """
    stated = _stated_mask(provenance)
    if mask is None and stated is not None and stated.get("source") == _FROM_FILE:
        message = "it took its tissue from a mask file, which it does not hold; name that file by `mask`"
        raise ConfigError(message, slide.info.path)
    config = _config(provenance, workers)
    if mask is not None:
        tissue = read_mask(mask, slide.info.size, slide.info.file_size)
    else:
        tissue = inspect_overview(slide, config, Stages())[0]
    margin_um = config.tissue.margin_um
    margin_px = margin_in_px(slide.info, margin_um)
    source = _source_text(tissue, slide, provenance, margin_px)
    return TissueLayer.of(tissue, margin_px, margin_um, source)


def _stated_mask(provenance: Provenance | None) -> Mapping[str, Any] | None:
    return None if provenance is None else provenance.mask


def _config(provenance: Provenance | None, workers: int) -> ConversionConfig:
    """Return the options of the conversion that decide what is tissue, and defaults for all others."""
    stated = {} if provenance is None else provenance.plan.stated_config
    chosen = {name: stated[name] for name in _OPTIONS if name in stated}
    return ConversionConfig.of(**chosen, workers=workers)


def _source_text(tissue: TissueMask, slide: Slide, provenance: Provenance | None, margin_px: float) -> str:
    """Return in words where a mask comes from, and whether it is the one that the conversion had."""
    is_file = tissue.source == _FROM_FILE
    source = "a mask file" if is_file else tissue.source
    stated = _stated_mask(provenance)
    if provenance is None:
        return source if is_file else f"{source}, by the default options"
    if stated is None:
        return f"{source}; the conversion kept all glass"
    there = float(stated.get("tissue_fraction_with_margin", 0))
    here = tissue.dilated(margin_px).tissue_fraction
    if abs(here - there) < _SAME_FRACTION and stated.get("source") == tissue.source:
        return f"{source}, as the conversion had it"
    where = ", found in the conversion itself" if slide.provenance is provenance and not is_file else ""
    if stated.get("source") != tissue.source and round(here, 4) == round(there, 4):
        return f"{source}{where}; as much tissue as the conversion found, {there:.2%} with margin"
    figures = f"{here:.2%} of the slide with margin, {there:.2%} when it was converted"
    return f"{source}{where}; not quite the conversion's own: {figures}"


class LazyTissueLayer:
    """A tissue layer that is found when it is first asked for, once for all threads that ask.

    `find` is called at most once; its error is raised each time.
    """

    def __init__(self, find: Callable[[], TissueLayer]) -> None:
        self._find = find
        self._lock = Lock()
        self._layer: TissueLayer | None = None
        self._error: WsicompError | None = None

    def get(self) -> TissueLayer:
        """Return the layer; the first call takes as long as finding does, others wait for it.

        Raises:
            WsicompError: it cannot be found.
        """
        with self._lock:
            if self._error is not None:
                raise self._error
            if self._layer is None:
                try:
                    self._layer = self._find()
                except WsicompError as exc:
                    self._error = exc
                    raise
            return self._layer
