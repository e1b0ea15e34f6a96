"""Slides whose pixels OpenSlide alone hands out, with levels whose downsample is no whole number."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
MPP_MM = 0.0005


def noise(width, height, seed=0):
    """Stained-looking pixels of which no two neighbours are alike, so that any shift or blur shows."""
    chance = np.random.default_rng(seed)
    low = chance.integers(0, 60, (height // 32 + 1, width // 32 + 1, 1), np.uint8)
    low = low.repeat(32, 0).repeat(32, 1)[:height, :width]
    colour = np.array([200, 120, 170]) - low
    return np.clip(colour + chance.integers(-50, 50, (height, width, 3)), 0, 255).astype(np.uint8)


def dicom_pyramid(folder, sizes, tile=256, sparse_level=None, profile=None):
    """Write a DICOM series of levels of these (width, height), a file each, uncompressed.

    Returns:
        The path of the first file, and each level's pixels. Frames of `sparse_level` in its odd columns are
        left out, and white.
    """
    folder.mkdir(parents=True, exist_ok=True)
    series = {name: generate_uid(entropy_srcs=[str(folder), name]) for name in ("series", "study", "frame")}
    levels = []
    for number, (width, height) in enumerate(sizes):
        pixels = noise(width, height, seed=number)
        sparse = number == sparse_level
        _write(folder / f"level-{number}.dcm", pixels, number, tile, series, sizes[0][0], sparse, profile)
        if sparse:
            for x in range(tile, width, 2 * tile):
                pixels[:, x : x + tile] = 255
        levels.append(pixels)
    return folder / "level-0.dcm", levels


def _write(path, pixels, number, tile, series, widest, sparse, profile):
    height, width = pixels.shape[:2]
    rows, columns = -(-height // tile), -(-width // tile)
    padded = np.full((rows * tile, columns * tile, 3), 255, np.uint8)
    padded[:height, :width] = pixels
    cells = padded.reshape(rows, tile, columns, tile, 3).swapaxes(1, 2)
    places = [
        (column, row) for row in range(rows) for column in range(columns) if not (sparse and column % 2)
    ]
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = _WHOLE_SLIDE
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid(
        entropy_srcs=[str(path), "instance"]
    )
    data.SeriesInstanceUID, data.StudyInstanceUID = series["series"], series["study"]
    data.FrameOfReferenceUID = series["frame"]
    data.Modality = "SM"
    data.ImageType = (
        ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
        if not number
        else (["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"])
    )
    data.TotalPixelMatrixColumns, data.TotalPixelMatrixRows = width, height
    data.Rows = data.Columns = tile
    data.NumberOfFrames = len(places)
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    data.LossyImageCompression = "00"
    data.DimensionOrganizationType = "TILED_SPARSE" if sparse else "TILED_FULL"
    data.TotalPixelMatrixFocalPlanes = 1
    data.NumberOfOpticalPaths = 1
    measures = Dataset()
    spacing = MPP_MM * widest / width
    measures.PixelSpacing = [round(spacing, 9)] * 2
    measures.SliceThickness = 0.001
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([measures])
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    if sparse:
        data.PerFrameFunctionalGroupsSequence = Sequence([_place(x * tile, y * tile) for x, y in places])
    path_item = Dataset()
    path_item.OpticalPathIdentifier = "1"
    if profile is not None:
        path_item.ICCProfile = profile
    data.OpticalPathSequence = Sequence([path_item])
    data.PixelData = b"".join(np.ascontiguousarray(cells[row, column]).tobytes() for column, row in places)
    data["PixelData"].VR = "OB"
    data.save_as(path, enforce_file_format=True)


def _place(x, y):
    position = Dataset()
    position.ColumnPositionInTotalImagePixelMatrix = x + 1
    position.RowPositionInTotalImagePixelMatrix = y + 1
    position.XOffsetInSlideCoordinateSystem = position.YOffsetInSlideCoordinateSystem = 0
    position.ZOffsetInSlideCoordinateSystem = 0
    frame = Dataset()
    frame.PlanePositionSlideSequence = Sequence([position])
    return frame
