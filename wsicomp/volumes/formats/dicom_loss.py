"""Declares in restored DICOM files that their voxels are not those of the source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wsicomp.errors import UnsupportedVolumeError, VolumeReadError
from wsicomp.volumes.formats.dicom_changes import declare_loss, drop_tables, swap_words
from wsicomp.volumes.formats.dicom_codecs import DICOM_CODECS
from wsicomp.volumes.formats.dicom_file import (
    BIG_ENDIAN,
    EXPLICIT,
    DicomFile,
    dicom_errors,
    dicom_stream,
    parse_header,
    read_dicom_header,
)
from wsicomp.volumes.formats.dicom_frame import header_parts, pixel_element
from wsicomp.volumes.formats.dicom_pixels import read_words

_METHODS: Mapping[str, str] = {"hevc": "ISO_23008_2", "jpeg": "ISO_10918_1"}
_NEEDED = ("SOPClassUID", "SOPInstanceUID")


@dataclass(frozen=True)
class StoredLoss:
    """The loss that a compressed volume was made with."""

    codec: str
    """The one that lost, as the command line spells it; "" if none did, as where values were windowed."""
    ratio: float
    """How many times smaller it is than its voxels."""
    description: str
    """For a person."""


def declare_stored_loss(folder: Path, into: Path, loss: StoredLoss) -> None:
    """Move every file of a series that is not compressed, with headers that declare its loss.

    They are written in Explicit VR Little Endian; images and series get new UIDs. What stands behind the
    voxels, such as signatures of the source, is left out.

    Raises:
        VolumeReadError: a header is damaged.
        UnsupportedVolumeError: a header has no UID by which the source could be referred to.
        OSError: the file system refuses.
    """
    from pydicom.uid import generate_uid

    series = generate_uid(prefix=None)
    into.mkdir()
    for path in sorted(folder.iterdir()):
        found = read_dicom_header(path)
        if found is None:
            raise VolumeReadError("its DICOM headers are not those of images", path)
        _write_declared(found[1], into / path.name, series, loss)
        path.unlink()


def _write_declared(file: DicomFile, target: Path, series: str, loss: StoredLoss) -> None:
    from pydicom.uid import UID

    layout = file.layout
    codec = DICOM_CODECS.get(loss.codec)
    method = _METHODS.get(loss.codec, "" if codec is None else codec.method)
    with dicom_stream(file) as stream, target.open("xb") as written:
        with dicom_errors(file.path):
            header, _ = parse_header(stream)
            if missing := [name for name in _NEEDED if not header.get(name)]:
                found = f"the source states no {missing[0]}, so that its loss cannot be declared"
                raise UnsupportedVolumeError(f"{found}; read it by wsicomp.open_volume", file.path)
            if layout.syntax == BIG_ENDIAN:
                swap_words(header)
            drop_tables(header)
            declare_loss(header, series, method, loss.ratio, loss.description)
            header.file_meta.TransferSyntaxUID = UID(EXPLICIT)
            header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
            header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
            written.writelines([*header_parts(header), pixel_element(layout)])
        for number in range(layout.frames):
            words = read_words(file, stream, number)
            written.write(words.astype(words.dtype.newbyteorder("<"), copy=False).tobytes())
        written.write(b"\0" * (layout.frames * layout.frame_bytes % 2))
