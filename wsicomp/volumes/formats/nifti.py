"""NIfTI-1 and NIfTI-2 in one file, plain or gzipped: nibabel reads the header, which is kept as it is."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import UnsupportedVolumeError, VolumeReadError
from wsicomp.extras import require
from wsicomp.files.inputs import check_file, reading
from wsicomp.volumes.formats.contents import Packing, open_contents
from wsicomp.volumes.formats.gzip_members import AS_GZIP, GZIP_MAGIC
from wsicomp.volumes.formats.rewriting import write_stored
from wsicomp.volumes.formats.spacing import checked_spacing
from wsicomp.volumes.formats.stored_frame import MOST_HEADER_BYTES, VoxelLayout
from wsicomp.volumes.formats.stored_volume import StoredVolume
from wsicomp.volumes.volume import Geometry, Rebuilt, Scaling, Volume, VolumeFrame, VolumeInfo, VoxelSlice

_Header: TypeAlias = Any
"""nibabel's Nifti1Header or Nifti2Header, for whose fields there are no types."""

NIFTI_HEAD_BYTES = 544
"""So many bytes of a file's contents tell whether it is NIfTI; the header itself is no longer."""
_NIFTI_1, _NIFTI_2 = 348, 540
_MAGICS = {_NIFTI_1: (b"n+1\0", 344, 352), _NIFTI_2: (b"n+2\0\r\n\x1a\n", 4, 544)}
"""By the header's size: the magic of a file with its voxels, its place, and where voxels begin at least."""
_PAIRS = (b"ni1\0", b"ni2\0\r\n\x1a\n")
_CONVERT = "convert it to one .nii file, with nibabel for example"
_IN_MM = {1: 1000.0, 2: 1.0, 3: 0.001}
"""By NIfTI's code of units: metres, millimetres, micrometres."""
_UNIT_NAMES = {1: "metres", 3: "micrometres"}
_KINDS = {1: "bits", 32: "complex numbers", 128: "RGB", 1536: "floats of 128 bits", 1792: "complex numbers"}
_KINDS |= {2048: "complex numbers", 2304: "RGBA"}


def is_nifti(head: bytes) -> bool:
    """Return whether a file that begins with these bytes, gzipped or not, is NIfTI or the older Analyze.

    >>> is_nifti(b"NRRD0004")
    False
    """
    if head.startswith(GZIP_MAGIC):
        try:
            head = zlib.decompressobj(AS_GZIP).decompress(head, NIFTI_HEAD_BYTES)
        except zlib.error:
            return False
    return _header_size(head) is not None


def open_nifti(path: Path) -> Volume:
    """Open a volume in a file .nii or .nii.gz.

    Affine and spacing are nibabel's, in mm. Where the header has neither qform nor sform, the affine is what
    nibabel takes then: spacing only, x to the left, the origin in the middle.

    Raises:
        MissingExtraError: nibabel is not installed.
        VolumeReadError: the file cannot be read, is cut off, or its header is wrong.
        UnsupportedVolumeError: it is a pair of files, colour, complex, or has more than 4 axes.
    """
    require("volumes", "nibabel")
    check_file(path, VolumeReadError)
    with reading(path, VolumeReadError), path.open("rb") as file:
        packing: Packing = "gzip" if file.read(3) == GZIP_MAGIC else "none"
    with closing(open_contents(path, 0, packing, np.dtype("u1"))) as reader:
        head = bytes(reader.read(NIFTI_HEAD_BYTES))
    header = _parsed_header(head, path)
    layout = VoxelLayout(
        path, packing, 0, _first_voxel(header, path), _stored_dtype(header, path), _shape(header, path)
    )
    return StoredVolume(_info(header, layout), layout)


def write_nifti(
    frame: VolumeFrame,
    slices: Iterable[VoxelSlice],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    target: Path,
    overwrite: bool = False,
) -> Rebuilt:
    """Write a NIfTI file again from its frame and its voxels.

    Raises:
        VolumeReadError: the frame is damaged.
        SlideWriteError: the slices are not those of the frame's header, or the target cannot be written.
        TargetExistsError: the target exists, and `overwrite` is False.
    """
    return write_stored(frame, slices, shape, dtype, target, overwrite)


def _header_size(head: bytes) -> tuple[int, str] | None:
    """Return the header's size and byte order; None if these bytes are no NIfTI header."""
    for order in "<>":
        if len(head) >= 4 and (size := struct.unpack(f"{order}i", head[:4])[0]) in _MAGICS:
            return size, order
    return None


def _parsed_header(head: bytes, path: Path) -> _Header:
    """Return the header as nibabel has it, without the mends that nibabel makes."""
    import nibabel

    found = _header_size(head)
    if found is None:
        raise VolumeReadError("is no NIfTI file; check the path", path)
    size, order = found
    magic, place, _ = _MAGICS[size]
    stated = head[place : place + len(magic)]
    if len(head) < size:
        found_bytes = f"ends within its NIfTI header, after {len(head)} of {size} bytes"
        raise VolumeReadError(f"{found_bytes}; get another copy of the file", path)
    if stated in _PAIRS:
        raise UnsupportedVolumeError(f"is one of a pair of files, .hdr and .img; {_CONVERT}", path)
    if stated != magic and size == _NIFTI_1:
        raise UnsupportedVolumeError(f"is Analyze 7.5, without NIfTI's magic; {_CONVERT}", path)
    if stated != magic:
        raise VolumeReadError("has a damaged NIfTI header; get another copy of the file", path)
    kind: Any = nibabel.Nifti1Header if size == _NIFTI_1 else nibabel.Nifti2Header
    header = kind(head[:size], endianness=order, check=False)
    if header["pixdim"][0] not in (-1, 1):
        header["pixdim"][0] = 1  # as NIfTI-1 says of 0, and as nibabel mends
    return header


def _first_voxel(header: _Header, path: Path) -> int:
    least = _MAGICS[int(header["sizeof_hdr"])][2]
    stated = float(header["vox_offset"])
    if not (math.isfinite(stated) and stated.is_integer() and least <= stated <= MOST_HEADER_BYTES):
        expected = f"expected {least} to {MOST_HEADER_BYTES}; mend it first"
        raise VolumeReadError(f"the header has the first voxel at byte {stated:g}, {expected}", path)
    return int(stated)


def _stored_dtype(header: _Header, path: Path) -> np.dtype[Any]:
    from nibabel.spatialimages import HeaderDataError

    code = int(header["datatype"])
    try:
        found = header.get_data_dtype()
    except (HeaderDataError, KeyError):
        found = np.dtype("V")
    if code in _KINDS or found.kind not in "iuf":
        what = _KINDS.get(code, f"of NIfTI's datatype {code}")
        raise UnsupportedVolumeError(
            f"its voxels are {what}; one integer or float of up to 64 bits a voxel is taken", path
        )
    return np.dtype(found)


def _shape(header: _Header, path: Path) -> tuple[int, ...]:
    dims = [int(each) for each in header["dim"]]
    axes, stated = dims[0], tuple(dims[1 : dims[0] + 1])
    if not 1 <= axes <= 7 or min(stated) < 1:
        words = " x ".join(map(str, stated))
        raise VolumeReadError(
            f"the header states {axes} axes of {words}, expected 1 to 7 of at least 1", path
        )
    if axes == 1 or any(each > 1 for each in stated[4:]):
        found = f"has {axes} axes, {' x '.join(map(str, stated))}"
        raise UnsupportedVolumeError(f"{found}; 2 to 4 are taken, one value a voxel: split it", path)
    return (*stated, 1)[:3] if axes < 3 else stated[:4]


def _info(header: _Header, layout: VoxelLayout) -> VolumeInfo:
    path = layout.path
    unit = int(header["xyzt_units"]) & 7
    in_mm = _IN_MM.get(unit, 1.0)
    remarks = []
    if unit in _UNIT_NAMES:
        remarks.append(f"The file has its lengths in {_UNIT_NAMES[unit]}; they are in mm here.")
    if not header["sform_code"] and not header["qform_code"]:
        remarks.append("The file does not say where the volume lies; its affine is nibabel's default.")
    axes = min(3, int(header["dim"][0]))
    stated = [float(each) for each in header["pixdim"][1 : axes + 1]]
    each_mm = [each * in_mm for each in stated] + [in_mm] * (3 - axes)
    spacing, about_spacing = checked_spacing(each_mm, layout.shape, path)
    return VolumeInfo(
        path=path,
        format="NIfTI",
        shape=layout.shape,
        dtype=layout.stored.newbyteorder("="),
        bytes=path.stat().st_size,
        geometry=Geometry(spacing, _affine(header, in_mm, path)),
        scaling=_scaling(header, path),
        remarks=(*remarks, *about_spacing),
    )


def _affine(header: _Header, in_mm: float, path: Path) -> NDArray[np.float64]:
    from nibabel.spatialimages import HeaderDataError

    try:
        found = np.array(header.get_best_affine(), np.float64)
    except (HeaderDataError, ValueError) as exc:
        raise VolumeReadError(f"the header's qform is no rotation ({exc}); mend it first", path) from exc
    if not np.isfinite(found).all():
        raise VolumeReadError("the header's affine holds NaN or infinity; mend it first", path)
    found[:3] *= in_mm
    return found


def _scaling(header: _Header, path: Path) -> Scaling:
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not math.isfinite(slope):
        return Scaling()  # as NIfTI-1 says: none
    if not math.isfinite(intercept):
        raise VolumeReadError(
            f"the header's scl_inter is {intercept}, expected a number; mend it first", path
        )
    return Scaling(slope, intercept)
