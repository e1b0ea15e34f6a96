"""Regions from arrays of NumPy, and from .npy files, which are mapped and never unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import MaskError
from wsicomp.formats.picture import DAMAGED
from wsicomp.geometry import Mpp, Size
from wsicomp.regions.found import Found
from wsicomp.regions.placement import Frame, image_placement, image_raster
from wsicomp.regions.reading import RegionReading
from wsicomp.regions.reduction import reduced
from wsicomp.regions.rows import ArrayRows, SampleRows
from wsicomp.regions.samples import classifier_for
from wsicomp.text.escaping import quoted
from wsicomp.tissue.bits import BitMask

_MOST_PX = 1 << 33
_NO_ARRAY = (*DAMAGED, TokenError)
"""What `numpy.load` raises for a damaged file."""
EMPTY = "every sample is 0, or below the threshold; expected some that are not"


def read_npy(path: Path, frame: Frame, options: RegionReading) -> Found:
    """Return the classes of the array in a .npy file: labels, bool, or probabilities.

    Raises:
        MaskError: the file is no array of two dimensions, or does not fit the slide.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except _NO_ARRAY as exc:
        found = f"not an array of numbers ({type(exc).__name__})"
        raise MaskError(f"{found}; expected what numpy.save writes, whole and without objects", path) from exc
    if not isinstance(array, np.ndarray):
        raise MaskError("several arrays; expected one, as numpy.save writes it", path)
    array = checked_array(array, path)
    return read_rows(ArrayRows(array), array.dtype, None, frame, options, path)


def read_arrays(arrays: Mapping[str, NDArray[Any]], frame: Frame, options: RegionReading) -> Found:
    """Return the classes of arrays by their names.

    Raises:
        MaskError: an array is not of two dimensions, or does not fit the slide and the others.
    """
    if not arrays:
        raise MaskError("no arrays; expected one for each class")
    found: dict[str, BitMask] = {}
    shape, raster = None, None
    for name, given in arrays.items():
        try:
            array = checked_array(np.asarray(given))
            if shape not in (None, array.shape):
                raise MaskError(f"{array.shape}, expected {shape} as the others have")
            size = Size(array.shape[1], array.shape[0])
            placement = image_placement(size, frame, options, None, None)
            shape, raster = array.shape, image_raster(frame, size, placement, len(arrays))
            classifier = classifier_for(array.dtype, options, None, name)
            found |= reduced(ArrayRows(array), placement, raster, classifier)
        except MaskError as exc:
            raise MaskError(exc.message, place=f"array {quoted(name)}") from exc
    assert raster is not None
    return Found(raster, joined(found, options), EMPTY)


def joined(found: Mapping[str, BitMask], options: RegionReading) -> dict[str, BitMask]:
    """Return the rasters by the names that the table has for them: all others in one."""
    bits: dict[str, BitMask] = {}
    for given, each in found.items():
        name = options.classes.class_of(given) if options.classes else given
        bits[name] = BitMask(bits[name].words | each.words, each.columns) if name in bits else each
    return bits


def read_rows(
    picture: SampleRows,
    dtype: np.dtype[Any],
    stated: Mpp | None,
    frame: Frame,
    options: RegionReading,
    path: Path | None,
) -> Found:
    """Return the classes of a picture that states `stated` um per px.

    Raises:
        MaskError: it does not fit the slide, or its samples mean nothing.
    """
    if picture.size.width * picture.size.height > _MOST_PX:
        raise MaskError(f"{picture.size} px, expected at most {_MOST_PX} in all; export it smaller", path)
    placement = image_placement(picture.size, frame, options, stated, path)
    raster = image_raster(frame, picture.size, placement)
    found = reduced(picture, placement, raster, classifier_for(dtype, options, path))
    return Found(raster, joined(found, options), EMPTY)


def checked_array(array: NDArray[Any], path: Path | None = None) -> NDArray[Any]:
    """Return an array that has rows and columns.

    Raises:
        MaskError: it has other dimensions, or no samples.
    """
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        array = array[0] if array.shape[0] == 1 else array[..., 0]
    if array.ndim != 2 or not array.size:
        raise MaskError(f"an array of shape {array.shape}, expected rows and columns", path)
    return array
