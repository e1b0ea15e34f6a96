"""Draws DICOM series by pydicom: what scanners write, and what goes wrong with it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    generate_uid,
)

SERIES, STUDY, FRAME_OF_REFERENCE = (
    generate_uid(entropy_srcs=[name]) for name in ("series", "study", "frame")
)
ROWS, COLUMNS = 12, 16
JPEG_XL = "1.2.840.10008.1.2.4.110"


def drawn_voxels(count: int = 5, dtype: Any = np.uint16, bits: int = 12, seed: int = 0) -> np.ndarray:
    """Return (slices, rows, columns) of values in `bits`, signed where the dtype is."""
    high = 1 << bits
    values = np.random.default_rng(seed).integers(0, high, (count, ROWS, COLUMNS))
    return (values - (high // 2 if np.dtype(dtype).kind == "i" else 0)).astype(dtype)


def drawn_header(voxels: np.ndarray, number: int = 0, bits: int = 12) -> Dataset:
    """Return the header and the voxels of one slice, or of frames where there are three axes."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = CTImageStorage
    instance = generate_uid(entropy_srcs=["instance", str(number)])
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = instance
    header.PatientName, header.PatientID, header.PatientBirthDate = "Doe^Jane", "MRN-4711", "19610203"
    header.StudyDate, header.StudyTime, header.AccessionNumber = "20210304", "101112", "ACC-99"
    header.InstitutionName, header.ReferringPhysicianName = "General Hospital", "House^Gregory"
    header.StudyInstanceUID, header.SeriesInstanceUID = STUDY, SERIES
    header.FrameOfReferenceUID, header.Modality, header.ImageType = (
        FRAME_OF_REFERENCE,
        "CT",
        ["ORIGINAL", "PRIMARY"],
    )
    header.SeriesNumber, header.InstanceNumber = 1, number + 1
    header.PixelSpacing, header.SliceThickness = [0.8, 0.5], 3.0
    header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    header.ImagePositionPatient = [-10.0, -20.0, 100.0 + 3.0 * number]
    header.RescaleSlope, header.RescaleIntercept = 1, -1024
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.Rows, header.Columns = voxels.shape[-2:]
    header.BitsAllocated = 8 * voxels.dtype.itemsize
    header.BitsStored, header.HighBit = bits, bits - 1
    header.PixelRepresentation = int(voxels.dtype.kind == "i")
    header.PixelData = voxels.tobytes()
    header["PixelData"].VR = "OB" if voxels.dtype.itemsize == 1 else "OW"
    return header


def write_series(
    folder: Path,
    voxels: np.ndarray,
    bits: int = 12,
    change: Callable[[Dataset, int], None] = lambda header, number: None,
    names: Sequence[str] | None = None,
) -> Path:
    """Write a file for each slice, in an order that is not the patient's; `change` alters each header."""
    folder.mkdir(exist_ok=True)
    for number in range(len(voxels)):
        header = drawn_header(voxels[number], number, bits)
        change(header, number)
        name = names[number] if names else f"IM{(number * 7) % 97:03d}"
        save(header, folder / name)
    return folder


def save(header: Dataset, path: Path) -> Path:
    """Write a header with its voxels by pydicom, which does not write the UID of JPEG XL."""
    wanted = str(header.file_meta.TransferSyntaxUID)
    known = HTJ2KLossless if wanted == JPEG_XL else wanted
    header.file_meta.TransferSyntaxUID = known
    dcmwrite(path, header, enforce_file_format=True)
    path.write_bytes(path.read_bytes().replace(known.encode(), wanted.encode(), 1))
    return path


def set_frames(header: Dataset, syntax: str, frames: Sequence[bytes]) -> None:
    """Give a header compressed voxels."""
    header.file_meta.TransferSyntaxUID = syntax
    header.PixelData = encapsulate(list(frames))
    header["PixelData"].VR = "OB"
    header["PixelData"].is_undefined_length = True


def enhanced_header(voxels: np.ndarray, bits: int = 12, times: int = 1) -> Dataset:
    """Return an enhanced CT of (frames, rows, columns), with the frames from the feet up, time by time."""
    header = drawn_header(voxels, 0, bits)
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = EnhancedCTImageStorage
    header.NumberOfFrames = len(voxels)
    for name in ("PixelSpacing", "SliceThickness", "ImageOrientationPatient", "ImagePositionPatient"):
        del header[name]
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.8, 0.5], 3.0
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence = Items([measures])
    shared.PlaneOrientationSequence = Items([orientation])
    header.SharedFunctionalGroupsSequence = Items([shared])
    groups = []
    for number in range(len(voxels)):
        group, position, content = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [-10.0, -20.0, 100.0 + 3.0 * (number // times)]
        content.TemporalPositionIndex = number % times + 1
        group.PlanePositionSequence = Items([position])
        group.FrameContentSequence = Items([content])
        groups.append(group)
    header.PerFrameFunctionalGroupsSequence = Items(groups)
    return header
