"""Writes a DICOM series again as DICOM, with its voxels in another standard transfer syntax.

Every frame is decoded again as it lies on the disk and compared, before a file gets its name.
"""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from wsicomp.errors import ConfigError, VerificationError, VolumeReadError
from wsicomp.files.atomic import check_empty, completed_files
from wsicomp.files.inputs import given_output, reading
from wsicomp.version import __version__
from wsicomp.volumes.formats.dicom_changes import MovedOverlays, declare_loss, drop_tables, swap_words
from wsicomp.volumes.formats.dicom_codecs import (
    DeflatedWriter,
    DicomCodec,
    DicomLoss,
    check_layout,
    dicom_codec,
    encode_frame,
    target_layout,
)
from wsicomp.volumes.formats.dicom_file import (
    BIG_ENDIAN,
    DEFLATED,
    HEAD_BYTES,
    NATIVE,
    PIXEL_DATA,
    DicomFile,
    dicom_errors,
    dicom_stream,
    is_dicom,
    parse_header,
    read_dicom_header,
)
from wsicomp.volumes.formats.dicom_frame import header_parts, pixel_element
from wsicomp.volumes.formats.dicom_identity import VOXEL_NOTE, check_burned_in, deidentify_header
from wsicomp.volumes.formats.dicom_pixels import (
    LOSSY_SYNTAXES,
    as_values,
    decode_frame,
    read_frame,
    read_words,
)
from wsicomp.volumes.formats.dicom_series import DicomVolume, open_dicom
from wsicomp.volumes.volume import Volume, VoxelSlice

if TYPE_CHECKING:
    from pydicom import Dataset

SliceTransform = Callable[[int, VoxelSlice], VoxelSlice]
"""From a slice's number in the volume and its voxels to what is encoded in their place."""

_SPOOLED_BYTES = 1 << 24
_CHUNK_BYTES = 1 << 20
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"
_OVERLAY_NOTE = "overlays in unused bits of the voxels were moved to elements of their own"
_UNUSED_NOTE = "unused bits of the voxels, which no header describes, were dropped"
_TRANSFORM_TOLD = "voxels outside a region of interest were replaced"


@dataclass(frozen=True)
class DicomSeriesReport:
    """A series that was written."""

    codec: str
    """As the command line spells it."""
    syntax: str
    """UID of the transfer syntax."""
    files: int
    """How many."""
    source_bytes: int
    """Of all files that were read."""
    bytes: int
    """Of all files that were written."""
    max_error: float
    """The largest difference of a stored value from the source's; 0 where nothing was lost."""
    notes: tuple[str, ...] = ()
    """What a user should know, a sentence each."""


@dataclass
class _Work:
    """The state that all files of a run share."""

    volume: DicomVolume
    codec: DicomCodec
    loss: DicomLoss | None
    transform: SliceTransform | None
    deidentify: bool
    series: str
    numbers: dict[tuple[int, int], int]
    max_error: float = 0.0
    notes: dict[str, None] = field(default_factory=dict)

    @property
    def syntax(self) -> str:
        return self.codec.lossless if self.loss is None else self.codec.lossy

    @property
    def is_lossy(self) -> bool:
        return self.loss is not None or self.transform is not None


def write_dicom_series(
    volume: Volume,
    folder: str | os.PathLike[str],
    codec: str = "jpegls",
    loss: DicomLoss | None = None,
    deidentify: bool = False,
    overwrite: bool = False,
    transform: SliceTransform | None = None,
) -> DicomSeriesReport:
    """Write every file of a DICOM series with its voxels in another transfer syntax.

    Without `loss` and `transform` stored values, UIDs and file names stay. With either, headers declare the
    loss, and images and series get new UIDs. With `deidentify` files are named for their new UIDs. Digital
    signatures and padding behind the voxels are left out. All files appear or none.

    Raises:
        ConfigError: the volume is no DICOM series, the codec has no form for its voxels, `folder` is its own
            or holds DICOM files that would stay, or a header says that the voxels name the patient.
        UnknownCodecError: no codec has this name.
        VolumeReadError: the source is damaged or changed.
        VerificationError: a written frame is not what was encoded, or loses more than allowed.
        TargetExistsError: the folder is not empty, and `overwrite` is False.
        SlideWriteError: the folder cannot be written.
    """
    if not isinstance(volume, DicomVolume):
        message = (
            f"a {volume.info.format} volume has no DICOM headers to write; name a target that ends in .wsiv"
        )
        raise ConfigError(message, volume.info.path)
    target = given_output(folder) if not Path(folder).is_dir() else Path(folder)
    chosen = dicom_codec(codec, loss)
    for file in volume.files:
        check_layout(chosen, file.layout)
    _check_folder(volume, target, overwrite, deidentify)
    if deidentify:
        check_burned_in(_header(file) for file in volume.files)
    work = _new_work(volume, chosen, loss, transform, deidentify)
    with completed_files(target, overwrite) as hidden:
        paths = [_write_file(work, number, hidden) for number in range(len(volume.files))]
        _check_series(volume, hidden)
        size = sum(path.stat().st_size for path in paths)
    if deidentify:
        work.notes[VOXEL_NOTE] = None
    info = volume.info
    counts = len(paths), info.bytes, size
    return DicomSeriesReport(chosen.name, work.syntax, *counts, work.max_error, tuple(work.notes))


def _new_work(
    volume: DicomVolume,
    codec: DicomCodec,
    loss: DicomLoss | None,
    transform: SliceTransform | None,
    deidentify: bool,
) -> _Work:
    from pydicom.uid import generate_uid

    numbers = {(each.file, each.frame): number for number, each in enumerate(volume.stack.slices)}
    return _Work(volume, codec, loss, transform, deidentify, generate_uid(prefix=None), numbers)


def _check_folder(volume: DicomVolume, target: Path, overwrite: bool, deidentify: bool) -> None:
    """Refuse the series' own folder, one with content, and one where it would be mixed with other DICOM."""
    if target.is_dir() and any(target.samefile(file.path.parent) for file in volume.files):
        raise ConfigError("is the folder of the series itself; name another", target)
    given = volume.info.path
    if given.is_dir() and target.resolve().is_relative_to(given.resolve()):
        raise ConfigError("is inside the folder of the series; name one elsewhere", target)
    check_empty(target, overwrite)
    replaced = set() if deidentify else {file.path.name for file in volume.files}
    if target.is_dir() and any(
        each.name not in replaced and _is_dicom_file(each) for each in target.iterdir()
    ):
        found = "holds other DICOM files, which `overwrite` would leave beside the new ones"
        raise ConfigError(f"{found}; name another folder, or empty this one", target)


def _is_dicom_file(path: Path) -> bool:
    if not path.is_file():
        return False
    with reading(path, VolumeReadError), path.open("rb") as file:
        return is_dicom(file.read(HEAD_BYTES))


def _header(file: DicomFile) -> Dataset:
    with dicom_stream(file) as stream, dicom_errors(file.path):
        return parse_header(stream)[0]


def _write_file(work: _Work, number: int, folder: Path) -> Path:
    """Write one file and compare what it holds; return its path."""
    from pydicom.uid import UID

    file = work.volume.files[number]
    with tempfile.SpooledTemporaryFile(_SPOOLED_BYTES) as spool:
        with dicom_stream(file) as stream:
            with dicom_errors(file.path):
                header, _ = parse_header(stream)
                if file.layout.syntax == BIG_ENDIAN:
                    swap_words(header)
                drop_tables(header)
            _check_names(header, file.path)
            lengths, digests = _encode(work, number, header, stream, spool)
            with dicom_errors(file.path):
                _declare(work, file, header, sum(lengths))
                if work.deidentify:
                    deidentify_header(header)
                header.file_meta.TransferSyntaxUID = UID(work.syntax)
                header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
                header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
                parts = header_parts(header)
        path = folder / (f"{header.SOPInstanceUID}.dcm" if work.deidentify else file.path.name)
        spool.seek(0)
        with path.open("xb") as target:
            _write_parts(work.syntax, file, parts, lengths, spool, target)
            target.flush()
            os.fsync(target.fileno())
    _check_file(path, digests)
    return path


def _check_names(header: Dataset, path: Path) -> None:
    """Refuse a header without what a DICOM file must be called by."""
    missing = [name for name in ("SOPClassUID", "SOPInstanceUID") if not header.get(name)]
    if missing:
        found = f"states no {missing[0]}, without which there is no DICOM file"
        raise ConfigError(f"{found}; name a target that ends in .wsiv", path)


def _encode(
    work: _Work, number: int, header: Dataset, stream: BinaryIO, spool: Any
) -> tuple[list[int], list[bytes]]:
    """Encode all frames into `spool`; return the length of each and the digest of what it decodes to."""
    file = work.volume.files[number]
    overlays = MovedOverlays(header)
    lengths, digests, is_unused = [], [], False
    for frame in range(file.layout.frames):
        if file.layout.syntax in NATIVE and file.layout.dtype.kind != "f":
            words = read_words(file, stream, frame)
            source = as_values(words, file.layout)
            overlays.add(words)
            is_unused = is_unused or not np.array_equal(words, source.view(words.dtype))
        else:
            source = read_frame(file, stream, frame)
        voxels = source
        if work.transform is not None:
            voxels = np.ascontiguousarray(work.transform(work.numbers[number, frame], source))
            if voxels.shape != source.shape or voxels.dtype != source.dtype:
                raise ConfigError(f"voxels were replaced by {voxels.dtype} {voxels.shape}")
        data = encode_frame(work.codec, voxels, file.layout, work.loss)
        decoded = _decoded(work, data, file)
        _compare(work, voxels, decoded, file.path)
        error = np.abs(source.astype(np.float64) - decoded.astype(np.float64))
        work.max_error = max(work.max_error, float(np.nanmax(error, initial=0.0)))
        spool.write(data)
        lengths.append(len(data))
        digests.append(hashlib.sha256(decoded.tobytes()).digest())
    if file.layout.syntax in NATIVE and overlays.finish():
        work.notes[_OVERLAY_NOTE] = None
    elif is_unused:
        work.notes[_UNUSED_NOTE] = None
    return lengths, digests


def _decoded(work: _Work, data: bytes, file: DicomFile) -> VoxelSlice:
    if work.syntax in NATIVE:
        return np.frombuffer(data, file.layout.dtype.newbyteorder("<")).reshape(file.layout.shape)
    try:
        return decode_frame(data, target_layout(work.codec, file.layout, work.loss))
    except VolumeReadError as exc:
        raise VerificationError(f"{work.codec.name}: {exc.message}", file.path) from exc


def _compare(work: _Work, voxels: VoxelSlice, decoded: VoxelSlice, path: Path) -> None:
    """Refuse a frame that decodes to something else than was encoded, within its loss."""
    if work.loss is None:
        if voxels.tobytes() != decoded.tobytes():
            raise VerificationError(f"{work.codec.name} gave other voxels back", path)
    elif work.loss.near is not None:
        error = int(np.abs(voxels.astype(np.int64) - decoded.astype(np.int64)).max())
        if error > work.loss.near:
            raise VerificationError(f"{work.codec.name} changed a value by {error}", path)


def _declare(work: _Work, file: DicomFile, header: Dataset, encoded_bytes: int) -> None:
    if not work.is_lossy:
        if file.layout.syntax in LOSSY_SYNTAXES:
            header.LossyImageCompression = "01"
        return
    ratio = file.layout.frames * file.layout.frame_bytes / encoded_bytes
    header.BitsStored = target_layout(work.codec, file.layout, work.loss).bits[1]
    header.HighBit = header.BitsStored - 1
    told = [f"{work.codec.name} by wsicomp {__version__}"]
    if work.loss is not None:
        near, psnr_db = work.loss.near, work.loss.psnr_db
        asked = f"at most {near} off" if near is not None else f"{psnr_db} dB" if psnr_db else "by ratio"
        told.append(f"with loss, {asked}")
    if work.transform is not None:
        told.append(_TRANSFORM_TOLD)
    declare_loss(header, work.series, work.codec.method, ratio, ", ".join(told))


def _write_parts(
    syntax: str,
    file: DicomFile,
    parts: tuple[bytes, bytes],
    lengths: list[int],
    spool: Any,
    target: BinaryIO,
) -> None:
    """Write header and voxels in the form of the transfer syntax."""
    meta, dataset = parts
    target.write(meta)
    if syntax not in NATIVE:
        target.write(dataset)
        _write_fragments(lengths, spool, target)
        return
    deflated = DeflatedWriter(target.write) if syntax == DEFLATED else None
    write = deflated.write if deflated is not None else target.write
    write(dataset)
    total = sum(lengths)
    write(pixel_element(file.layout))
    while piece := spool.read(_CHUNK_BYTES):
        write(piece)
    write(b"\0" * (total % 2))
    if deflated is not None:
        deflated.finish()


def _write_fragments(lengths: list[int], spool: Any, target: BinaryIO) -> None:
    """Write a table of offsets, and each frame as one fragment.

    Source: PS3.5 annex A.4.
    """
    offsets = [0]
    for length in lengths:
        offsets.append(offsets[-1] + 8 + length)
    if offsets[-1] > 0xFFFFFFFF:
        raise ConfigError("4 GB or more of compressed voxels in one file, of which DICOM holds less")
    target.write(struct.pack("<2H2s2xI", PIXEL_DATA >> 16, PIXEL_DATA & 0xFFFF, b"OB", 0xFFFFFFFF))
    target.write(_ITEM + struct.pack(f"<I{len(lengths)}I", 4 * len(lengths), *offsets[:-1]))
    for length in lengths:
        target.write(_ITEM + struct.pack("<I", length))
        target.write(spool.read(length))
    target.write(_END)


def _check_file(path: Path, digests: list[bytes]) -> None:
    """Refuse a written file whose frames are not what was encoded."""
    try:
        found = read_dicom_header(path)
        if found is None or found[1].layout.frames != len(digests):
            raise VerificationError("a written file is not read as the image that it should be", path.name)
        with dicom_stream(found[1]) as stream:
            for number, digest in enumerate(digests):
                voxels = read_frame(found[1], stream, number)
                if hashlib.sha256(voxels.tobytes()).digest() != digest:
                    raise VerificationError("a written frame is not what was encoded", path.name)
    except VolumeReadError as exc:
        raise VerificationError(f"a written file cannot be read: {exc.message}", path.name) from exc


def _check_series(volume: DicomVolume, folder: Path) -> None:
    """Refuse written files that are another volume than the source."""
    try:
        info = open_dicom(folder).info
    except VolumeReadError as exc:
        raise VerificationError(f"the written series makes no volume: {exc.message}") from exc
    expected = volume.info
    affines = [each.geometry.affine for each in (info, expected)]
    is_same_place = affines[0] is affines[1] is None or (
        affines[0] is not None and affines[1] is not None and np.allclose(affines[0], affines[1], atol=1e-6)
    )
    if (info.shape, info.dtype) != (expected.shape, expected.dtype) or not is_same_place:
        raise VerificationError("the written series has another shape or place than its source")
