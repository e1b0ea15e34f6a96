"""Detects whether a file is a conversion, another slide, or neither."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any, TypeAlias

from openslide import OpenSlide

from wsicomp.errors import SlideReadError
from wsicomp.formats.opening import open_tiff
from wsicomp.formats.slide_files import check_parts
from wsicomp.formats.tiff.directories import TIFF_MAGIC
from wsicomp.formats.tiff.reader import TiffSlide
from wsicomp.openslide_api.errors import (
    SlideArgumentError,
    SlideFormatError,
    SlideNotFoundError,
    SlideUnsupportedError,
    as_slide_error,
)
from wsicomp.version import PROGRAM

Filename: TypeAlias = str | bytes | os.PathLike[Any]
"""A path as OpenSlide accepts it."""

_HEAD_BYTES = 1 << 16


def path_of(filename: Filename) -> Path:
    """Return the path in a file name of any type that OpenSlide accepts, bytes too.

    Raises:
        SlideArgumentError: `filename` is not a path.
        SlideNotFoundError: `filename` is empty.
    """
    try:
        name = os.fsdecode(filename)
    except TypeError as exc:
        raise SlideArgumentError(f"{filename!r} is no path: {exc}") from exc
    if not name:
        raise SlideNotFoundError("an empty path; expected that of a slide")
    return Path(name)


def open_if_converted(path: Path) -> TiffSlide | None:
    """Open a file that wsicomp wrote; return None for any other file.

    Raises:
        SlideUnsupportedError: there is no file, or it cannot be read.
        SlideReadError: wsicomp wrote the file, and it is damaged.
    """
    if not _may_be_ours(path):
        return None
    slide = open_tiff(path)
    if slide.provenance is not None:
        return slide
    slide.close()
    return None


def vendor_of(filename: Filename) -> str | None:
    """Return the `openslide.vendor` of the open slide; None for a file that is not a slide.

    Raises:
        SlideArgumentError: `filename` is not a path.
    """
    try:
        path = path_of(filename)
        own = open_if_converted(path)
        if own is not None:
            own.close()
            return own.info.vendor
    except SlideUnsupportedError:
        return None
    except SlideReadError:
        pass  # OpenSlide tells the vendor of what it cannot open, too
    try:
        check_parts(path)
    except SlideReadError:
        return None
    vendor = OpenSlide.detect_format(path)
    if vendor is not None:
        return vendor
    try:
        slide = open_tiff(path)
    except SlideReadError:
        return None
    slide.close()
    return slide.info.vendor


def _may_be_ours(path: Path) -> bool:
    """Return whether a file is a TIFF whose first bytes name wsicomp, as those of all conversions do."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            # A pipe would be waited for without end.
            raise SlideFormatError("no regular file; expected a slide", path)
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if head:
            check_parts(path)
    except SlideReadError:
        raise
    except OSError as exc:
        raise as_slide_error(exc, path) from exc
    except ValueError as exc:
        raise SlideNotFoundError(f"no such file ({exc})", path) from exc
    return head.startswith(TIFF_MAGIC) and PROGRAM.encode() in head
