"""What the samples of a picture mean: labels, or probabilities.

Whole numbers are labels, each value a class and 0 none. Floats are probabilities. Whole numbers are, too,
where a threshold was asked for: then their largest value is 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import MaskError
from wsicomp.regions.class_table import MOST_CLASSES, OTHERS, ClassTable
from wsicomp.regions.reading import RegionReading
from wsicomp.regions.reduction import Classifier
from wsicomp.text.escaping import quoted

_MOST_LABEL = 65535
_THRESHOLD = 0.5


def classifier_for(
    dtype: np.dtype[Any], options: RegionReading, path: Path | None, name: str | None = None
) -> Classifier:
    """Return what tells the classes of samples of a type; with a `name` all that counts is that class.

    Raises:
        MaskError: samples of this type mean nothing.
    """
    if dtype.kind == "f" or (dtype.kind == "u" and is_probable(options)):
        return _Probabilities(dtype, _thresholds(options, name), path)
    if dtype.kind not in "bui":
        raise MaskError(f"samples of type {dtype}, expected whole numbers, floats or bool", path)
    if dtype.kind == "b" or name is not None:
        return Flags(name or "region")
    return _Labels(options.classes, path)


def is_probable(options: RegionReading) -> bool:
    """Return whether whole numbers are probabilities: a threshold was asked for."""
    return options.threshold is not None or bool(options.classes and options.classes.thresholds)


def _thresholds(options: RegionReading, name: str | None) -> list[tuple[float, str]]:
    """Return the thresholds of classes from the most probable on."""
    given = options.classes.thresholds if options.classes and name is None else {}
    if not given or options.threshold is not None:
        return [(options.threshold or _THRESHOLD, name or "region")]
    return sorted(((least, each) for each, least in given.items()), reverse=True)


class Flags:
    """Of what belongs to one class: all but 0."""

    def __init__(self, name: str) -> None:
        self.names = [name]

    def __call__(self, samples: NDArray[Any], top: int) -> NDArray[np.uint8]:  # noqa: ARG002
        return np.asarray((samples != 0).view(np.uint8))


class _Labels:
    """Of a label image: each value is a class."""

    def __init__(self, table: ClassTable | None, path: Path | None) -> None:
        self.names: list[str] = []
        self._table, self._path = table, path
        self._classes = np.zeros(_MOST_LABEL + 1, np.uint8)
        self._is_known = np.zeros(_MOST_LABEL + 1, np.bool_)
        self._is_known[0] = True

    def __call__(self, samples: NDArray[Any], top: int) -> NDArray[np.uint8]:
        labels = self._narrow(samples, top)
        bins = 256 if labels.dtype == np.uint8 else _MOST_LABEL + 1
        counts = cv2.calcHist([labels], [0], None, [bins], [0, bins]).ravel()
        for value in np.flatnonzero((counts > 0) & ~self._is_known[:bins]).tolist():
            self._add(value)
        if labels.dtype == np.uint8:
            return np.asarray(cv2.LUT(labels, self._classes[:256]))
        return np.asarray(self._classes[labels])

    def _narrow(self, samples: NDArray[Any], top: int) -> NDArray[Any]:
        if samples.dtype == np.uint8:
            return np.ascontiguousarray(samples)
        least, most = (int(samples.min()), int(samples.max())) if samples.dtype != np.uint16 else (0, 0)
        if least < 0:
            raise MaskError(f"label {least} in rows from {top} on, expected 0 or more", self._path)
        if most > _MOST_LABEL and not (self._table and OTHERS in self._table.classes):
            raise MaskError(
                f'label {most}, expected at most {_MOST_LABEL}; a table of classes with "*" takes any',
                self._path,
            )
        return np.ascontiguousarray(np.minimum(samples, _MOST_LABEL).astype(np.uint16))

    def _add(self, value: int) -> None:
        name = f"label {value}"
        if self._table:
            name = self._table.class_of(self._table.values.get(value, name))
        if name not in self.names:
            self.names.append(name)
        if len(self.names) > MOST_CLASSES:
            advice = 'name them in a table of classes, with "*" for all others'
            raise MaskError(f"over {MOST_CLASSES} labels; {advice}", self._path)
        self._classes[value], self._is_known[value] = self.names.index(name) + 1, True


class _Probabilities:
    """Of a map of probabilities: classes by their thresholds."""

    def __init__(self, dtype: np.dtype[Any], thresholds: list[tuple[float, str]], path: Path | None) -> None:
        self.names = [name for _, name in thresholds]
        self._least = [least for least, _ in thresholds]
        self._one = 1 if dtype.kind == "f" else np.iinfo(dtype).max
        self._path = path

    def __call__(self, samples: NDArray[Any], top: int) -> NDArray[np.uint8]:
        least, most = samples.min(), samples.max()
        if not (least >= 0 and most <= self._one):  # NaN fails both
            found = "NaN" if np.isnan(samples).any() else f"{least:g} to {most:g}"
            raise MaskError(
                f"samples of {found} in rows from {top} on, expected probabilities, 0 to 1; "
                f"labels are whole numbers, not {quoted(str(samples.dtype))}",
                self._path,
            )
        classes = np.zeros(samples.shape, np.uint8)
        for number in range(len(self._least), 0, -1):
            classes[samples >= self._least[number - 1] * self._one] = number
        return classes
