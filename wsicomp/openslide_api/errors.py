"""The errors of `wsicomp.open_slide` and its slides: wsicomp's own, and each of them also OpenSlide's.

`openslide.OpenSlide` raises `OpenSlideUnsupportedFormatError` for everything that it does not know, and
`openslide.open_slide` the system's or Pillow's error: an error from here is both.

Source: openslide-python 1.4, measured.
"""

from __future__ import annotations

import os
from ctypes import ArgumentError

from openslide import OpenSlideError, OpenSlideUnsupportedFormatError
from PIL import UnidentifiedImageError

from wsicomp.errors import SlideReadError, WsicompError


class SlideAccessError(SlideReadError, OpenSlideError):
    """A slide that cannot be opened or read."""


class SlideClosedError(SlideAccessError, ArgumentError, ValueError):
    """A slide that is used after it was closed."""


class SlideUnsupportedError(SlideAccessError, OpenSlideUnsupportedFormatError):
    """A path that leads to no slide; its subclasses say why, where the system has a class for it."""


class SlideFormatError(SlideUnsupportedError, UnidentifiedImageError):
    """A file that is neither a slide nor a picture, or a part of one."""


class SlideNotFoundError(SlideUnsupportedError, FileNotFoundError):
    """A slide that is not there."""


class SlideIsADirectoryError(SlideUnsupportedError, IsADirectoryError):
    """A folder in the place of a slide."""


class SlideNotADirectoryError(SlideUnsupportedError, NotADirectoryError):
    """A path that leads through a file."""


class SlidePermissionError(SlideUnsupportedError, PermissionError):
    """A slide that may not be read."""


class SlideArgumentError(WsicompError, ArgumentError, TypeError):
    """An argument of the wrong type: a path, a level, a location, a cache."""


_BY_SYSTEM: dict[type[Exception], type[SlideUnsupportedError]] = {
    FileNotFoundError: SlideNotFoundError,
    IsADirectoryError: SlideIsADirectoryError,
    NotADirectoryError: SlideNotADirectoryError,
    PermissionError: SlidePermissionError,
}


def as_slide_error(error: OSError, path: str | os.PathLike[str]) -> SlideUnsupportedError:
    """Return the same error as one of wsicomp's, with its number."""
    found = _BY_SYSTEM.get(type(error), SlideUnsupportedError)(error.strerror or str(error), path)
    found.errno, found.strerror, found.filename = error.errno, error.strerror, os.fspath(path)
    return found
