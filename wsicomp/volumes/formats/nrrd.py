"""NRRD with its header before the voxels or beside them: pynrrd parses the header, which is kept as it is."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from wsicomp.errors import UnsupportedVolumeError, VolumeReadError
from wsicomp.extras import require
from wsicomp.files.inputs import check_file, reading
from wsicomp.volumes.formats.contents import Packing
from wsicomp.volumes.formats.nrrd_geometry import nrrd_geometry
from wsicomp.volumes.formats.rewriting import write_stored
from wsicomp.volumes.formats.stored_frame import MOST_HEADER_BYTES, VoxelLayout
from wsicomp.volumes.formats.stored_volume import StoredVolume
from wsicomp.volumes.volume import Rebuilt, Volume, VolumeFrame, VolumeInfo, VoxelSlice

Value = TypeVar("Value")

_MAGIC = b"NRRD000"
_PACKINGS: Mapping[str, Packing] = {
    "raw": "none",
    "gzip": "gzip",
    "gz": "gzip",
    "bzip2": "bzip2",
    "bz2": "bzip2",
}
_TEXTS = ("ascii", "text", "txt")
_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": (
        "longlong",
        "long long",
        "long long int",
        "signed long long",
        "signed long long int",
        "int64",
        "int64_t",
    ),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
"""NumPy's names of dtypes, by NRRD's.

Source: http://teem.sourceforge.net/nrrd/format.html#type
"""
_DTYPES = {name: dtype for dtype, names in _TYPES.items() for name in names}
_ORDERS = {"little": "<", "big": ">"}
_ONE_VALUE = ("domain", "space", "time", "none", "???")
"""Kinds of axes along which one value stands beside another, as voxels do; the fourth axis may be any.

Whatever stands along the fourth, such as the directions of a diffusion, is one volume behind another.
"""
_IN_SEVERAL_FILES = re.compile(rb"^data ?file:[ \t]*LIST", re.MULTILINE | re.IGNORECASE)
_SEVERAL_FILES = "its voxels are in several files; save it as one .nrrd file"


def is_nrrd(head: bytes) -> bool:
    """Return whether a file that begins with these bytes is NRRD.

    >>> is_nrrd(b"NRRD0004")
    True
    """
    return head.startswith(_MAGIC)


def open_nrrd(path: Path) -> Volume:
    """Open a volume in a file .nrrd, or in a file that the header .nhdr names in its own folder.

    Raises:
        MissingExtraError: pynrrd is not installed.
        VolumeReadError: a file cannot be read, is cut off, or its header is wrong.
        UnsupportedVolumeError: voxels of several values, more than 4 axes, an encoding that pynrrd does not
            read, or voxels in several files or another folder.
    """
    require("volumes", "nrrd")
    check_file(path, VolumeReadError)
    with reading(path, VolumeReadError), path.open("rb") as file:
        text = _header_text(file, path)
        header = _parsed_header(text, path)
        data_path = _data_path(header, path)
        rest = file.read(MOST_HEADER_BYTES) if data_path != path else b""
    shape, dtype = _shape(header, path), _stored_dtype(header, path)
    layout = VoxelLayout(
        path=data_path,
        packing=_packing(header, path),
        start=_start(
            header, data_path, 0 if data_path != path else len(text), dtype.itemsize * math.prod(shape)
        ),
        before=0,
        stored=dtype,
        shape=shape,
        header_file=text + rest if data_path != path else b"",
    )
    return StoredVolume(_info(header, layout, path), layout)


def write_nrrd(
    frame: VolumeFrame,
    slices: Iterable[VoxelSlice],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    target: Path,
    overwrite: bool = False,
) -> Rebuilt:
    """Write an NRRD file again from its frame and its voxels; a header .nhdr with the file that it names.

    Raises:
        VolumeReadError: the frame is damaged.
        SlideWriteError: the slices are not those of the frame's header, or a target cannot be written.
        TargetExistsError: a target exists, and `overwrite` is False.
    """
    return write_stored(frame, slices, shape, dtype, target, overwrite)


def _header_text(file: BinaryIO, path: Path) -> bytes:
    """Return the bytes up to the empty line, or all of a header in a file of its own."""
    lines, left = [], MOST_HEADER_BYTES
    while left > 0 and (line := file.readline(left)):
        lines.append(line)
        left -= len(line)
        if not line.strip():
            break
    if left <= 0:
        raise VolumeReadError(f"the header does not end within {MOST_HEADER_BYTES} bytes", path)
    return b"".join(lines)


def _parsed_header(text: bytes, path: Path) -> Mapping[str, Any]:
    import nrrd

    if _IN_SEVERAL_FILES.search(text):
        raise UnsupportedVolumeError(_SEVERAL_FILES, path)
    try:
        with np.errstate(invalid="raise"):  # a size beyond 64 bits
            found: Mapping[str, Any] = nrrd.read_header(BytesIO(text))
    except (nrrd.NRRDError, ValueError, ArithmeticError, LookupError, TypeError, StopIteration) as exc:
        raise VolumeReadError(f"the NRRD header cannot be parsed ({exc}); mend it first", path) from exc
    return found


def _stated(header: Mapping[str, Any], path: Path, *names: str) -> Any:
    for name in names:
        if name in header:
            return header[name]
    raise VolumeReadError(f"the NRRD header does not state its {names[0]}; mend it first", path)


def _optional(header: Mapping[str, Any], value: Value, *names: str) -> Value:
    return next((header[name] for name in names if name in header), value)


def _data_path(header: Mapping[str, Any], path: Path) -> Path:
    """Return the file that holds the voxels: this one, or another in its folder."""
    name = _optional(header, "", "data file", "datafile")
    if not name:
        return path
    name = str(name).removeprefix("./")
    if "%" in name:
        raise UnsupportedVolumeError(_SEVERAL_FILES, path)
    if Path(name).name != name or name == ".." or "\\" in name or "\0" in name:
        found = "its header names a file of voxels in another folder"
        raise UnsupportedVolumeError(f"{found}; save it as one .nrrd file, or move both together", path)
    found_path = path.with_name(name)
    check_file(found_path, VolumeReadError, f"{path.name} has its voxels there")
    if found_path.is_symlink() or found_path.samefile(path):
        raise UnsupportedVolumeError(f"its voxels are in {name!r}, a link or itself; save it as .nrrd", path)
    return found_path


def _packing(header: Mapping[str, Any], path: Path) -> Packing:
    encoding = str(_stated(header, path, "encoding")).lower()
    if encoding in _TEXTS:
        return "text"
    if encoding not in _PACKINGS:
        taken = ", ".join([*_PACKINGS, *_TEXTS])
        raise UnsupportedVolumeError(f"its encoding is {encoding!r}; {taken} are taken: save it as one", path)
    return _PACKINGS[encoding]


def _stored_dtype(header: Mapping[str, Any], path: Path) -> np.dtype[Any]:
    stated = _stated(header, path, "type")
    name = _DTYPES.get(stated)
    if name is None:
        expected = "one integer or float of up to 64 bits a voxel is taken"
        raise UnsupportedVolumeError(f"its voxels are of type {stated!r}; {expected}", path)
    if name.endswith("1"):
        return np.dtype(name)
    if _packing(header, path) == "text":
        return np.dtype(f"<{name}")
    endian = str(_stated(header, path, "endian"))
    if endian not in _ORDERS:
        raise VolumeReadError(f"the NRRD header's endian is {endian!r}, expected little or big", path)
    return np.dtype(f"{_ORDERS[endian]}{name}")


def _shape(header: Mapping[str, Any], path: Path) -> tuple[int, ...]:
    axes = _stated(header, path, "dimension")
    sizes = [int(each) for each in _stated(header, path, "sizes")]
    words = " x ".join(map(str, sizes))
    if axes != len(sizes) or min(sizes, default=0) < 1:
        raise VolumeReadError(
            f"the NRRD header states {axes} axes of {words}, expected as many of at least 1", path
        )
    kinds: list[str] = _optional(header, [], "kinds")
    several = [kind for kind in kinds[:3] if kind.lower() not in _ONE_VALUE]
    directions = _optional(header, np.zeros((0, 3)), "space directions")
    if several or np.isnan(np.asarray(directions, np.float64)[:3]).any():
        kind = several[0] if several else "none"
        raise UnsupportedVolumeError(f"has an axis of {kind!r}; one value a voxel is taken: split it", path)
    if not 2 <= axes <= 4:
        raise UnsupportedVolumeError(f"has {axes} axes, {words}; 2 to 4 are taken: split it", path)
    return (*sizes, 1)[:3] if axes == 2 else tuple(sizes)


def _start(header: Mapping[str, Any], path: Path, header_bytes: int, voxel_bytes: int) -> int:
    """Return the byte of the file where the encoded voxels begin, behind what the header says to skip."""
    lines = _optional(header, 0, "line skip", "lineskip")
    skipped = _optional(header, 0, "byte skip", "byteskip")
    packing = _packing(header, path)
    if (
        lines < 0
        or skipped < -1
        or (skipped and packing in ("gzip", "bzip2"))
        or (skipped < 0 and packing == "text")
    ):
        found = f"the header skips {lines} lines and {skipped} bytes of its encoding"
        raise UnsupportedVolumeError(f"{found}; save it as .nrrd without", path)
    with reading(path, VolumeReadError), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(header_bytes)
        for _ in range(min(lines, MOST_HEADER_BYTES)):
            if not file.readline(MOST_HEADER_BYTES):
                break
        start = file.tell() + skipped if skipped >= 0 else size - voxel_bytes
    if not 0 <= start <= min(size, MOST_HEADER_BYTES + header_bytes) or start < header_bytes:
        raise VolumeReadError(
            f"the voxels would begin at byte {start}; the file is cut off or its header is wrong", path
        )
    return start


def _info(header: Mapping[str, Any], layout: VoxelLayout, path: Path) -> VolumeInfo:
    geometry, remarks = nrrd_geometry(header, layout.shape, path)
    files = {path, layout.path}
    return VolumeInfo(
        path=path,
        format="NRRD",
        shape=layout.shape,
        dtype=layout.stored.newbyteorder("="),
        bytes=sum(each.stat().st_size for each in files),
        geometry=geometry,
        remarks=remarks,
        files=tuple(sorted(files)),
    )
