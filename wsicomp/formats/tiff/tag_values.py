"""The values of a TIFF page's tags, checked before they are used."""

from __future__ import annotations

import tifffile

from wsicomp.errors import SlideReadError
from wsicomp.formats.stated_scale import scale_of
from wsicomp.formats.tiff.tags import DESCRIPTION_TAG, MODEL_TAG, MOST_MODEL_BYTES
from wsicomp.geometry import Mpp

_MICROMETRES = {2: 25400.0, 3: 10000.0}
"""Micrometres in a TIFF ResolutionUnit: 2 is inch, 3 is centimetre."""

_RESOLUTIONS, _RESOLUTION_UNIT, _INCH = (282, 283), 296, 2

_JPEG_TABLES, _BYTES_ALONE = 347, (1, 2, 6, 7)

_FRACTIONS, _BYTES, _FLOATS = (5, 10), (1, 6), (11, 12)

_NUMBERS = (3, 4, 8, 9, 11, 12, 13, 16, 17)
"""TIFF's types of values: rationals, bytes, and all other numbers."""


def image_description(page: tifffile.TiffPage) -> str:
    """Return the ImageDescription byte for byte: Latin-1 alone carries all bytes unchanged."""
    return text_of(page, DESCRIPTION_TAG).rstrip(b"\0").decode("latin-1")


def text_of(page: tifffile.TiffPage, code: int) -> bytes:
    """Return the bytes of a tag of text; none where there is no such tag."""
    tag = page.tags.get(code)
    return b"" if tag is None or tag.dtype not in (1, 2, 7) else _raw(page, tag)


def _raw(page: tifffile.TiffPage, tag: tifffile.TiffTag) -> bytes:
    """Return the bytes of a tag of bytes, as many as the file has."""
    file = page.parent.filehandle
    file.seek(tag.valueoffset)
    return file.read(min(tag.count, file.size))


def checked_whole(value: object, name: str) -> int:
    """Return a whole number that a tag states.

    Raises:
        SlideReadError: the value is of another type.
    """
    if not isinstance(value, int):
        raise SlideReadError(f"its {name} is {value!r:.40}, expected a whole number; the file is damaged")
    return int(value)


def jpeg_tables_of(page: tifffile.TiffPage) -> bytes | None:
    """Return JPEGTables of any type that holds bytes, as libtiff reads it; None where there are none.

    Raises:
        SlideReadError: the values of the tag are not bytes.
    """
    tag = page.tags.get(_JPEG_TABLES)
    if tag is None:
        return None
    if tag.dtype in _BYTES_ALONE:
        return _raw(page, tag)
    values = tag.value if isinstance(tag.value, tuple) else (tag.value,)
    if all(isinstance(value, int) and 0 <= value < 256 for value in values):
        return bytes(values)
    raise SlideReadError("its JPEGTables hold no bytes; the file is damaged")


def model_range_of(page: tifffile.TiffPage) -> tuple[int, int] | None:
    """Return offset and byte count of the neural model that a page carries; None where there is none."""
    tag = page.tags.get(MODEL_TAG)
    if tag is None or tag.dtype not in (1, 7) or tag.count > MOST_MODEL_BYTES:
        return None
    return tag.valueoffset, tag.count


def icc_profile_of(page: tifffile.TiffPage) -> bytes | None:
    """Return the ICC profile of a page; None where there is none."""
    value = page.tags.valueof(34675)
    return value if isinstance(value, bytes) and value else None


def resolution_mpp(page: tifffile.TiffPage) -> Mpp | None:
    """Return the um per px that the tags state, in any type of number; None where they state none.

    Of several numbers in a tag the first counts.

    Source: TIFF 6.0 gives rationals; OpenSlide reads floats too, and libtiff every kind of number.
    """
    tag = page.tags.get(_RESOLUTION_UNIT)
    is_whole = tag is None or tag.dtype not in _FLOATS
    unit = _MICROMETRES.get(int(first_number(page, _RESOLUTION_UNIT, _INCH))) if is_whole else None
    mpp_x, mpp_y = (
        None if unit is None else scale_of(unit / value) if (value := first_number(page, code)) else None
        for code in _RESOLUTIONS
    )
    return Mpp(mpp_x, mpp_y) if mpp_x and mpp_y else None


def first_number(page: tifffile.TiffPage, code: int, default: float = 0) -> float:
    """Return the first number of a tag, `default` where there is no such tag, 0 where it holds no number."""
    tag = page.tags.get(code)
    if tag is None:
        return default
    values = tag.value if isinstance(tag.value, tuple) else (tag.value,)
    if tag.dtype in _FRACTIONS:
        numerator, denominator = values[:2]
        return numerator / denominator if denominator else 0
    if tag.dtype in _BYTES and isinstance(tag.value, bytes):
        values = tuple(tag.value)
    is_number = tag.dtype in (*_BYTES, *_NUMBERS) and values and isinstance(values[0], int | float)
    return values[0] if is_number else 0
