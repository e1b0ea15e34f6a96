"""What a segmenter promises."""

from __future__ import annotations

from typing import Protocol

from wsicomp.formats.base import Slide
from wsicomp.progress import StageProgress
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.overview import Overview


class Segmenter(Protocol):
    """Finds tissue."""

    def check(self, slide: Slide) -> None:
        """Refuse a slide of which no mask can be made, before a pixel of it is read.

        Raises:
            ConfigError: the mask would be larger than any slide needs.
        """
        ...

    def segment(self, slide: Slide, overview: Overview, workers: int, progress: StageProgress) -> TissueMask:
        """The tissue of a slide, without any margin.

        Raises:
            SlideReadError: a part of the slide that it needs cannot be read.
        """
        ...
