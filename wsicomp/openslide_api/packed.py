"""Opens a packed slide as OpenSlide opens its original: its files stand in a private folder meanwhile.

Where the system allows it the folder is a mount, which a process of its own serves and in which a file is
rebuilt only where it is read. Else the files are written out. Either way nothing of it stays.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path

from openslide import OpenSlideError

from wsicomp.errors import SlideReadError, SlideWriteError
from wsicomp.formats.packed.container import PackedSlide
from wsicomp.formats.packed.manifest import path_of_name
from wsicomp.formats.packed.unpack import unpack_slide
from wsicomp.formats.safe_openslide import open_openslide
from wsicomp.openslide_api.errors import SlideAccessError
from wsicomp.openslide_api.unconverted import UnconvertedSlide
from wsicomp.text.figures import as_bytes

_SHARE_OF_DISK = 2
"""The files of a packed slide take at most one part in so many of the free space."""
_PREFIX = "wsicomp-"
_LOG = logging.getLogger("wsicomp.open_slide")
_LOG.addHandler(logging.NullHandler())


class PackedOriginal(UnconvertedSlide):
    """The original of a packed slide, as OpenSlide reads it; closing it takes its files away."""

    def __init__(self, opens: os.PathLike[str], packed: Path, take_away: Callable[[], object]) -> None:
        super().__init__(opens)
        self._filename = str(packed)
        self._take_away = take_away

    def close(self) -> None:
        """Close the slide, and take its files away."""
        super().close()
        self._take_away()


def open_packed(packed: Path) -> PackedOriginal:
    """Open a packed slide.

    Raises:
        SlideAccessError: it is damaged, OpenSlide does not read its original, or its files can neither be
            mounted nor written out.
    """
    try:
        with PackedSlide(packed) as slide:
            manifest = slide.manifest
    except SlideReadError as exc:
        raise SlideAccessError(exc.message, packed, exc.place) from exc
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    server, why = _mounted(packed, folder)
    if server is None:
        _write_out(packed, folder, manifest.total_bytes, why)
    take_away = weakref.finalize(folder_of := _Folder(), _take_away, folder, server)
    try:
        slide = open_openslide(
            folder / path_of_name(manifest.opens),
            lambda opens: PackedOriginal(opens, packed, take_away),
        )
    except OpenSlideError as exc:
        take_away()
        raise SlideAccessError(f"OpenSlide does not read the slide that it holds ({exc})", packed) from exc
    weakref.finalize(slide, take_away)
    return slide
