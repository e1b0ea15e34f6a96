"""Pictures to rasters of regions: a raster pixel has each class that any pixel under it has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import MaskError
from wsicomp.regions.placement import MOST_RASTER_BITS, PicturePlacement, Raster
from wsicomp.regions.rows import SampleRows
from wsicomp.tissue.bits import BitMask, Words
from wsicomp.tissue.mask import any_inside

_STRIP_PX = 1 << 21


class Classifier(Protocol):
    """Tells the class of each sample of a picture."""

    names: list[str]
    """The classes met so far."""

    def __call__(self, samples: NDArray[Any], top: int) -> NDArray[np.uint8]:
        """Return the class of each sample: 0 for none, else 1 + the number of its name.

        `top` is the row of the picture from which the samples, (rows, columns), begin.
        """
        ...


def reduced(
    picture: SampleRows, placement: PicturePlacement, raster: Raster, classifier: Classifier
) -> dict[str, BitMask]:
    """Return the raster of each class of a picture, in the order of `classifier.names`.

    Memory: a bit for each raster pixel of each class, at most 256 MiB, and some million pixels of the picture
    (at least the rows under one of the raster).

    Raises:
        MaskError: so many classes do not fit.
    """
    rows, columns = placement.spans(raster, picture.size)
    right, down = _filled(columns), _filled(rows)
    if right.start == right.stop:
        return {}
    words: list[Words] = []
    under = columns[0][right], columns[1][right]
    for strip in _strips(rows, down, picture.size.width, raster.size.width):
        first, end = rows[0][strip], rows[1][strip]
        top = int(first[0])
        classes = classifier(picture.rows(top, int(end[-1])), top)
        _check_room(len(classifier.names), raster)
        empty = BitMask.of(np.zeros((1, raster.size.width), np.bool_)).words
        words += [np.repeat(empty, raster.size.height, axis=0) for _ in classifier.names[len(words) :]]
        for number, each in enumerate(words, 1):
            part = np.zeros((strip.stop - strip.start, raster.size.width), np.bool_)
            part[:, right] = any_inside(classes == number, (first - top, end - top), under)
            each[strip] |= BitMask.of(part).words
    return {
        name: BitMask(each, raster.size.width) for name, each in zip(classifier.names, words, strict=True)
    }


def _check_room(classes: int, raster: Raster) -> None:
    most = MOST_RASTER_BITS // (raster.size.width * raster.size.height)
    if classes > most:
        found = f"{classes} classes or more in {raster.size} px, expected at most {most}"
        raise MaskError(f'{found}; join some in a table of classes with "*", or export it smaller')


def _filled(spans: tuple[NDArray[np.intp], NDArray[np.intp]]) -> slice:
    """Return the part of the raster under which the picture lies."""
    places = np.flatnonzero(spans[1] > spans[0])
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)


def _strips(
    rows: tuple[NDArray[np.intp], NDArray[np.intp]], down: slice, width: int, raster_width: int
) -> Iterator[slice]:
    """Yield raster rows, some million pixels of them, that lie over some million pixels of the picture."""
    most, most_here = max(1, _STRIP_PX // width), max(1, 4 * _STRIP_PX // raster_width)
    start = down.start
    while start < down.stop:
        stop = int(np.searchsorted(rows[1][: down.stop], rows[0][start] + most, "right"))
        stop = min(max(stop, start + 1), start + most_here, down.stop)
        yield slice(start, stop)
        start = stop
