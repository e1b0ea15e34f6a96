"""The protocol of segmenters."""

from __future__ import annotations

from typing import Protocol

from wsicomp.formats.base import Slide
from wsicomp.progress import StageProgress
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.overview import Overview


class Segmenter(Protocol):
    """Finds tissue on a slide."""

    def check(self, slide: Slide) -> None:
        """Refuse a slide that no mask can be made of, before a pixel of it is read.

        Raises:
            ConfigError: the mask would have more than 2^27 pixels.
        """

    def segment(self, slide: Slide, overview: Overview, workers: int, progress: StageProgress) -> TissueMask:
        """Return the tissue of a slide, without margin.

        Raises:
            SlideReadError: a part of the slide that is needed cannot be read.
        """
