"""The files that one slide is made of: most formats have one, MRXS, VSI, VMS, VMU and DICOM have many.

Identity, size and presence of a slide are those of all its files.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path, PurePath
from typing import Any, TypeVar

from wsicomp.errors import SlideReadError
from wsicomp.files.inputs import check_file, reading, reason
from wsicomp.formats.dicom.header import opened_header, parsed_header

Value = TypeVar("Value")

DICOM_SUFFIX = ".dcm"
"""The suffix of DICOM files, which many lack."""
LISTS = (".vms", ".vmu")
"""The suffixes of files that name the other files of their slide, which stand beside them."""
OF_SEVERAL_FILES = (".mrxs", ".vsi", *LISTS)
"""The suffixes of slides of several files, but for DICOM, whose files only their headers tell."""
_MICROSCOPY, _WHOLE_SLIDE = "SM", "1.2.840.10008.5.1.4.1.1.77.1.6"
"""Modality and SOPClassUID of whole slides in DICOM."""
_HEADER_BYTES = 1 << 16
INDEX_BYTES = 1 << 20
"""As much is read of a file that names others."""
_LONGEST_NAME = 256


def slide_parts(path: Path) -> tuple[Path, ...]:
    """Return all files of the slide that `path` opens, sorted: one, or one with its companions.

    Raises:
        SlideReadError: the file is not there, or its companions cannot be listed.
    """
    check_file(path)
    try:
        others = _companions(path)
    except OSError as exc:
        raise SlideReadError(f"its other files cannot be listed ({reason(exc)})", path) from exc
    return tuple(sorted({path, *others}))


def slide_folders(path: Path) -> tuple[Path, ...]:
    """Return the folders in which a slide's files are, and nothing else, the outer ones first.

    MRXS and VSI have one, which may have others in it. The folder of the slide itself is none of them.

    Raises:
        SlideReadError: they cannot be listed.
    """
    folder = own_folder(path)
    if folder is None or not folder.is_dir():
        return ()
    with reading(path):
        return tuple(sorted([folder, *(each for each in folder.rglob("*") if each.is_dir())]))


def own_folder(path: Path) -> Path | None:
    """Return the folder that a slide's other files are in, there or not; None where its format has none.

    Source: OpenSlide's `openslide-vendor-mirax.c`; Bio-Formats' `CellSensReader` (VSI).
    """
    suffix = path.suffix.lower()
    if suffix == ".mrxs":
        return _as_it_is_called(path.with_suffix(""))
    return _as_it_is_called(path.with_name(f"_{path.stem}_")) if suffix == ".vsi" else None


def _as_it_is_called(path: Path) -> Path:
    """Return a path with the name that stands there, where only case or encoding differ.

    The systems that scanners run on take both names for one; a copy on Linux may have the other.
    """
    if path.exists() or not path.parent.is_dir():
        return path
    name = name_key(path.name)
    found = [each for each in path.parent.iterdir() if name_key(each.name) == name]
    return found[0] if len(found) == 1 else path


def check_parts(path: Path) -> None:
    """Refuse a slide with a pipe or device among its files, at which OpenSlide would wait for ever.

    Raises:
        SlideReadError: a file that OpenSlide would open with it is not a regular file, or cannot be examined.
    """
    check_file(path)
    with reading(path):
        for part in _openslide_inputs(path):
            if not (part.is_file() or part.is_dir()) and part.exists():
                check_file(part)


def _openslide_inputs(path: Path) -> Iterable[Path]:
    """Return the paths that OpenSlide may open with a file.

    Its folder, the files it names, those beside a DICOM file.
    """
    suffix = path.suffix.lower()
    if suffix == ".mrxs":
        folder = path.with_suffix("")
        return folder.iterdir() if folder.is_dir() else ()
    if suffix in LISTS:
        return _paths_in(path)
    return path.parent.iterdir() if is_dicom_file(path) else ()


def stamp_of(path: Path) -> str:
    """Return a text that changes when size or time of a file of the slide changes.

    Raises:
        SlideReadError: a file of the slide is not there, or cannot be examined.
    """
    parts = slide_parts(path)
    with reading(path):
        facts = [f"{(status := part.stat()).st_size}-{status.st_mtime_ns}" for part in parts]
    return facts[0] if len(facts) == 1 else hashlib.sha256(" ".join(facts).encode()).hexdigest()


def dicom_levels(path: Path) -> dict[tuple[int, int], tuple[Path, ...]]:
    """Return the files of each level of a DICOM slide by the level's (width, height).

    Associated images are left out.

    Raises:
        OSError: the files cannot be listed or read.
    """
    levels: dict[tuple[int, int], list[Path]] = {}
    for part in slide_parts(path):
        size = _level_size(part)
        if size is not None:
            levels.setdefault(size, []).append(part)
    return {size: tuple(parts) for size, parts in levels.items()}


def _level_size(path: Path) -> tuple[int, int] | None:
    names = ("ImageType", "TotalPixelMatrixColumns", "TotalPixelMatrixRows")

    def size(header: Any) -> tuple[int, int] | None:
        if "VOLUME" not in header.ImageType:
            return None
        return int(header.TotalPixelMatrixColumns), int(header.TotalPixelMatrixRows)

    return _of_dicom(path, names, size)


def _of_dicom(path: Path, names: Sequence[str], value: Callable[[Any], Value | None]) -> Value | None:
    """Return what `value` takes from these attributes of a DICOM file.

    Return None where the file is damaged or lacks one.
    """
    try:
        with opened_header(path, names) as (header, _):
            return value(header)
    except ValueError:
        return None


def _companions(path: Path) -> list[Path]:
    folder = own_folder(path)
    if folder is not None:
        return [file for file in folder.rglob("*") if file.is_file()] if folder.is_dir() else []
    if path.suffix.lower() in LISTS:
        return [part for part in _paths_in(path) if part.is_file()]
    series = _series(path)
    if series is None:
        return []
    return [file for file in path.parent.iterdir() if file.is_file() and _series(file) == series]


def index_values(index: Path) -> list[tuple[str, str]]:
    """Return (key, value) of the lines `key=value` of a file that names others; "" for no value.

    A line is UTF-8, or else Latin-1, as older scanners write.

    Raises:
        OSError: it cannot be read.
    """
    with index.open("rb") as file:
        lines = file.read(INDEX_BYTES).splitlines()
    parts = (_decoded(line).partition("=") for line in lines)
    return [(key.strip(), value.strip()) for key, _, value in parts]


def name_key(name: str) -> str:
    """Return what two names have in common that are the same but for case, or the way they are encoded.

    >>> name_key("Data\u0308.dat") == name_key("DAT\u00c4.DAT")
    True
    """
    return unicodedata.normalize("NFC", _decoded(os.fsencode(name)).casefold())


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _paths_in(index: Path) -> list[Path]:
    """Return the paths that an index of lines `Key=Name` may name, beside the index."""
    names = {value for _, value in index_values(index)}
    plain = [name for name in names if name and "/" not in name and "\0" not in name]
    return [_as_it_is_called(index.parent / name) for name in plain if len(os.fsencode(name)) < _LONGEST_NAME]


def _series(path: Path) -> str | None:
    """Return the DICOM series that a file belongs to; None for a file that is not DICOM."""
    status = path.stat()
    return _series_of(path, status.st_size, status.st_mtime_ns)


def may_be_dicom(path: PurePath) -> bool:
    """Return whether a file may be of a DICOM series, by its name.

    DICOM files are called `*.dcm`, have no suffix, or end in a dot and digits as UIDs do.
    """
    suffix = path.suffix.lower()
    return suffix in ("", DICOM_SUFFIX) or suffix[1:].isdigit()


def opening_suffix(path: PurePath) -> str:
    """Return the suffix that the files have in common by which one slide can be opened.

    >>> opening_suffix(Path("a/x.MRXS")), opening_suffix(Path("a/IM0001")), opening_suffix(Path("a/x.dcm"))
    ('.mrxs', '.dcm', '.dcm')
    """
    return DICOM_SUFFIX if may_be_dicom(path) else path.suffix.lower()


def is_dicom_file(path: Path) -> bool:
    """Return whether a file is DICOM, by its first bytes.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def is_whole_slide(path: Path) -> bool:
    """Return whether a file is DICOM and says that it is of a whole slide, in its first 64 KiB.

    Raises:
        OSError: it cannot be read.

    Source: PS3.3 section A.32.8 (VL Whole Slide Microscopy Image).
    """
    if not is_dicom_file(path):
        return False
    with path.open("rb") as file:
        start = BytesIO(file.read(_HEADER_BYTES))
    try:
        with parsed_header(start, ("SOPClassUID", "Modality")) as (header, _):
            return bool(header.get("SOPClassUID") == _WHOLE_SLIDE or header.get("Modality") == _MICROSCOPY)
    except ValueError:
        return False


def leading_first(path: Path) -> tuple[bool, Path]:
    """Return the key by which a DICOM series is sorted that its leading file is the first: a `*.dcm`."""
    return path.suffix.lower() != DICOM_SUFFIX, path


@lru_cache(1 << 16)
def _series_of(path: Path, _size: int, _mtime_ns: int) -> str | None:
    if not is_dicom_file(path):
        return None
    return _of_dicom(path, ("SeriesInstanceUID",), lambda header: str(header.SeriesInstanceUID))
