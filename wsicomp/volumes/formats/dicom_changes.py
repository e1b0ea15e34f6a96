"""Changes of a DICOM header whose voxels were encoded anew: loss, derivation, moved overlays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from wsicomp.volumes.formats.dicom_pixels import Words

if TYPE_CHECKING:
    from pydicom import Dataset

_STALE = ("SmallestImagePixelValue", "LargestImagePixelValue", "PixelDataProviderURL")
_TABLES = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "EncapsulatedPixelDataValueTotalLength")
_MOST_DESCRIPTION = 1024


def declare_loss(header: Dataset, series: str, method: str, ratio: float, description: str) -> None:
    """Say in place that the image is derived with loss, and is another image than its source.

    It gets a SOP Instance UID of its own, and `series` as that of its series, so that no program takes source
    and derived image for one volume.

    Source: PS3.3 C.7.6.1.1.2 (ImageType), C.7.6.1.1.5 (lossy compression), C.12.4 (derivation).
    """
    from pydicom.sequence import Sequence
    from pydicom.uid import generate_uid

    source = _item(ReferencedSOPClassUID=header.SOPClassUID, ReferencedSOPInstanceUID=header.SOPInstanceUID)
    source.PurposeOfReferenceCodeSequence = Sequence([_code("121320", "Uncompressed predecessor")])
    header.SourceImageSequence = Sequence([source])
    header.DerivationCodeSequence = Sequence([_code("113040", "Lossy Compression")])
    earlier = str(header.get("DerivationDescription", ""))
    told = f"{earlier}; {description}" if earlier else description
    header.DerivationDescription = told[-_MOST_DESCRIPTION:]
    header.LossyImageCompression = "01"
    header.LossyImageCompressionRatio = [*_list(header, "LossyImageCompressionRatio"), f"{ratio:.4g}"]
    if method:
        header.LossyImageCompressionMethod = [*_list(header, "LossyImageCompressionMethod"), method]
    _derive(header)
    header.SOPInstanceUID = generate_uid(prefix=None)
    header.SeriesInstanceUID = series
    for name in _STALE:
        if name in header:
            del header[name]


def _derive(dataset: Any) -> None:
    """Set the first value of every ImageType and FrameType to DERIVED."""
    for name in ("ImageType", "FrameType"):
        if name in dataset:
            dataset[name].value = ["DERIVED", *_list(dataset, name)[1:]]
    for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in dataset.get(name) or ():
            for element in group:
                if element.VR == "SQ":
                    for item in element.value:
                        if "FrameType" in item:
                            _derive(item)


def _list(dataset: Any, name: str) -> list[str]:
    value = dataset.get(name)
    if value is None or value == "":
        return []
    return [str(value)] if isinstance(value, str | int | float) else [str(each) for each in value]


def _item(**values: Any) -> Any:
    from pydicom import Dataset

    made = Dataset()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def _code(value: str, meaning: str) -> Any:
    return _item(CodeValue=value, CodingSchemeDesignator="DCM", CodeMeaning=meaning)


def drop_tables(header: Dataset) -> None:
    """Remove in place what describes the source's compressed stream."""
    for name in _TABLES:
        if name in header:
            del header[name]


def swap_words(header: Dataset) -> None:
    """Turn in place the words of a big-endian header's elements that pydicom leaves as bytes."""
    for element in header.iterall():
        if element.VR == "OW" and isinstance(element.value, bytes):
            element.value = np.frombuffer(element.value, ">u2").astype("<u2").tobytes()


def embedded_overlays(header: Dataset) -> Mapping[int, int]:
    """Return the groups of overlays that lie in unused bits of the voxels, and the bit of each."""
    return {
        group: int(header[group, 0x0102].value)
        for group in range(0x6000, 0x6020, 2)
        if (group, 0x0010) in header and (group, 0x0102) in header and (group, 0x3000) not in header
    }


class MovedOverlays:
    """Collects overlays out of the voxels' unused bits, frame by frame, for elements of their own.

    Frames follow one another without a gap, a bit a voxel, in the file and here.

    Source: PS3.5 8.1.2: overlays in unused bits are retired; no compressed stream can hold them.
    """

    def __init__(self, header: Dataset) -> None:
        self._header = header
        self._bits = embedded_overlays(header)
        self._packed = {group: bytearray() for group in self._bits}
        self._rest = {group: np.empty(0, np.uint8) for group in self._bits}

    def add(self, words: Words) -> None:
        """Take the next frame with all its bits."""
        for group, bit in self._bits.items():
            plane = np.concatenate([self._rest[group], (words >> bit & 1).astype(np.uint8).ravel()])
            whole = plane.size & ~7
            self._packed[group] += np.packbits(plane[:whole], bitorder="little").tobytes()
            self._rest[group] = plane[whole:].copy()

    def finish(self) -> bool:
        """Write the elements into the header; return whether there were any."""
        for group in self._bits:
            packed = self._packed.pop(group)
            packed += np.packbits(self._rest[group], bitorder="little").tobytes()
            packed += b"\0" * (len(packed) % 2)
            self._header.add_new((group, 0x0100), "US", 1)
            self._header.add_new((group, 0x0102), "US", 0)
            self._header.add_new((group, 0x3000), "OW", bytes(packed))
        return bool(self._bits)
