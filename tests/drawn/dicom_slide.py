"""DICOM whole slides made of an SVS by pydicom alone, its encoded tiles verbatim."""

from __future__ import annotations

from dataclasses import dataclass

import tifffile
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid

_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
_INSTEAD = {"ended": b"\xfe\xff\xdd\xe0", "empty": 2 * b"\xfe\xff\x00\xe0\0\0\0\0"}
"""What stands in the place of a middle frame."""
JPEG, JPEG2000 = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.91"


@dataclass(frozen=True)
class Form:
    """How frames are stored and told apart."""

    sparse: bool = False
    table: str = "basic"
    """"basic", "extended", "none", "wrapped": basic with offsets as of a file beyond 4 GB; "behind": basic
    with the last frame's offset behind all frames; "ended": basic with that end in a middle frame; or
    "empty": basic with a middle frame of two empty fragments."""
    fragments: int = 1
    """Fragments of a frame."""
    parts: int = 1
    """Files of a level, as a concatenation."""
    left_out: tuple = ()
    """Raster numbers of frames that are not there, on every level."""
    shift: int = 0
    """Pixels by which a sparse level's last frame stands beside the grid."""
    undefined: bool = False
    """Whether sequences end by delimiters instead of lengths."""


def stored_levels(path):
    """Each level of an SVS or TIFF: (width, height), the tile's side, JPEGTables, the tiles' bytes."""
    with tifffile.TiffFile(path) as tiff:
        for page in filter(lambda page: page.is_tiled, tiff.pages):
            ranges = zip(page.dataoffsets, page.databytecounts, strict=True)
            tiles = [tiff.filehandle.read_array("u1", count, offset=at).tobytes() for at, count in ranges]
            yield (page.imagewidth, page.imagelength), page.tilewidth, page.jpegtables, tiles


def tiles_of(path):
    """Each level of an SVS or TIFF: (width, height), the tile's side, and the tiles as whole streams."""
    for size, side, tables, tiles in stored_levels(path):
        yield size, side, [tables[:-2] + tile[2:] for tile in tiles] if tables else tiles


def dicom_of(svs, folder, form, syntax=JPEG, photometric="YBR_FULL_422"):
    """Write the levels of an SVS as a DICOM series, and return the path of the first file."""
    folder.mkdir(parents=True, exist_ok=True)
    uids = {name: generate_uid(entropy_srcs=[str(folder), name]) for name in ("series", "study", "frame")}
    levels = list(tiles_of(svs))
    for number, (size, side, tiles) in enumerate(levels):
        columns = -(-size[0] // side)
        places = [
            (n % columns * side, n // columns * side) for n in range(len(tiles)) if n not in form.left_out
        ]
        kept = [tile for n, tile in enumerate(tiles) if n not in form.left_out]
        if form.shift:
            places[-1] = places[-1][0] + form.shift, places[-1][1]
        each = -(-len(kept) // form.parts)
        for part, first in enumerate(range(0, len(kept), each)):
            data = _header(size, side, number, uids, levels[0][0][0], form)
            data.file_meta.TransferSyntaxUID = syntax
            data.PhotometricInterpretation = photometric
            data.NumberOfFrames = len(kept[first : first + each])
            path = folder / f"level-{number}-{part}.dcm"
            uid = generate_uid(entropy_srcs=[str(path)])
            data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = uid
            if form.parts > 1:
                data.ConcatenationUID = generate_uid(entropy_srcs=[str(folder), str(number)])
                data.InConcatenationNumber, data.ConcatenationFrameOffsetNumber = part + 1, first
            if form.sparse:
                frames = Sequence([_place(x, y, form) for x, y in places[first : first + each]])
                frames.is_undefined_length = form.undefined
                data.PerFrameFunctionalGroupsSequence = frames
                data["PerFrameFunctionalGroupsSequence"].is_undefined_length = form.undefined
            _store(data, kept[first : first + each], form)
            data.save_as(path, enforce_file_format=True)
    return folder / "level-0-0.dcm"


def _store(data, frames, form):
    if form.table == "extended":
        data.PixelData, data.ExtendedOffsetTable, data.ExtendedOffsetTableLengths = encapsulate_extended(
            frames
        )
    else:
        has_table = form.table != "none"
        encoded = bytearray(encapsulate(frames, fragments_per_frame=form.fragments, has_bot=has_table))
        if form.table == "wrapped":
            encoded[12:16] = encoded[8:12]
        if form.table == "behind":
            end = 4 + 4 * len(frames)
            encoded[end : end + 4] = (len(encoded) - end - 4).to_bytes(4, "little")
        if form.table in _INSTEAD:
            at = 8 + 4 * len(frames) + int.from_bytes(encoded[8 + 4 * (len(frames) // 2) :][:4], "little")
            encoded[at : at + len(_INSTEAD[form.table])] = _INSTEAD[form.table]
        data.PixelData = bytes(encoded)
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True


def _header(size, side, number, uids, widest, form):
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = _WHOLE_SLIDE
    data.SeriesInstanceUID, data.StudyInstanceUID = uids["series"], uids["study"]
    data.FrameOfReferenceUID = uids["frame"]
    data.Modality = "SM"
    data.ImageType = (
        ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"] if number else ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    )
    data.TotalPixelMatrixColumns, data.TotalPixelMatrixRows = size
    data.Rows = data.Columns = side
    data.SamplesPerPixel, data.PlanarConfiguration = 3, 0
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    data.LossyImageCompression = "01"
    data.DimensionOrganizationType = "TILED_SPARSE" if form.sparse else "TILED_FULL"
    data.TotalPixelMatrixFocalPlanes = data.NumberOfOpticalPaths = 1
    measures, shared, optical = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [round(0.0005 * widest / size[0], 9)] * 2
    measures.SliceThickness = 0.001
    shared.PixelMeasuresSequence = Sequence([measures])
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    optical.OpticalPathIdentifier = "1"
    data.OpticalPathSequence = Sequence([optical])
    return data


def _place(x, y, form):
    position, content, frame = Dataset(), Dataset(), Dataset()
    position.ColumnPositionInTotalImagePixelMatrix = x + 1
    position.RowPositionInTotalImagePixelMatrix = y + 1
    position.XOffsetInSlideCoordinateSystem = position.YOffsetInSlideCoordinateSystem = 0
    position.ZOffsetInSlideCoordinateSystem = 0
    content.DimensionIndexValues = [x + 1, y + 1]
    frame.FrameContentSequence = Sequence([content])
    frame.PlanePositionSlideSequence = Sequence([position])
    frame["PlanePositionSlideSequence"].is_undefined_length = form.undefined
    frame.is_undefined_length_sequence_item = form.undefined
    return frame
