"""Volumes with labels: read from a folder, brought to samples for JPEG 2000, dealt to parts by patient."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsicomp.downstream.jpeg2000_rates import Samples
from wsicomp.downstream.settings import CodingSettings, SplitSettings, number_in
from wsicomp.errors import TrainingError
from wsicomp.files.inputs import check_file, is_folder, reading
from wsicomp.files.limits import memory_bytes
from wsicomp.progress import StageProgress
from wsicomp.text.figures import as_bytes, counted
from wsicomp.volumes.formats.opening import open_volume_source

HOUNSFIELD = (-1024, 3071)
"""CT is clipped to these values: 12 bits, and 4096 is the peak of its PSNR."""

_MOST_CLASSES = 32
_SAME_MM = 1e-2


@dataclass(frozen=True)
class LabelledVolume:
    """A volume as a study uses it."""

    name: str
    """Its file's name without suffixes."""
    patient: str
    """Whom it shows."""
    bits: int
    """Bits of a sample."""
    peak: float
    """The peak of its PSNR, in samples."""
    samples: Samples = field(repr=False)
    """(slices, rows, columns) uint8 or uint16, below 2 to `bits`."""
    labels: NDArray[np.uint8] = field(repr=False)
    """(slices, rows, columns): 0 for none, else the number of a class."""


@dataclass(frozen=True)
class Parts:
    """The numbers of the cases of each part, in a fixed order."""

    learning: tuple[int, ...]
    """Cases to learn from."""
    validation: tuple[int, ...]
    """Cases to validate with."""
    test: tuple[int, ...]
    """Cases that test."""


def read_labelled_volumes(
    folder: Path, coding: CodingSettings, split: SplitSettings, copies: int, progress: StageProgress
) -> tuple[LabelledVolume, ...]:
    """Read all volumes of `folder`/images and their labels of the same names in `folder`/labels.

    Memory: all voxels, two bytes each, and a byte of each label, `copies` times: as many as there are rates.

    Raises:
        TrainingError: a folder, a volume's labels or a patient is missing, labels do not fit their volume,
            or the volumes do not fit into half of this machine's memory.
        VolumeReadError: a file is no volume, or is damaged.
    """
    names = _paired(folder)
    patients = patients_of([_stem(name) for name in names], split)
    found: list[LabelledVolume] = []
    size = 0
    for number, name in enumerate(names):
        voxels = _voxels(folder / "images" / name)
        samples, bits, peak = samples_of(voxels, coding, folder / "images" / name)
        labels = _labels(folder / "labels" / name, folder / "images" / name, samples.shape)
        found.append(LabelledVolume(_stem(name), patients[_stem(name)], bits, peak, samples, labels))
        size += samples.nbytes * (copies + 1) + labels.nbytes
        if size > memory_bytes() // 2:
            asked = f"over {as_bytes(memory_bytes() // 2)} for {counted(copies, 'rate')}"
            raise TrainingError(f"its voxels take {asked}; leave out volumes or rates", folder)
        progress(number + 1, len(names))
    _check_classes(found, folder)
    return tuple(found)


def class_count(volumes: Sequence[LabelledVolume]) -> int:
    """Return the number of classes, without that of no label."""
    return max(int(volume.labels.max()) for volume in volumes)


def data_digest(volumes: Sequence[LabelledVolume]) -> str:
    """Return a SHA-256 of all that networks may see: samples, labels, names and patients."""
    whole = hashlib.sha256()
    for volume in volumes:
        facts = [volume.name, volume.patient, volume.bits, volume.peak, *volume.samples.shape]
        whole.update(json.dumps(facts).encode())
        whole.update(np.ascontiguousarray(volume.samples).tobytes())
        whole.update(np.ascontiguousarray(volume.labels).tobytes())
    return whole.hexdigest()


def _stem(name: str) -> str:
    return name.split(".", maxsplit=1)[0]


def _paired(folder: Path) -> list[str]:
    """Return the names of all images, each of which has labels."""
    for part in ("images", "labels"):
        if not is_folder(folder / part):
            raise TrainingError(f"no folder {part}; expected images and labels of the same names", folder)
    with reading(folder, TrainingError):
        names = sorted(path.name for path in (folder / "images").iterdir() if not path.name.startswith("."))
        labels = {path.name for path in (folder / "labels").iterdir()}
    if not names:
        raise TrainingError("holds no volume", folder / "images")
    if missing := [name for name in names if name not in labels]:
        more = f", nor have {len(missing) - 1} others" if len(missing) > 1 else ""
        raise TrainingError(f"has no labels in {folder / 'labels'}{more}", folder / "images" / missing[0])
    stems = [_stem(name) for name in names]
    if twice := [stem for stem in stems if stems.count(stem) > 1]:
        raise TrainingError(f"two volumes are named {twice[0]}; rename one", folder / "images")
    return names


def patients_of(names: Sequence[str], split: SplitSettings) -> Mapping[str, str]:
    """Return the patient of each volume, by a table, by the numbers in names, or each its own.

    >>> patients_of(["head_3", "head_4"], SplitSettings(numbers_of_patient=2))
    {'head_3': '2', 'head_4': '2'}

    Raises:
        TrainingError: the table has no row for a volume, or a name has no number.
    """
    if split.patients:
        table = _patient_table(Path(split.patients))
        if missing := [name for name in names if name not in table]:
            raise TrainingError(f"no patient for {missing[0]}", split.patients)
        return {name: table[name] for name in names}
    if split.numbers_of_patient == 1:
        return {name: name for name in names}
    found = {name: number_in(name) for name in names}
    if without := [name for name, number in found.items() if number is None]:
        raise TrainingError(
            f"no number in {without[0]}, by which to tell its patient; give a table of patients"
        )
    each = split.numbers_of_patient
    return {name: str(-(-number // each)) for name, number in found.items() if number is not None}


def _patient_table(path: Path) -> dict[str, str]:
    check_file(path, TrainingError)
    try:
        rows = list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))
        return {_stem(row["name"]): row["patient"] for row in rows}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, AttributeError) as exc:
        raise TrainingError("no CSV table with columns name and patient", path) from exc


def _voxels(path: Path) -> NDArray[np.float64]:
    """Return what a volume's values stand for, (slices, rows, columns)."""
    with closing(open_volume_source(path)) as volume:
        info = volume.info
        if len(info.shape) != 3:
            raise TrainingError(f"has {len(info.shape)} dimensions, expected 3", path)
        if int(np.prod(info.shape)) * 8 > memory_bytes() // 4:
            raise TrainingError("too large for a study in this machine's memory", path)
        found = np.empty((info.shape[2], *info.slice_shape), np.float64)
        for number, each in enumerate(volume.slices()):
            found[number] = each
        if not np.isfinite(found).all():
            raise TrainingError("holds NaN or infinity, expected finite values", path)
        scaled: NDArray[np.float64] = found * info.scaling.slope + info.scaling.intercept
        return scaled


def samples_of(voxels: NDArray[np.float64], coding: CodingSettings, path: Path) -> tuple[Samples, int, float]:
    """Return a volume's samples, their bits, and the peak of their PSNR.

    CT is clipped to `HOUNSFIELD`. Other volumes keep whole numbers that fit into 8 bits or `coding.bits`;
    all else is scaled linearly from its own range to `coding.bits`, and its range is its peak.

    Raises:
        TrainingError: the volume holds one value alone.
    """
    low, high = float(voxels.min()), float(voxels.max())
    if low == high:
        raise TrainingError("holds one value alone; nothing can be learnt from it", path)
    if coding.modality == "CT":
        clipped = np.rint(np.clip(voxels, *HOUNSFIELD)) - HOUNSFIELD[0]
        return clipped.astype(np.uint16), 12, float(HOUNSFIELD[1] - HOUNSFIELD[0] + 1)
    is_whole = bool((voxels == np.rint(voxels)).all())
    if is_whole and high - low < 1 << 8:
        return (voxels - low).astype(np.uint8), 8, high - low
    most = (1 << coding.bits) - 1
    if is_whole and high - low <= most:
        return (voxels - low).astype(np.uint16), coding.bits, high - low
    scaled = np.rint((voxels - low) * (most / (high - low)))
    return scaled.astype(np.uint16 if coding.bits > 8 else np.uint8), coding.bits, float(most)


def _labels(path: Path, image: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    with closing(open_volume_source(path)) as labels, closing(open_volume_source(image)) as volume:
        ours, theirs = labels.info, volume.info
    if ours.shape != theirs.shape:
        raise TrainingError(f"shape {ours.shape}, expected {theirs.shape} as its volume", path)
    one, other = ours.geometry.affine, theirs.geometry.affine
    if one is not None and other is not None and not np.allclose(one, other, atol=_SAME_MM):
        raise TrainingError("lies elsewhere in the patient than its volume; resample it", path)
    values = _voxels(path)
    is_class = (values == np.rint(values)) & (values >= 0) & (values < _MOST_CLASSES)
    if not is_class.all():
        wrong = float(values[~is_class].flat[0])
        raise TrainingError(
            f"a label is {wrong:g}, expected whole numbers from 0 to {_MOST_CLASSES - 1}", path
        )
    return values.astype(np.uint8).reshape(shape)


def _check_classes(volumes: Sequence[LabelledVolume], folder: Path) -> None:
    present = sorted({int(value) for volume in volumes for value in np.unique(volume.labels)} - {0})
    if not present:
        raise TrainingError("holds no label but 0; nothing can be learnt", folder / "labels")
    if present != list(range(1, len(present) + 1)):
        raise TrainingError(
            f"labels are {present}, expected 1 to {len(present)} without gaps", folder / "labels"
        )


def deal_patients(patients: Sequence[str], split: SplitSettings, path: Path) -> Parts:
    """Deal cases into parts by a seed; `patients` has the patient of each case.

    Raises:
        TrainingError: there are too few patients for three parts.
    """
    known = sorted(set(patients))
    order = [known[number] for number in np.random.default_rng(split.seed).permutation(len(known))]
    test = round(split.test_share * len(known))
    validation = max(1, round(split.validation_share * len(known)))
    if test < 2 or len(known) - test - validation < 2:
        told = counted(len(known), "patient")
        raise TrainingError(f"{told}: {test} would test, expected 2 or more, and 2 more to learn from", path)
    part = dict.fromkeys(order[:test], 0)
    part |= dict.fromkeys(order[test : test + validation], 1)
    numbers: tuple[list[int], list[int], list[int]] = ([], [], [])
    for number, patient in enumerate(patients):
        numbers[part.get(patient, 2)].append(number)
    return Parts(tuple(numbers[2]), tuple(numbers[1]), tuple(numbers[0]))
