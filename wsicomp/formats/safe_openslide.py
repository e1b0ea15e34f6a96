"""Opens files in OpenSlide, but for those whose stated sizes would end the whole process.

OpenSlide allocates memory for a tile by the sizes that the file states, and aborts where there is none. So a
byte count of terabytes, a tile of a thousand million pixels, and an Aperio text of millions of fields are
found before OpenSlide opens the file; and DICOM frames that end before they begin, before it reads pixels.

Source: openslide 4.0.1 `openslide-decode-tiff.c` (`g_malloc` of a byte count, and of a tile's pixels) and
`openslide-vendor-aperio.c` (`g_strsplit` of a text).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from openslide import PROPERTY_NAME_VENDOR, OpenSlide, OpenSlideError
from PIL import Image

from wsicomp.concurrency.forks import OPENSLIDE_GATE
from wsicomp.formats.dicom.offset_tables import offset_risk
from wsicomp.formats.tiff.directories import TIFF_MAGIC
from wsicomp.formats.tiff.tags import DESCRIPTION_TAG, Tags, directories
from wsicomp.slide import APERIO_JPEG2000_RGB, APERIO_JPEG2000_YCBCR, JPEG

_COMPRESSION, _WIDTH, _HEIGHT, _OFFSETS, _COUNTS = _WANTED = 259, 322, 323, 324, 325
_BY_COUNT = (JPEG, APERIO_JPEG2000_YCBCR, APERIO_JPEG2000_RGB)
"""The compressions whose tiles OpenSlide reads by itself, into as much memory as their byte counts state."""
_MOST_TAGS = 1 << 16
_MOST_PX = 1 << 28
_MOST_FIELDS, _SEPARATORS = 4_000_000, (b"|", b"\n", b"\r")
_APERIO = b"Aperio"
_FARTHEST = 1 << 40
"""No slide is a terabyte large. A smaller offset beyond the file may belong to a transfer that broke off."""


Numbers = dict[int, NDArray[np.uint64]]


class ForkSafeOpenSlide(OpenSlide):
    """An `openslide.OpenSlide` that a forked process can read on, whatever other threads were reading.

    A DICOM slide at whose pixels the process would end has its metadata, and no pixels.
    """

    def __init__(self, filename: str | bytes | os.PathLike[str]) -> None:
        super().__init__(filename)
        self._opened, self._is_checked = Path(os.fsdecode(filename)), False

    def read_region(self, location: tuple[int, int], level: int, size: tuple[int, int]) -> Image.Image:
        """Read a region, as `openslide.OpenSlide.read_region` does.

        Raises:
            OpenSlideError: OpenSlide cannot read it, or must not.
        """
        if level or min(map(sum, zip(location, size, strict=True))) > 0:
            self._check_frames()
        with OPENSLIDE_GATE:
            return super().read_region(location, level, size)

    @property
    def associated_images(self) -> Mapping[str, Image.Image]:
        """The associated images by their names; each is read when it is asked for.

        Asking raises OpenSlideError where OpenSlide cannot read it, or must not.
        """
        return _CheckedImages(super().associated_images, self._check_frames)

    def _check_frames(self) -> None:
        if self._is_checked:
            return
        if self.properties[PROPERTY_NAME_VENDOR] == "dicom":
            try:
                found = offset_risk(self._opened)
            except OSError as exc:
                raise OpenSlideError(str(exc)) from exc
            if found:
                raise OpenSlideError(found)
        self._is_checked = True


class _CheckedImages(Mapping[str, Image.Image]):
    """The associated images of a slide, which is checked before one is read."""

    def __init__(self, images: Mapping[str, Image.Image], check: Callable[[], None]) -> None:
        self._images, self._check = images, check

    def __getitem__(self, name: str) -> Image.Image:
        if name not in self:
            raise KeyError(name)
        self._check()
        return self._images[name]

    def __contains__(self, name: object) -> bool:
        return name in list(self._images)

    def __iter__(self) -> Iterator[str]:
        return iter(self._images)

    def __len__(self) -> int:
        return len(self._images)


def open_openslide(
    path: str | bytes | os.PathLike[str], kind: Callable[[Any], OpenSlide] = ForkSafeOpenSlide
) -> OpenSlide:
    """Open a file in OpenSlide, as a slide of this class; `kind` makes it of the path.

    >>> with open_openslide("slide.svs") as slide:  # doctest: +SKIP
    ...     slide.dimensions

    Raises:
        OpenSlideError: OpenSlide does not open the file, or the sizes that it states would end the process.
    """
    found = _crash_risk(Path(os.fsdecode(path)))
    if found:
        raise OpenSlideError(found)
    return kind(path)


def _crash_risk(path: Path) -> str:
    """Return in words why OpenSlide must not open a file; "" where it may."""
    try:
        with path.open("rb") as file:
            if file.read(4) not in TIFF_MAGIC:
                return ""
            file_bytes = os.fstat(file.fileno()).st_size
            is_aperio: bool | None = None
            for directory in directories(file, _MOST_TAGS, has_subs=False):
                text = _text(file, directory)
                is_aperio = text.startswith(_APERIO) if is_aperio is None else is_aperio
                found = _size_risk(_numbers_of(file, directory), file_bytes)
                if found or (is_aperio and (found := _text_risk(text))):
                    return found
    except (OSError, struct.error, ValueError):
        pass  # OpenSlide says better than we could what is wrong
    return ""


def _numbers_of(file: BinaryIO, directory: Tags) -> Numbers:
    """Return the numbers of the wanted tags.

    Where a tag is there twice, return the numbers of both: readers differ about which of them counts.
    """
    found: Numbers = dict.fromkeys(_WANTED, np.empty(0, np.uint64))
    for tag in directory.tags:
        if tag.code in _WANTED:
            found[tag.code] = np.concatenate([found[tag.code], tag.numbers(file)])
    return found


def _text(file: BinaryIO, directory: Tags) -> bytes:
    return b"".join(tag.data(file) for tag in directory.tags if tag.code == DESCRIPTION_TAG)


def _text_risk(text: bytes) -> str:
    fields = max(map(text.count, _SEPARATORS))
    return (
        f"a text of {fields} fields or lines, expected at most {_MOST_FIELDS}"
        if fields > _MOST_FIELDS
        else ""
    )


def _size_risk(tags: Numbers, file_bytes: int) -> str:
    if not len(tags[_WIDTH]) or not len(tags[_HEIGHT]):
        return ""
    width, height = (int(tags[code].max()) for code in (_WIDTH, _HEIGHT))
    if width * height > _MOST_PX:
        return f"tiles of {width} x {height} px, expected at most {_MOST_PX} px"
    counts, offsets = tags[_COUNTS], tags[_OFFSETS]
    is_by_count = np.isin(tags[_COMPRESSION], _BY_COUNT).any()
    if is_by_count and len(counts) and int(counts.max()) > file_bytes:
        return f"a tile of {int(counts.max())} bytes in a file of {file_bytes}"
    if len(offsets) and int(offsets.max()) > max(_FARTHEST, file_bytes):
        return f"a tile at byte {int(offsets.max())} of a file of {file_bytes}"
    return ""
