"""OpenSlide's interface for every file that wsicomp writes, and for every file that OpenSlide reads.

Code for `openslide.OpenSlide` gets the same object here: regions, levels, properties, associated images,
colour profile, thumbnails, and through them `DeepZoomGenerator`.
"""

from __future__ import annotations

import copyreg
from pathlib import Path
from typing import Any

from openslide import AbstractSlide, ImageSlide, OpenSlideError, OpenSlideUnsupportedFormatError
from PIL import Image, UnidentifiedImageError

from wsicomp.errors import SlideReadError, UnsupportedSlideError
from wsicomp.formats.opening import open_tiff
from wsicomp.formats.packed.container import is_pack
from wsicomp.formats.picture import DAMAGED
from wsicomp.formats.safe_openslide import open_openslide
from wsicomp.formats.tiff.directories import TIFF_MAGIC, read_directories
from wsicomp.formats.tiff.misread import openslide_misreads
from wsicomp.formats.tiff.reader import TiffSlide
from wsicomp.openslide_api.errors import (
    SlideAccessError,
    SlideFormatError,
    SlideUnsupportedError,
    as_slide_error,
)
from wsicomp.openslide_api.files import Filename, open_if_converted, path_of, vendor_of
from wsicomp.openslide_api.packed import open_packed
from wsicomp.openslide_api.slide import WsicompSlide
from wsicomp.openslide_api.unconverted import UnconvertedSlide


def open_slide(filename: Filename) -> AbstractSlide:
    """Open a slide: a `WsicompSlide` for converted files, and for TIFFs that OpenSlide cannot read.

    A converted file shows what its source showed: levels, properties and, where tiles were copied or packed
    without loss, the same pixels. Every other file is opened as by `openslide.open_slide`: as an
    `openslide.OpenSlide`, or as an `openslide.ImageSlide` for a plain picture. Regions of slides, not of
    plain pictures, may be arrays: `read_region(location, level, size, as_array=True)`.

    A packed slide is opened as its original, through a mount of its own while it is open. That takes a
    second; mount an archive to open many. Where the system allows no mount, its files are written to a
    temporary folder meanwhile.

    Examples:
        >>> with open_slide("small.svs") as slide:  # doctest: +SKIP
        ...     region = slide.read_region((0, 0), 0, (512, 512))

    Raises:
        SlideAccessError: nothing here reads the file, it is damaged, or all its levels need a model that is
            not on this machine. It is an `OpenSlideError` too; where OpenSlide detects no format it is an
            `OpenSlideUnsupportedFormatError` and the error of `openslide.open_slide`: a `FileNotFoundError`,
            an `IsADirectoryError`, or an `UnidentifiedImageError` of Pillow.
        SlideArgumentError: `filename` is not a path.
    """
    path = path_of(filename)
    if is_pack(path):
        return open_packed(path)
    own = _open_own(path)
    if own is not None:
        return WsicompSlide(own, filename)
    try:
        found = open_openslide(filename, UnconvertedSlide)
        if not openslide_misreads(path):
            return found
        found.close()
        refusal = OpenSlideError("it shows its tiles in wrong colours, or not at all")
    except OpenSlideError as exc:
        refusal = exc
    try:
        return WsicompSlide(open_tiff(path), filename)
    except SlideReadError:
        pass
    if isinstance(refusal, OpenSlideUnsupportedFormatError):
        return _open_picture(path, filename)
    raise SlideAccessError(f"OpenSlide cannot open it ({refusal})", path) from refusal


def _open_own(path: Path) -> TiffSlide | None:
    """Open a file that wsicomp wrote, with the model that it needs; return None for any other file.

    Raises:
        SlideAccessError: it is damaged, cannot be read, or its model is not here.
    """
    try:
        own = open_if_converted(path)
        if own is None:
            return None
        try:
            if not own.has_model and all(map(own.is_neural, range(len(own.info.levels)))):
                own.require_model()
        except BaseException:
            own.close()
            raise
        return own
    except SlideAccessError:
        raise
    except SlideReadError as exc:
        unknown = vendor_of(path) is None
        raise (SlideFormatError if unknown else SlideAccessError)(exc.message, path, exc.place) from exc


def _by_its_file(slide: WsicompSlide) -> tuple[Any, tuple[Filename]]:
    """Return how a pickled slide is opened again where it is unpickled."""
    return open_slide, (slide.filename,)


copyreg.pickle(WsicompSlide, _by_its_file)


def _open_picture(path: Path, filename: Filename) -> ImageSlide:
    _refuse_truncated(path)
    try:
        return ImageSlide(filename)
    except UnidentifiedImageError as exc:
        raise SlideFormatError("neither a slide nor a picture", path) from exc
    except Image.DecompressionBombError as exc:
        raise SlideUnsupportedError(f"a picture too large for one level ({exc})", path) from exc
    except OSError as exc:
        raise as_slide_error(exc, path) from exc
    except DAMAGED as exc:
        raise SlideFormatError(f"a damaged picture ({type(exc).__name__})", path) from exc


def _refuse_truncated(path: Path) -> None:
    """Refuse a TIFF that is cut off: Pillow opens one, warns, and fails at its pixels.

    Raises:
        SlideFormatError: the file is a damaged TIFF.
    """
    with path.open("rb") as file:
        is_tiff = file.read(4) in TIFF_MAGIC
    try:
        if is_tiff:
            read_directories(path)
    except UnsupportedSlideError:
        return
    except SlideReadError as exc:
        raise SlideFormatError(exc.message, path, exc.place) from exc
