"""DICOM out: other programs read what is written, loss is declared, patients are not named."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRBigEndian

from tests.volumes.dicom_drawn import (
    COLUMNS,
    ROWS,
    SERIES,
    drawn_header,
    drawn_voxels,
    enhanced_header,
    save,
    write_series,
)
from tests.volumes.test_dicom_series import FLAIR, by_simpleitk, voxels_of
from wsicomp.errors import ConfigError, TargetExistsError, UnknownCodecError, VerificationError
from wsicomp.volumes.formats import dicom_target
from wsicomp.volumes.formats.dicom_changes import MovedOverlays
from wsicomp.volumes.formats.dicom_codecs import DICOM_CODECS, DicomLoss
from wsicomp.volumes.formats.dicom_identity import deidentify_header
from wsicomp.volumes.formats.dicom_series import open_dicom
from wsicomp.volumes.formats.dicom_target import write_dicom_series

LOSSLESS = [*DICOM_CODECS]
OTHERS_READ = [name for name in LOSSLESS if name != "jpegxl"]


def smooth_voxels(dtype: type = np.uint16, bits: int = 12, count: int = 3) -> np.ndarray:
    """Return slices like a body: waves that reach both ends of the range, and noise."""
    z, y, x = np.mgrid[:count, :ROWS, :COLUMNS]
    wave = np.sin(x / 3 + z) * np.cos(y / 4) * 0.6 + np.random.default_rng(2).normal(0, 0.01, x.shape)
    low, high = (
        (-(1 << bits - 1), (1 << bits - 1) - 1) if np.dtype(dtype).kind == "i" else (0, (1 << bits) - 1)
    )
    return np.clip((wave + 0.5) * (high - low) + low, low, high).astype(dtype)


def headers_of(folder: Path) -> list[Dataset]:
    found = [pydicom.dcmread(path, stop_before_pixels=True) for path in folder.iterdir()]
    return sorted(found, key=lambda each: each.InstanceNumber)


@pytest.mark.parametrize("codec", LOSSLESS)
@pytest.mark.parametrize(("dtype", "bits"), [(np.uint16, 12), (np.int16, 13), (np.int16, 16), (np.uint8, 8)])
def test_every_lossless_codec_gives_all_voxels_and_uids_to_others(
    tmp_path: Path, codec: str, dtype: type, bits: int
) -> None:
    voxels = smooth_voxels(dtype, bits)
    source = write_series(tmp_path / "in", voxels, bits, lambda h, n: setattr(h, "RescaleIntercept", 0))
    volume, target = open_dicom(source), tmp_path / "out"
    if codec == "jpegxl" and np.dtype(dtype).kind == "i":
        with pytest.raises(ConfigError, match="JPEG XL has no signed values"):
            write_dicom_series(volume, target, codec)
        assert not target.exists()
        return
    report = write_dicom_series(volume, target, codec)
    assert (report.max_error, report.files, report.syntax) == (0, 3, DICOM_CODECS[codec].lossless)
    assert report.bytes == sum(path.stat().st_size for path in target.iterdir())
    made = open_dicom(target)
    assert np.array_equal(voxels_of(made), voxels)
    assert np.array_equal(made.info.geometry.affine, volume.info.geometry.affine)
    if codec in OTHERS_READ:
        assert np.array_equal(SimpleITK.GetArrayFromImage(by_simpleitk(target)), voxels)
    for before, after in zip(headers_of(source), headers_of(target), strict=True):
        assert before == after
        assert after.file_meta.TransferSyntaxUID == report.syntax
    if codec in ("jpeg2000", "rle", "deflate", "uncompressed"):  # which pydicom decodes alone
        assert np.array_equal(pydicom.dcmread(target / "IM007").pixel_array, voxels[1])


@pytest.mark.parametrize(
    ("codec", "command"),
    [
        ("jpegls", "dcmdjpls"),
        ("rle", "dcmdrle"),
        ("deflate", "dcmconv +te"),
        ("jpegls", "gdcmconv --raw"),
        ("jpeg2000", "gdcmconv --raw"),
        ("rle", "gdcmconv --raw"),
    ],
)
@pytest.mark.parametrize(("dtype", "bits"), [(np.uint16, 12), (np.int16, 13)])
def test_dcmtk_and_gdcm_decode_what_is_written(
    tmp_path: Path, codec: str, command: str, dtype: type, bits: int
) -> None:
    program, *options = command.split()
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    voxels = smooth_voxels(dtype, bits, 1)
    write_dicom_series(open_dicom(write_series(tmp_path / "in", voxels, bits)), tmp_path / "out", codec)
    plain = tmp_path / "plain.dcm"
    subprocess.run([program, *options, tmp_path / "out" / "IM000", plain], check=True, capture_output=True)
    assert np.array_equal(pydicom.dcmread(plain).pixel_array, voxels[0])


@pytest.mark.parametrize(
    ("codec", "loss", "method"),
    [
        ("jpegls", DicomLoss(near=3), "ISO_14495_1"),
        ("jpeg2000", DicomLoss(psnr_db=55), "ISO_15444_1"),
        ("jpeg2000", DicomLoss(ratio=3), "ISO_15444_1"),
        ("htj2k", DicomLoss(psnr_db=50), "ISO_15444_15"),
        ("htj2k", DicomLoss(ratio=2), "ISO_15444_15"),
        ("jpegxl", DicomLoss(psnr_db=40), "ISO_18181_1"),
        ("jpegxl", DicomLoss(ratio=4), "ISO_18181_1"),
    ],
)
def test_loss_is_within_its_limit_and_declared(
    tmp_path: Path, codec: str, loss: DicomLoss, method: str
) -> None:
    voxels = smooth_voxels()
    source = write_series(tmp_path / "in", voxels, change=lambda h, n: setattr(h, "RescaleIntercept", 0))
    report = write_dicom_series(open_dicom(source), tmp_path / "out", codec, loss)
    made = voxels_of(open_dicom(tmp_path / "out"))
    error = made.astype(float) - voxels
    assert report.max_error == np.abs(error).max() > 0
    if loss.near is not None:
        assert report.max_error <= loss.near
    if loss.psnr_db is not None:
        assert (20 * np.log10(4095 / np.sqrt((error**2).mean((1, 2)))) >= loss.psnr_db).all()
    if codec in OTHERS_READ:
        assert np.array_equal(SimpleITK.GetArrayFromImage(by_simpleitk(tmp_path / "out")), made)
    before, after = headers_of(source), headers_of(tmp_path / "out")
    assert len({each.SOPInstanceUID for each in before + after}) == 6
    assert {each.SeriesInstanceUID for each in after} != {SERIES}
    for old, new in zip(before, after, strict=True):
        assert new.file_meta.TransferSyntaxUID == DICOM_CODECS[codec].lossy
        assert new.file_meta.MediaStorageSOPInstanceUID == new.SOPInstanceUID
        assert new.ImageType == ["DERIVED", "PRIMARY"]
        assert (new.LossyImageCompression, new.LossyImageCompressionMethod) == ("01", method)
        assert loss.ratio is None or float(new.LossyImageCompressionRatio) >= loss.ratio * 0.999
        assert new.SourceImageSequence[0].ReferencedSOPInstanceUID == old.SOPInstanceUID
        assert (new.StudyInstanceUID, new.PatientID) == (old.StudyInstanceUID, old.PatientID)


def test_near_lossless_values_beyond_the_stored_bits_are_not_cut_by_readers(tmp_path: Path) -> None:
    voxels = np.full((1, ROWS, COLUMNS), 4095, np.uint16)
    voxels[0, ::2, ::3] = 4090
    voxels[0, 1::2] = 0
    source = write_series(tmp_path / "in", voxels, change=lambda h, n: setattr(h, "RescaleIntercept", 0))
    write_dicom_series(open_dicom(source), tmp_path / "out", "jpegls", DicomLoss(near=7))
    by_others = SimpleITK.GetArrayFromImage(by_simpleitk(tmp_path / "out"))
    assert np.abs(by_others.astype(int) - voxels).max() <= 7


def test_voxels_outside_a_region_can_be_replaced_and_that_is_declared(tmp_path: Path) -> None:
    voxels = smooth_voxels(count=4)
    inside = np.zeros(voxels.shape, bool)
    inside[:, 3:9, 4:10] = True
    source = write_series(tmp_path / "in", voxels)
    report = write_dicom_series(
        open_dicom(source),
        tmp_path / "out",
        "jpegls",
        transform=lambda number, each: np.where(inside[number], each, each // 256 * 256).astype(each.dtype),
    )
    made = voxels_of(open_dicom(tmp_path / "out"))
    assert np.array_equal(made[inside], voxels[inside])
    assert np.array_equal(made[~inside], voxels[~inside] // 256 * 256)
    assert 0 < report.max_error < 256
    header = headers_of(tmp_path / "out")[0]
    assert header.LossyImageCompression == "01"
    assert header.ImageType[0] == "DERIVED"
    assert "outside a region of interest were replaced" in header.DerivationDescription
    assert header.SOPInstanceUID != headers_of(source)[0].SOPInstanceUID


@pytest.mark.parametrize("codec", ["jpegls", "rle", "deflate", "uncompressed"])
def test_a_multi_frame_file_is_one_file_again(tmp_path: Path, codec: str) -> None:
    voxels = smooth_voxels(np.int16, 13, 6)
    path = save(enhanced_header(voxels, 13, times=2), tmp_path / "enhanced.dcm")
    write_dicom_series(open_dicom(path), tmp_path / "out", codec)
    made = open_dicom(tmp_path / "out")
    assert made.info.shape == (COLUMNS, ROWS, 3, 2)
    assert np.array_equal(voxels_of(made), voxels[[0, 2, 4, 1, 3, 5]])
    image = SimpleITK.ReadImage(str(tmp_path / "out" / "enhanced.dcm"), SimpleITK.sitkFloat32)
    assert np.array_equal(np.sort(SimpleITK.GetArrayFromImage(image), None) + 1024, np.sort(voxels, None))


def test_floating_point_voxels_are_deflated_and_nothing_else(tmp_path: Path) -> None:
    voxels = np.random.default_rng(6).normal(size=(ROWS, COLUMNS)).astype(np.float32)
    header = drawn_header(np.zeros((ROWS, COLUMNS), np.uint16))
    del header.PixelData
    header.FloatPixelData = voxels.tobytes()
    volume = open_dicom(save(header, tmp_path / "float.dcm"))
    assert np.array_equal(volume.read_slice(0), voxels)
    with pytest.raises(ConfigError, match="no floating-point voxels; choose deflate"):
        write_dicom_series(volume, tmp_path / "out")
    write_dicom_series(volume, tmp_path / "out", "deflate")
    assert np.array_equal(open_dicom(tmp_path / "out").read_slice(0), voxels)
    made = pydicom.dcmread(tmp_path / "out" / "float.dcm")
    assert made.FloatPixelData == voxels.tobytes()


@pytest.mark.parametrize("dtype", [np.int32, np.uint32])
def test_wide_voxels_go_where_they_fit(tmp_path: Path, dtype: type) -> None:
    voxels = drawn_voxels(2, dtype, 30)
    volume = open_dicom(write_series(tmp_path / "in", voxels, 30))
    for codec in ("rle", "deflate"):
        write_dicom_series(volume, tmp_path / codec, codec)
        assert np.array_equal(pydicom.dcmread(tmp_path / codec / "IM007").pixel_array, voxels[1])
    with pytest.raises(ConfigError, match="up to 16 bits a voxel, here 32; choose rle or deflate"):
        write_dicom_series(volume, tmp_path / "out", "jpegls")


def test_an_overlay_in_unused_bits_becomes_an_overlay_of_its_own(tmp_path: Path) -> None:
    voxels = smooth_voxels(count=2)
    drawn = np.random.default_rng(4).random(voxels.shape) < 0.3

    def change(header: Dataset, number: int) -> None:
        header.PixelData = (voxels[number] | (drawn[number].astype(np.uint16) << 13)).tobytes()
        for element, form, value in ((0x10, "US", ROWS), (0x11, "US", COLUMNS), (0x40, "CS", "G")):
            header.add_new((0x6000, element), form, value)
        header.add_new((0x6000, 0x0050), "SS", [1, 1])
        header.add_new((0x6000, 0x0100), "US", 16)
        header.add_new((0x6000, 0x0102), "US", 13)

    volume = open_dicom(write_series(tmp_path / "in", voxels, change=change))
    report = write_dicom_series(volume, tmp_path / "out", "jpeg2000")
    assert "moved to elements of their own" in " ".join(report.notes)
    made = pydicom.dcmread(tmp_path / "out" / "IM007")
    assert np.array_equal(made.pixel_array, voxels[1])
    assert np.array_equal(made.overlay_array(0x6000), drawn[1])


def test_overlays_of_frames_that_fill_no_byte_follow_one_another() -> None:
    drawn = np.random.default_rng(4).random((3, 3, 5)) < 0.5
    header = Dataset()
    header.add_new((0x6000, 0x0010), "US", 3)
    header.add_new((0x6000, 0x0102), "US", 13)
    overlays = MovedOverlays(header)
    for frame in drawn:
        overlays.add(frame.astype(np.uint16) << 13)
    assert overlays.finish()
    assert header[0x6000, 0x3000].value == np.packbits(drawn.ravel(), bitorder="little").tobytes()
    assert not MovedOverlays(Dataset()).finish()


def named(header: Dataset, number: int) -> None:
    """Name the patient where headers do, and where they should not."""
    header.OtherPatientIDs, header.PatientComments = "SSN-123", "brother of Jim Doe"
    header.OperatorsName, header.StationName, header.DeviceSerialNumber = "Opera^Tor", "ROOM7-CT", "SN-5678"
    header.file_meta.SourceApplicationEntityTitle = "HOSPITAL-PACS"
    header.preamble = b"II*\0Doe^Jane".ljust(128, b"\0")
    block = header.private_block(0x0011, "ACME", create=True)
    block.add_new(1, "LO", "Doe Jane private")
    inner, deeper = Dataset(), Dataset()
    inner.add_new((0x0040, 0xA123), "PN", "Nested^Name")
    deeper.PatientName, deeper.PatientID = "Deep^Nest", "MRN-4711"
    inner.RequestedContrastAgent = "Jane's agent"
    inner.ReferencedStudySequence = Items([deeper])
    inner.ViewCodeSequence = Items([deeper])
    header.AnatomicRegionSequence = Items([inner])
    header.add_new((0x6000, 0x0010), "US", 8)
    header.add_new((0x6000, 0x3000), "OB", b"Doe^Jane")
    header.ReferencedImageSequence = Items([deeper])


NAMES = [
    *("Doe", "Jane", "Jim", "House", "Gregory", "Opera", "Nested", "Deep", "Hospital", "HOSPITAL", "ACME"),
    *("MRN-4711", "19610203", "SSN-123", "ACC-99", "ROOM7", "SN-5678", "20210304", "101112", "agent", "IM0"),
]


@pytest.mark.parametrize("codec", ["jpegls", "uncompressed"])
@pytest.mark.parametrize("is_lossy", [False, True])
def test_no_byte_of_a_deidentified_series_names_the_patient(
    tmp_path: Path, codec: str, is_lossy: bool
) -> None:
    voxels = smooth_voxels()
    source = write_series(tmp_path / "Doe", voxels, change=named)
    uids = {
        uid
        for header in headers_of(source)
        for uid in re.findall(r"1\.2\.826[\d.]+", str(header))
        if len(uid) > 40
    }
    assert len(uids) > 4
    transform: Callable | None = (lambda number, each: each // 2 * 2) if is_lossy else None
    report = write_dicom_series(open_dicom(source), tmp_path / "out", codec, None, True, transform=transform)
    assert "faces" in " ".join(report.notes)
    for path in (tmp_path / "out").iterdir():
        data = path.read_bytes()
        assert not [name for name in [*NAMES, *uids] if name.encode() in data or name in path.name]
        header = pydicom.dcmread(path)
        assert path.name == f"{header.SOPInstanceUID}.dcm"
        assert header.PatientIdentityRemoved == "YES"
        assert header.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
        assert not [element for element in header.iterall() if element.tag.is_private]
    made = open_dicom(tmp_path / "out")
    assert np.array_equal(voxels_of(made), voxels // 2 * 2 if is_lossy else voxels)
    assert np.array_equal(made.info.geometry.affine, open_dicom(source).info.geometry.affine)
    found = headers_of(tmp_path / "out")
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert len({header[name].value for header in found}) == 1


def test_no_name_of_a_person_and_no_date_of_the_dictionary_stays() -> None:
    secrets = {"PN": "Doe^Jane", "DA": "19610203", "DT": "19610203101112", "TM": "101112"}
    header, inner = drawn_header(smooth_voxels()[0]), Dataset()
    for dataset in (header, inner):
        for tag, (form, *_) in pydicom.datadict.DicomDictionary.items():
            if form in secrets and tag >> 16 > 2:
                dataset.add_new(tag, form, secrets[form])
        dataset.PatientBirthDateInAlternativeCalendar = "19610203"
        dataset.PatientDeathDateInAlternativeCalendar = "19610203"
        dataset.add_new(0x00142006, "LO", "Doe^Jane")  # of another VR than the dictionary's
        dataset.add_new(0x00080FFF, "PN", "Doe^Jane")  # in no dictionary
    header.AnatomicRegionSequence = Items([inner])
    deidentify_header(header)
    left = [element for element in header.iterall() if element.VR != "SQ"]
    assert not [each.tag for each in left if any(one in str(each.value) for one in secrets.values())]
    assert len(header.AnatomicRegionSequence) == 1


def test_text_that_is_burned_into_the_voxels_is_not_called_deidentified(tmp_path: Path) -> None:
    folder = write_series(
        tmp_path / "in", smooth_voxels(), change=lambda h, n: setattr(h, "BurnedInAnnotation", "YES")
    )
    volume = open_dicom(folder)
    assert "burned into the voxels" in " ".join(volume.info.remarks)
    with pytest.raises(ConfigError, match="burned into the voxels; blank it there first"):
        write_dicom_series(volume, tmp_path / "out", deidentify=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not FLAIR.is_dir(), reason="needs the real volumes")
def test_a_real_series_is_smaller_and_read_by_simpleitk(tmp_path: Path) -> None:
    volume = open_dicom(FLAIR)
    report = write_dicom_series(volume, tmp_path / "out", "jpegls", deidentify=True)
    assert report.bytes < 0.42 * report.source_bytes
    assert np.array_equal(SimpleITK.GetArrayFromImage(by_simpleitk(tmp_path / "out")), voxels_of(volume))


def test_what_cannot_be_asked_for_is_refused_in_one_line(tmp_path: Path) -> None:
    volume = open_dicom(write_series(tmp_path / "in", smooth_voxels()))
    for codec, loss, words in (
        ("jpegls", DicomLoss(), "0 limits"),
        ("jpegls", DicomLoss(psnr_db=50), "by near alone"),
        ("jpeg2000", DicomLoss(near=1), "by psnr_db or ratio alone"),
        ("jpeg2000", DicomLoss(ratio=-1), "expected more than 0"),
        ("rle", DicomLoss(ratio=2), "a codec that can lose"),
    ):
        with pytest.raises(ConfigError, match=words):
            write_dicom_series(volume, tmp_path / "out", codec, loss)
    with pytest.raises(UnknownCodecError, match="these are: jpegls, jpeg2000"):
        write_dicom_series(volume, tmp_path / "out", "jpeg")
    with pytest.raises(ConfigError, match="inside the folder of the series"):
        write_dicom_series(volume, tmp_path / "in" / "out", "jpegls")
    with pytest.raises(ConfigError, match="folder of the series itself"):
        write_dicom_series(volume, tmp_path / "in", overwrite=True)
    assert not (tmp_path / "out").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "other").touch()
    with pytest.raises(TargetExistsError):
        write_dicom_series(volume, tmp_path / "full")


def test_overwriting_replaces_files_of_the_same_names_and_mixes_no_series(tmp_path: Path) -> None:
    volume, target = open_dicom(write_series(tmp_path / "in", smooth_voxels())), tmp_path / "out"
    write_dicom_series(volume, target)
    (target / "notes.txt").write_text("mine")
    write_dicom_series(volume, target, "rle", overwrite=True)
    assert (target / "notes.txt").read_text() == "mine"
    assert np.array_equal(voxels_of(open_dicom(target)), smooth_voxels())
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    other = open_dicom(write_series(tmp_path / "other", smooth_voxels(count=1), names=["x"]))
    for source, deidentify in ((volume, True), (other, False)):
        with pytest.raises(ConfigError, match=r"holds other DICOM files.*name another folder"):
            write_dicom_series(source, target, deidentify=deidentify, overwrite=True)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before


def test_a_volume_that_is_no_dicom_has_no_dicom_out(tmp_path: Path) -> None:
    class Other:
        info = open_dicom(write_series(tmp_path / "in", smooth_voxels())).info

    with pytest.raises(ConfigError, match="no DICOM headers to write"):
        write_dicom_series(Other(), tmp_path / "out")  # type: ignore[arg-type]


@pytest.mark.parametrize("at", ["encode", "disk"])
def test_a_codec_that_lies_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    volume = open_dicom(write_series(tmp_path / "in", smooth_voxels()))
    encode, write = dicom_target.encode_frame, dicom_target._write_fragments

    def lying(codec, voxels, layout, loss):
        return encode(codec, voxels ^ (voxels.max() == voxels), layout, loss)

    def failing(lengths, spool, target):
        write(lengths, spool, target)
        target.seek(-40, 1)
        target.write(b"\x55")

    if at == "encode":
        monkeypatch.setattr(dicom_target, "encode_frame", lying)
    else:
        monkeypatch.setattr(dicom_target, "_write_fragments", failing)
    with pytest.raises(VerificationError) as caught:
        write_dicom_series(volume, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_big_endian_file_keeps_the_words_of_its_overlay(tmp_path: Path) -> None:
    voxels = smooth_voxels(count=1)
    drawn = np.random.default_rng(7).random((ROWS, COLUMNS)) < 0.5

    def change(header: Dataset, number: int) -> None:
        header.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        header.PixelData = voxels[number].astype(">u2").tobytes()
        bits = np.packbits(drawn.ravel(), bitorder="little").view("<u2")
        for element, form, value in (
            *((0x10, "US", ROWS), (0x11, "US", COLUMNS), (0x40, "CS", "G"), (0x50, "SS", [1, 1])),
            *((0x100, "US", 1), (0x102, "US", 0), (0x3000, "OW", bits.astype(">u2").tobytes())),
        ):
            header.add_new((0x6000, element), form, value)

    write_dicom_series(
        open_dicom(write_series(tmp_path / "in", voxels, change=change)), tmp_path / "out", "rle"
    )
    made = pydicom.dcmread(tmp_path / "out" / "IM000")
    assert np.array_equal(made.pixel_array, voxels[0])
    assert np.array_equal(made.overlay_array(0x6000), drawn)
    assert (made.PatientID, made.InstanceNumber) == ("MRN-4711", 1)


def test_a_series_without_meta_information_gets_it(tmp_path: Path) -> None:
    voxels = smooth_voxels()
    folder = tmp_path / "in"
    folder.mkdir()
    for number, one in enumerate(voxels):
        header = drawn_header(one, number)
        del header.file_meta
        pydicom.dcmwrite(folder / f"{number}", header, implicit_vr=True, little_endian=True)
    write_dicom_series(open_dicom(folder), tmp_path / "out")
    assert np.array_equal(SimpleITK.GetArrayFromImage(by_simpleitk(tmp_path / "out")) + 1024, voxels)
    for made in headers_of(tmp_path / "out"):
        assert made.file_meta.MediaStorageSOPClassUID == made.SOPClassUID
        assert made.file_meta.MediaStorageSOPInstanceUID == made.SOPInstanceUID


def test_a_series_without_names_of_its_images_stays_as_it_is(tmp_path: Path) -> None:
    source = write_series(tmp_path / "in", smooth_voxels(), change=lambda h, n: delattr(h, "SOPInstanceUID"))
    with pytest.raises(ConfigError, match=r"IM0\d+: states no SOPInstanceUID.*ends in .wsiv"):
        write_dicom_series(open_dicom(source), tmp_path / "out")
    assert [each.name for each in tmp_path.iterdir()] == ["in"]
