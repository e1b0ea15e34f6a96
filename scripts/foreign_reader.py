"""A plugin of pytest that puts our reader in OpenSlide's place, where FOREIGN_READER says so.

A file under FOREIGN_SOURCES is read as the one of the same name under FOREIGN_CONVERSIONS.
"""

import os
from pathlib import Path
from typing import Any

import openslide

import wsicomp

_REAL = openslide.OpenSlide


def _read_instead(filename: Any) -> Any:
    sources, conversions = (os.environ.get(f"FOREIGN_{name}") for name in ("SOURCES", "CONVERSIONS"))
    if sources and conversions and Path(os.fsdecode(filename)).is_relative_to(sources):
        return conversions / Path(os.fsdecode(filename)).relative_to(sources)
    return filename


def _open(filename: Any) -> openslide.AbstractSlide:
    return wsicomp.open_slide(_read_instead(filename))


class _Kind(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _REAL | wsicomp.WsicompSlide)


class _StandIn(metaclass=_Kind):
    """`openslide.OpenSlide` as a class that makes what `wsicomp.open_slide` opens, but no plain pictures."""

    def __new__(cls, filename: Any) -> Any:
        slide = _open(filename)
        if isinstance(slide, openslide.ImageSlide):
            slide.close()
            raise openslide.OpenSlideUnsupportedFormatError("a plain picture")
        return slide

    detect_format = wsicomp.WsicompSlide.detect_format


if os.environ.get("FOREIGN_READER") == "wsicomp":
    openslide.OpenSlide = _StandIn  # type: ignore[misc, assignment]
    openslide.open_slide = _open  # type: ignore[assignment]
