"""Patch sets: pictures of 512 x 512 px and their labels at several magnifications, in one HDF5 file.

    /image    (patches, 512, 512, 3) uint8 RGB
    /label    (patches, 512, 512) uint8: 0 glass, 255 tissue, 128 does not score
    /patch    (patches,) power, mpp (um per px), source (row of /source), column and row (of its grid)
    /source   (sources,) name, group, split, licence, may_train, light (RGB of its bare glass)

A patch set holds nothing that can be executed, and is read a patch at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from wsicomp.errors import SlideWriteError, TrainingError
from wsicomp.files.atomic import completed
from wsicomp.files.inputs import check_file
from wsicomp.formats.stated_scale import MPP_AT_1X
from wsicomp.geometry import Region, Size, TileGrid
from wsicomp.progress import Stages, no_progress
from wsicomp.slide import Pixels
from wsicomp.tissue.overview import read_overview
from wsicomp.tissue.scale import ReadingScale, choose_scale, read_scaled
from wsicomp.tissue.white_balance import WhitePoint, find_white_point
from wsicomp.training.data.labels import IGNORED, Labels, Truth, open_truth
from wsicomp.training.data.slide_table import LabelledSlide

if TYPE_CHECKING:
    import h5py

PATCH_PX = 512
POWERS = (1.25, 2.5, 5.0, 10.0, 20.0)
THINNED = {20.0: 4, 40.0: 8}
"""Take only every nth patch at these magnifications, as the method's study does."""

_FORMAT = "wsicomp patch set 2"
_LEAST_SCORED = 0.02
_LEAST_PATCH_BYTES = 256
_LEAST_SOURCE_BYTES = 16
_PATCH = np.dtype([("power", "f4"), ("mpp", "f4"), ("source", "i4"), ("column", "i4"), ("row", "i4")])
_NAMES = ("name", "group", "split", "licence")


@dataclass(frozen=True, slots=True)
class Patch:
    """The place of a patch in its set."""

    number: int
    """The number of the patch in its set."""
    power: float
    """The magnification."""
    source: int
    """The number of its source."""


@dataclass(frozen=True, slots=True)
class PatchSource:
    """A labelled slide that patches were cut from."""

    name: str
    """The slide's name."""
    group: str
    """The patient or slide, which a split keeps together."""
    split: str
    """The split that it belongs to, such as "train" or "test"."""
    licence: str
    """The licence of its data."""
    may_train: bool
    """Whether its licence allows to train weights on it."""
    light: tuple[float, float, float]
    """RGB of its bare glass."""

    def described(self) -> dict[str, str]:
        """Return the facts about this source that a trained network's manifest or card states."""
        return {"name": self.name, "group": self.group, "licence": self.licence}


def build_patch_set(
    rows: Sequence[LabelledSlide],
    target: Path,
    powers: Sequence[float],
    stages: Stages,
    dense: bool = False,
    overwrite: bool = False,
) -> dict[float, int]:
    """Cut every labelled slide into patches without overlap at every power that its scale allows.

    A slide that is coarser than the lowest power enters there once, at its own scale. Patches at the right
    and lower edge move inwards. A picture smaller than a patch is padded with its edge, which does not score.
    High powers are thinned out unless `dense`. `target` appears when it is complete.
    Returns the number of patches of each power.

    Raises:
        SlideReadError: a slide cannot be read.
        MaskError: a mask cannot be read or does not fit.
        TrainingError: not one patch could be cut.
        TargetExistsError: the file exists, and `overwrite` is False.
        SlideWriteError: the file cannot be written.
    """
    import h5py

    try:
        # Without HDF5's own lock: it is held already.
        with completed(target, overwrite) as partial, h5py.File(partial, "w", locking=False) as file:
            writer = _Writer(file)
            with stages.stage("cut") as progress:
                for number, row in enumerate(rows):
                    truth = open_truth(row)
                    with closing(truth.slide):
                        writer.lights.append(find_white_point(read_overview(truth.slide, 1, no_progress)))
                        for scale, power in _scales(truth, powers):
                            writer.extend(
                                number,
                                power,
                                scale.mpp,
                                _cut(truth, scale, 1 if dense else THINNED.get(power, 1)),
                            )
                    progress(number + 1, len(rows))
            if not writer.patches:
                raise TrainingError("not one patch could be cut: no picture scores at these powers", target)
            writer.finish(rows)
    except RuntimeError as exc:  # h5py raises this for a full disk when it closes a file
        raise SlideWriteError(f"cannot be written ({exc})", target) from exc
    with open_patch_set(target) as patches:
        return patches.counts()


class _Writer:
    def __init__(self, file: h5py.File) -> None:
        side = PATCH_PX
        file.attrs["format"] = _FORMAT
        options: dict[str, Any] = {"dtype": np.uint8, "compression": "gzip", "compression_opts": 1}
        self._image = file.create_dataset(
            "image", (0, side, side, 3), maxshape=(None, side, side, 3), chunks=(1, side, side, 3), **options
        )
        self._label = file.create_dataset(
            "label", (0, side, side), maxshape=(None, side, side), chunks=(1, side, side), **options
        )
        self._file = file
        self.patches: list[tuple[float, float, int, int, int]] = []
        self.lights: list[WhitePoint] = []

    def extend(
        self, source: int, power: float, mpp: float, cut: Iterator[tuple[Pixels, Labels, int, int]]
    ) -> None:
        for pixels, labels, column, row in cut:
            count = len(self.patches)
            self._image.resize(count + 1, axis=0)
            self._label.resize(count + 1, axis=0)
            self._image[count], self._label[count] = pixels, labels
            self.patches.append((power, mpp, source, column, row))

    def finish(self, rows: Sequence[LabelledSlide]) -> None:
        import h5py

        self._file["patch"] = np.array(self.patches, _PATCH)
        group = self._file.create_group("source")
        for field in _NAMES:
            group.create_dataset(field, data=[getattr(row, field) for row in rows], dtype=h5py.string_dtype())
        group["may_train"] = np.array([row.may_train for row in rows])
        group["light"] = np.stack(self.lights)


def _scales(truth: Truth, powers: Sequence[float]) -> Iterator[tuple[ReadingScale, float]]:
    """Return a reading scale for each power; for a slide coarser than all of them, that of the lowest."""
    scales = [(choose_scale(truth.slide.info, MPP_AT_1X / power), power) for power in sorted(powers)]
    reached = [(scale, power) for scale, power in scales if scale.reaches(power)]
    return iter(reached or scales[:1])


def _cut(truth: Truth, scale: ReadingScale, every: int) -> Iterator[tuple[Pixels, Labels, int, int]]:
    grid = TileGrid(scale.size, Size(PATCH_PX, PATCH_PX))
    for index in list(grid.raster(0))[::every]:
        region = patch_region(scale.size, index.column * PATCH_PX, index.row * PATCH_PX)
        labels = truth.at(scale, region)
        if (labels != IGNORED).mean() < _LEAST_SCORED:
            continue
        pixels = read_scaled(truth.slide, scale, region)
        below, beside = PATCH_PX - region.height, PATCH_PX - region.width
        whole = cv2.copyMakeBorder(pixels, 0, below, 0, beside, cv2.BORDER_REPLICATE)
        padded = cv2.copyMakeBorder(labels, 0, below, 0, beside, cv2.BORDER_CONSTANT, value=IGNORED)
        yield np.asarray(whole, np.uint8), np.asarray(padded, np.uint8), index.column, index.row


def patch_region(size: Size, x: int, y: int) -> Region:
    """Return the region of the patch at (x, y) of a picture, moved inwards from the right and lower edge.

    `size` is the picture's. The region is smaller than a patch if the picture is.
    """
    width, height = min(PATCH_PX, size.width), min(PATCH_PX, size.height)
    return Region(min(x, size.width - width), min(y, size.height - height), width, height)


class PatchSet:
    """An open patch set, whose patches are read on demand, by one thread at a time.

    Raises:
        TrainingError: the file is no patch set, is empty, or says more than it holds.
    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        if file.attrs.get("format") != _FORMAT:
            raise TrainingError("not a patch set; make one with `wsicomp dataset build`", path)
        self._path, self._image, self._label = path, file["image"], file["label"]
        listed, shape = file["patch"], (PATCH_PX, PATCH_PX)
        count = int(listed.shape[0])
        if self._image.shape != (count, *shape, 3) or self._label.shape != (count, *shape):
            raise TrainingError(f"{count} patches listed, {self._image.shape} stored; build it anew", path)
        if {self._image.dtype, self._label.dtype} != {np.dtype(np.uint8)}:
            raise TrainingError("patches that are no bytes; build it anew", path)
        if count > path.stat().st_size // _LEAST_PATCH_BYTES:
            raise TrainingError(f"{count} patches listed, more than the file can hold; build it anew", path)
        if any(
            len(column) > path.stat().st_size // _LEAST_SOURCE_BYTES for column in file["source"].values()
        ):
            raise TrainingError("more sources listed than the file can hold; build it anew", path)
        records = np.asarray(listed[:])
        fields = [[text.decode() for text in file["source"][name][:]] for name in _NAMES]
        flags = [bool(flag) for flag in file["source"]["may_train"][:]]
        lights = [tuple(light) for light in file["source"]["light"][:].astype(float).tolist()]
        self.sources = tuple(PatchSource(*row) for row in zip(*fields, flags, lights, strict=True))
        self.patches = tuple(
            Patch(number, float(record["power"]), int(record["source"]))
            for number, record in enumerate(records)
        )
        if not self.patches:
            raise TrainingError("the patch set is empty; nothing can be learnt from it", path)
        if not all(len(light) == 3 and 1 <= min(light) <= max(light) <= 255 for light in lights):
            raise TrainingError("a source's light is no colour; build it anew", path)
        if not all(0 <= patch.source < len(self.sources) for patch in self.patches):
            raise TrainingError("a patch names a source that is not listed; build it anew", path)

    def read(self, patch: Patch) -> tuple[Pixels, Labels]:
        """Return a patch, (512, 512, 3) uint8 RGB, and its labels, (512, 512) uint8.

        A label is 0 for glass, 255 for tissue, 128 for a pixel that does not score.

        Raises:
            TrainingError: the patch is damaged.
        """
        try:
            return np.asarray(self._image[patch.number]), np.asarray(self._label[patch.number])
        except (OSError, RuntimeError) as exc:
            raise TrainingError("is damaged; build it anew", self._path, f"patch {patch.number}") from exc

    def counts(self) -> dict[float, int]:
        """Return the number of patches of each power, the lowest first."""
        return dict(sorted(Counter(patch.power for patch in self.patches).items()))


@contextmanager
def open_patch_set(path: Path) -> Iterator[PatchSet]:
    """Open a patch set for reading.

    Raises:
        TrainingError: the file cannot be read, is no patch set, or is empty.
    """
    import h5py

    with ExitStack() as stack:
        check_file(path, TrainingError)
        try:
            patches = PatchSet(path, stack.enter_context(h5py.File(path, "r")))
        except TrainingError:
            raise
        except (
            OSError,
            LookupError,
            AttributeError,
            TypeError,
            ValueError,
            RuntimeError,
            MemoryError,
        ) as exc:
            raise TrainingError(f"cannot be read as a patch set ({type(exc).__name__})", path) from exc
        yield patches
