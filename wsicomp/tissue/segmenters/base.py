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
        """Refuse a slide of which no mask can be made, before a pixel of it is read.

        Raises:
            ConfigError: the mask would have more than 2^27 pixels.
        """

    def segment(self, slide: Slide, overview: Overview, workers: int, progress: StageProgress) -> TissueMask:
        """Return the tissue of a slide, without margin, at a scale of the segmenter's own.

        Raises:
            ConfigError: the mask would have more than 2^27 pixels.
            WeightsError: the segmenter's network is missing, damaged, or cannot run.
            SlideReadError: a part of the slide that is needed cannot be read.
        """
