"""A volume as an array that is loaded when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsicomp.volumes.volume import Volume, VolumeInfo


class VolumeArray:
    """A volume as an array that is read when it is asked for, with nibabel's axes: (x, y, z) or (x, y, z, t).

    Examples:
        >>> volume = wsicomp.open_volume("brain.wsiv")  # doctest: +SKIP
        >>> volume.shape, volume.dtype  # doctest: +SKIP
        ((256, 256, 25), dtype('int16'))
        >>> volume[..., 12].mean()  # one slice is read  # doctest: +SKIP
        101.7
    """

    is_proxy = True
    """As nibabel marks arrays that are loaded when asked for."""

    def __init__(self, source: Volume, is_scaled: bool = False) -> None:
        self._source = source
        self._is_scaled = is_scaled
        self.info: VolumeInfo = source.info
        """What it is."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(x, y, z) or (x, y, z, t)."""
        return self.info.shape

    @property
    def ndim(self) -> int:
        """3 or 4."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values: as they are stored, or float64 where they are scaled."""
        return np.dtype(np.float64) if self._is_scaled else self.info.dtype

    @property
    def affine(self) -> NDArray[np.float64] | None:
        """(4, 4): from voxel (x, y, z) to mm (right, anterior, superior); None if the source does not say."""
        return self.info.geometry.affine

    def __getitem__(self, key: Any) -> Any:
        """Read the slices that a key of NumPy's basic indexing needs, and return what it picks.

        The array is the caller's own, and may be written to.

        Raises:
            VolumeReadError: a slice is damaged.
            IndexError: the key does not fit the shape.
        """
        keys = _full_key(key, self.ndim)
        stack = np.arange(self.info.slice_count).reshape(self.shape[2:], order="F")[keys[2:]]
        numbers = np.ravel(stack)
        if np.ndim(stack) == 0:
            found = next(self._planes(numbers.tolist()))[keys[:2]]
            return found if np.ndim(found) == 0 else found.copy("K")  # the slice may be kept for others
        inner = np.empty(self.shape[:2], np.int8)[keys[:2]].shape  # only its shape is used
        out = np.empty((*inner, *np.shape(stack)), self.dtype, order="F")
        order, places = np.argsort(numbers), list(np.ndindex(np.shape(stack)))
        # Slices in the file's order: a gzip is inflated once, and a video decoded once.
        for which, plane in zip(order, self._planes(numbers[order].tolist()), strict=True):
            out[(..., *places[which])] = plane[keys[:2]]
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all voxels, as `numpy.asarray` asks for them."""
        if copy is False:
            raise ValueError("a compressed volume is decoded: it cannot be had without a copy")
        whole: NDArray[Any] = self[(...,)]
        return whole if dtype is None else whole.astype(dtype)

    def __len__(self) -> int:
        """Return the length of the first axis."""
        return self.shape[0]

    def get_fdata(self) -> NDArray[np.float64]:
        """Return all that the stored values stand for, such as Hounsfield units, as nibabel's images do."""
        return np.asarray(VolumeArray(self._source, is_scaled=True))

    def to_nibabel(self) -> Any:
        """Return nibabel's image of this volume; it reads the voxels when they are asked for.

        Raises:
            MissingExtraError: nibabel is not installed.
        """
        from wsicomp.extras import require

        require("volumes", "nibabel")
        import nibabel

        scaling = self.info.scaling
        is_plain = (scaling.slope, scaling.intercept) == (1.0, 0.0)
        array = self if is_plain else VolumeArray(self._source, is_scaled=True)
        image: Any = nibabel.Nifti1Image
        made = image(array, self.affine, dtype=array.dtype)
        made.header.set_xyzt_units("mm", "sec" if self.ndim == len("xyzt") else None)
        return made

    def _planes(self, numbers: list[int]) -> Iterator[NDArray[Any]]:
        """Yield slices as (columns, rows)."""
        scaling = self.info.scaling
        for number in numbers:
            stored = self._source.read_slice(number).T
            yield stored * np.float64(scaling.slope) + scaling.intercept if self._is_scaled else stored

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def __enter__(self) -> VolumeArray:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _full_key(key: Any, ndim: int) -> tuple[Any, ...]:
    """Return one index or slice for each axis.

    Raises:
        IndexError: the key is none of basic indexing, or has too many parts.
    """
    parts = list(key) if isinstance(key, tuple) else [key]
    if not all(map(_is_basic, parts)):
        raise IndexError(
            "expected whole numbers, slices and ... for the axes; np.asarray(volume) takes others"
        )
    where = [number for number, part in enumerate(parts) if part is Ellipsis]
    missing = ndim - len(parts) + len(where)
    if len(where) > 1 or missing < 0:
        raise IndexError(f"{len(parts)} indices for {ndim} axes")
    at = where[0] if where else len(parts)
    return (*parts[:at], *[slice(None)] * missing, *parts[at + len(where) :])


def _is_basic(part: Any) -> bool:
    """Return whether a part of a key is a whole number, a slice or `...`; True and False are masks."""
    return part is Ellipsis or (isinstance(part, int | np.integer | slice) and not isinstance(part, bool))
