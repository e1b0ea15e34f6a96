"""DICOM series as volumes: beside SimpleITK and pydicom, as scanners write them and as they go wrong."""

import struct
import warnings
from contextlib import suppress
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)

from tests.volumes.dicom_drawn import (
    COLUMNS,
    JPEG_XL,
    ROWS,
    drawn_header,
    drawn_voxels,
    enhanced_header,
    save,
    set_frames,
    write_series,
)
from wsicomp.errors import UnsupportedVolumeError, VolumeReadError
from wsicomp.volumes.formats import dicom_file
from wsicomp.volumes.formats.dicom_file import PixelLayout
from wsicomp.volumes.formats.dicom_frame import write_dicom
from wsicomp.volumes.formats.dicom_pixels import decode_frame
from wsicomp.volumes.formats.dicom_series import DicomVolume, open_dicom
from wsicomp.volumes.formats.opening import open_volume_source

FLAIR = Path(__file__).parents[3] / "shared" / "data" / "volumes" / "flair"
SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"


def voxels_of(volume: DicomVolume) -> np.ndarray:
    return np.stack(list(volume.slices()))


def by_simpleitk(folder: Path) -> SimpleITK.Image:
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def affine_of(image: SimpleITK.Image) -> np.ndarray:
    """Return the affine of an image of SimpleITK, from its voxels to mm right, anterior, superior."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return np.diag([-1, -1, 1, 1]) @ affine


def rebuilt(volume: DicomVolume, folder: Path) -> tuple[bool, str]:
    made = write_dicom(volume.frame(), volume.slices(), volume.info.shape, volume.info.dtype, folder)
    return made.exact, made.note


def assert_same_files(folder: Path, other: Path) -> None:
    assert sorted(path.name for path in other.iterdir()) == sorted(path.name for path in folder.iterdir())
    for path in folder.iterdir():
        assert (other / path.name).read_bytes() == path.read_bytes()


@pytest.mark.skipif(not FLAIR.is_dir(), reason="needs the real volumes")
def test_a_real_series_is_what_simpleitk_reads_and_comes_back_byte_for_byte(tmp_path: Path) -> None:
    volume, image = open_dicom(FLAIR), by_simpleitk(FLAIR)
    assert np.array_equal(voxels_of(volume), SimpleITK.GetArrayFromImage(image))
    assert volume.info.geometry.affine is not None
    assert np.allclose(volume.info.geometry.affine, affine_of(image), atol=1e-6)
    assert volume.info.modality == "MR"
    assert rebuilt(volume, tmp_path / "out") == (True, "")
    assert_same_files(FLAIR, tmp_path / "out")


@pytest.mark.parametrize(
    ("dtype", "bits"),
    [
        (np.uint8, 8),
        (np.int8, 8),
        (np.uint16, 12),
        (np.int16, 13),
        (np.int16, 16),
        (np.uint32, 32),
        (np.int32, 20),
    ],
)
def test_every_integer_type_is_read_as_pydicom_does_and_comes_back(
    tmp_path: Path, dtype: type, bits: int
) -> None:
    voxels = drawn_voxels(4, dtype, bits)
    folder = write_series(tmp_path / "in", voxels, bits)
    volume = open_dicom(folder)
    assert volume.info.dtype == dtype
    assert volume.info.shape == (COLUMNS, ROWS, 4)
    assert np.array_equal(voxels_of(volume), voxels)
    assert np.array_equal(volume.read_slice(2), pydicom.dcmread(folder / "IM014").pixel_array)
    assert rebuilt(volume, tmp_path / "out") == (True, "")
    assert_same_files(folder, tmp_path / "out")


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_every_uncompressed_transfer_syntax_comes_back_byte_for_byte(tmp_path: Path, syntax: str) -> None:
    voxels = drawn_voxels()

    def change(header: Dataset, number: int) -> None:
        header.file_meta.TransferSyntaxUID = syntax
        order = ">" if syntax == ExplicitVRBigEndian else "<"
        header.PixelData = voxels[number].astype(f"{order}u2").tobytes()

    folder = write_series(tmp_path / "in", voxels, change=change)
    volume = open_dicom(folder)
    assert np.array_equal(voxels_of(volume), voxels)
    assert rebuilt(volume, tmp_path / "out") == (True, "")
    assert_same_files(folder, tmp_path / "out")


def test_an_oblique_series_has_the_affine_of_simpleitk(tmp_path: Path) -> None:
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    normal = np.cross(turn[0], turn[1])

    def change(header: Dataset, number: int) -> None:
        header.ImageOrientationPatient = [f"{each:.10f}" for each in (*turn[0], *turn[1])]
        header.ImagePositionPatient = [
            f"{each:.10f}" for each in np.array([5.0, 6, 7]) + 2.5 * number * normal
        ]

    voxels = drawn_voxels(6)
    folder = write_series(tmp_path / "in", voxels, change=change)
    volume, image = open_dicom(folder), by_simpleitk(folder)
    assert np.array_equal(voxels_of(volume), voxels)
    assert np.array_equal(SimpleITK.GetArrayFromImage(image), voxels - 1024.0)  # ITK scales
    assert volume.info.geometry.affine is not None
    assert np.allclose(volume.info.geometry.affine, affine_of(image), atol=1e-5)
    assert np.allclose(volume.info.geometry.spacing, (0.5, 0.8, 2.5))
    assert (volume.info.scaling.slope, volume.info.scaling.intercept) == (1, -1024)
    assert not volume.info.remarks


def test_a_leaning_stack_has_an_affine_that_leans(tmp_path: Path) -> None:
    def change(header: Dataset, number: int) -> None:
        header.ImagePositionPatient = [-10.0, -20.0 + 1.0 * number, 100 + 3.0 * number]

    volume = open_dicom(write_series(tmp_path / "in", drawn_voxels(), change=change))
    affine = volume.info.geometry.affine
    assert affine is not None
    for number in range(5):  # the centre of each slice's first voxel, as its header says
        assert np.allclose(affine @ [0, 0, number, 1], [10, 20 - number, 100 + 3 * number, 1])
    assert [remark for remark in volume.info.remarks if "18.4 degrees" in remark]


@pytest.mark.parametrize(
    ("at", "told"),
    [
        ([0, 3, 6, 15, 18], "2 slices are missing between others 3 mm apart"),
        ([0, 3, 9, 12, 15], "1 slice is missing"),
        ([0, 3, 7.3, 12, 14], "slices lie unevenly, 2 to 4.7 mm apart"),
    ],
)
def test_a_stack_that_is_not_even_states_no_affine(tmp_path: Path, at: list[float], told: str) -> None:
    def change(header: Dataset, number: int) -> None:
        header.ImagePositionPatient = [0, 0, at[number]]

    voxels = drawn_voxels()
    folder = write_series(tmp_path / "in", voxels, change=change)
    volume = open_dicom(folder)
    assert volume.info.geometry.affine is None
    assert volume.info.geometry.spacing is None
    assert told in " ".join(volume.info.remarks)
    assert np.array_equal(voxels_of(volume), voxels)
    assert rebuilt(volume, tmp_path / "out") == (True, "")
    assert_same_files(folder, tmp_path / "out")


def test_positions_that_a_scanner_rounded_are_even(tmp_path: Path) -> None:
    def change(header: Dataset, number: int) -> None:
        header.ImagePositionPatient = [0, 0, round(0.625 * number, 2)]

    volume = open_dicom(write_series(tmp_path / "in", drawn_voxels(), change=change))
    assert np.allclose(volume.info.geometry.spacing, (0.5, 0.8, 0.625))


@pytest.mark.parametrize("name", ["TemporalPositionIdentifier", "AcquisitionNumber", "AcquisitionTime", ""])
def test_places_that_were_taken_several_times_are_a_fourth_axis(tmp_path: Path, name: str) -> None:
    voxels = drawn_voxels(6)

    def change(header: Dataset, number: int) -> None:
        time, place = divmod(number, 3)
        header.ImagePositionPatient = [0, 0, 3.0 * place]
        if name:
            value = f"10{time:02d}{place:02d}.5" if name == "AcquisitionTime" else time + 1
            setattr(header, name, value)
            header.InstanceNumber = 100 - number

    folder = write_series(tmp_path / "in", voxels, change=change)
    volume = open_dicom(folder)
    assert volume.info.shape == (COLUMNS, ROWS, 3, 2)
    assert np.array_equal(voxels_of(volume), voxels)
    assert "each place was taken 2 times" in " ".join(volume.info.remarks)
    assert rebuilt(volume, tmp_path / "out") == (True, "")
    assert_same_files(folder, tmp_path / "out")


def test_slices_with_scalings_of_their_own_keep_their_stored_values(tmp_path: Path) -> None:
    def change(header: Dataset, number: int) -> None:
        header.RescaleSlope = 0.5 + number

    voxels = drawn_voxels()
    volume = open_dicom(write_series(tmp_path / "in", voxels, change=change))
    assert (volume.info.scaling.slope, volume.info.scaling.intercept) == (1, 0)
    assert "5 different scalings (slope 0.5 to 4.5)" in " ".join(volume.info.remarks)
    assert np.array_equal(voxels_of(volume), voxels)


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint16, 12), (np.int16, 12), (np.uint8, 7)])
def test_bits_beside_the_value_are_no_voxels_and_come_back(tmp_path: Path, dtype: type, bits: int) -> None:
    voxels = drawn_voxels(4, dtype, bits)
    words = voxels.view(f"u{voxels.itemsize}") & ((1 << bits) - 1)
    beside = np.random.default_rng(1).integers(0, 1 << (8 * voxels.itemsize - bits), words.shape)
    stored = (words | (beside << bits)).astype(words.dtype)

    def change(header: Dataset, number: int) -> None:
        header.PixelData = stored[number].tobytes()
        header.add_new((0x6000, 0x0010), "US", ROWS)
        header.add_new((0x6000, 0x0102), "US", bits)

    folder = write_series(tmp_path / "in", voxels, bits, change)
    volume = open_dicom(folder)
    assert np.array_equal(voxels_of(volume), voxels)
    assert np.array_equal(volume.read_slice(1), pydicom.dcmread(folder / "IM007").pixel_array)
    assert "hold an overlay" in " ".join(volume.info.remarks)
    assert rebuilt(volume, tmp_path / "out") == (True, "")
    assert_same_files(folder, tmp_path / "out")


@pytest.mark.parametrize("times", [1, 2])
def test_a_multi_frame_file_is_sorted_by_the_positions_of_its_frames(tmp_path: Path, times: int) -> None:
    voxels = drawn_voxels(6)
    path = save(enhanced_header(voxels, times=times), tmp_path / "enhanced.dcm")
    volume = open_dicom(path)
    order = [number for time in range(times) for number in range(time, 6, times)]
    assert np.array_equal(voxels_of(volume), voxels[order])
    assert np.array_equal(pydicom.dcmread(path).pixel_array[order], voxels[order])
    assert np.allclose(volume.info.geometry.spacing, (0.5, 0.8, 3))
    assert volume.info.shape == (COLUMNS, ROWS, 6 // times, *((times,) if times > 1 else ()))
    assert rebuilt(volume, tmp_path / "out") == (True, "")
    assert (tmp_path / "out" / "enhanced.dcm").read_bytes() == path.read_bytes()


def test_frames_that_say_no_position_are_in_their_order(tmp_path: Path) -> None:
    header = drawn_header(drawn_voxels(3))
    header.NumberOfFrames = 3
    volume = open_dicom(save(header, tmp_path / "cine.dcm"))
    assert np.array_equal(voxels_of(volume), drawn_voxels(3))
    assert volume.info.geometry.affine is None


def test_what_is_no_image_in_a_folder_is_left_out_with_a_remark(tmp_path: Path) -> None:
    voxels = drawn_voxels()
    folder = write_series(tmp_path / "in", voxels)
    (folder / "notes.txt").write_text("of the technician")
    (folder / "empty").touch()
    for name in ("dicomdirtests/DICOMDIR", "rtstruct.dcm", "reportsi.dcm"):
        (folder / Path(name).name).write_bytes((SHIPPED / name).read_bytes())
    volume = open_dicom(folder)
    assert np.array_equal(voxels_of(volume), voxels)
    assert {"4 files are no DICOM image and left out", "1 file is empty and left out"} <= {
        *volume.info.remarks
    }


def test_an_image_that_ends_in_its_header_is_an_error_and_not_left_out(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "in", drawn_voxels())
    whole = (folder / "IM014").read_bytes()
    for kept in range(132, whole.index(b"\xe0\x7f\x10\x00"), 41):
        (folder / "IM014").write_bytes(whole[:kept])
        with pytest.raises(VolumeReadError, match=r"IM014: .*(ends|damaged)"):
            open_dicom(folder)


def test_a_localizer_among_slices_is_named_though_it_comes_first(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "in", drawn_voxels())
    scout = drawn_header(drawn_voxels()[0], 99)
    scout.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    save(scout, folder / "A-first")
    refused(
        folder, UnsupportedVolumeError, "1 of 6 slices have another direction than the others, such as A-f"
    )


def test_a_colour_picture_among_slices_is_named_and_may_be_taken_away(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "in", drawn_voxels())
    picture = drawn_header(np.zeros((12, 16), np.uint8), 50, 8)
    picture.SamplesPerPixel, picture.PhotometricInterpretation, picture.PlanarConfiguration = 3, "RGB", 0
    picture.PixelData = bytes(3 * 12 * 16)
    save(picture, folder / "report.dcm")
    refused(folder, UnsupportedVolumeError, "report.dcm: RGB with 3 values a voxel")
    refused(folder, UnsupportedVolumeError, "take it out of the folder, if it does not belong there")


def test_one_file_of_a_series_is_read_alone(tmp_path: Path) -> None:
    voxels = drawn_voxels()
    volume = open_dicom(write_series(tmp_path / "in", voxels) / "IM014")
    assert np.array_equal(voxels_of(volume), voxels[2:3])
    assert "name its folder for the whole series" in " ".join(volume.info.remarks)
    assert np.allclose(volume.info.geometry.spacing, (0.5, 0.8, 3))


def encoded(voxels: np.ndarray, syntax: str) -> bytes:
    words = voxels.view(f"u{voxels.itemsize}")
    match syntax.rpartition(".")[2]:
        case "57" | "70":
            return bytes(imagecodecs.jpeg_encode(words, lossless=True))
        case "80":
            return bytes(imagecodecs.jpegls_encode(words))
        case "90":
            return bytes(imagecodecs.jpeg2k_encode(voxels, level=0, codecformat="j2k", reversible=True))
        case "201":
            return bytes(imagecodecs.htj2k_encode(voxels, reversible=True))
        case "110":
            return bytes(imagecodecs.jpegxl_encode(words, lossless=True, usecontainer=False))
    raise AssertionError(syntax)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.uint8])
@pytest.mark.parametrize("number", [70, 80, 90, 110, 201])
def test_compressed_files_are_decoded_and_written_again_without_compression(
    tmp_path: Path, dtype: type, number: int
) -> None:
    syntax, bits = f"1.2.840.10008.1.2.4.{number}", 8 if dtype is np.uint8 else 16
    voxels = drawn_voxels(3, dtype, bits)
    folder = write_series(
        tmp_path / "in",
        voxels,
        bits,
        lambda header, at: set_frames(header, syntax, [encoded(voxels[at], syntax)]),
    )
    volume = open_dicom(folder)
    assert np.array_equal(voxels_of(volume), voxels)
    is_exact, note = rebuilt(volume, tmp_path / "out")
    assert not is_exact
    assert syntax in note
    for at in range(3):
        made = pydicom.dcmread(tmp_path / "out" / f"IM{7 * at:03d}")
        assert np.array_equal(made.pixel_array, voxels[at])
        assert made.PatientID == "MRN-4711"


def test_rle_and_fragments_of_several_frames_are_decoded(tmp_path: Path) -> None:
    voxels = drawn_voxels(4)
    header = enhanced_header(voxels)
    header.compress(RLELossless)
    volume = open_dicom(save(header, tmp_path / "rle.dcm"))
    assert np.array_equal(voxels_of(volume), voxels)
    pieces = [encoded(each, "1.2.840.10008.1.2.4.90") for each in voxels]
    set_frames(header, "1.2.840.10008.1.2.4.90", pieces)
    header.PixelData = pydicom.encaps.encapsulate(pieces, fragments_per_frame=2)
    volume = open_dicom(save(header, tmp_path / "fragments.dcm"))
    assert np.array_equal(voxels_of(volume), voxels)
    assert np.array_equal(volume.read_slice(3), voxels[3])


def test_a_deflated_file_is_read_and_written_again_inflated(tmp_path: Path) -> None:
    voxels = drawn_voxels(1)
    header = drawn_header(voxels[0])
    header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    volume = open_dicom(save(header, tmp_path / "deflated.dcm"))
    assert np.array_equal(voxels_of(volume), voxels)
    assert not rebuilt(volume, tmp_path / "out")[0]
    assert np.array_equal(pydicom.dcmread(tmp_path / "out" / "deflated.dcm").pixel_array, voxels[0])


def test_a_deflated_file_is_inflated_once_whoever_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voxels = drawn_voxels(6)
    header = enhanced_header(voxels)
    header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path, heads = save(header, tmp_path / "deflated.dcm"), []
    head = dicom_file._explicit_head
    monkeypatch.setattr(dicom_file, "_explicit_head", lambda *given: heads.append(given) or head(*given))
    volume = open_dicom(path)
    slices = zip(volume.slices(), volume.slices(), strict=True)
    assert all(np.array_equal(one, other) for one, other in slices)
    assert np.array_equal(voxels_of(volume), voxels)
    assert len(heads) == 1
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(VolumeReadError, match="ends early"):
        open_dicom(path)


def test_a_jpeg2000_header_that_is_not_the_streams_does_not_count(tmp_path: Path) -> None:
    small, large = (np.zeros(shape, np.uint16) for shape in ((ROWS, COLUMNS), (512, 512)))
    bare = bytes(imagecodecs.jpeg2k_encode(small, level=0, codecformat="j2k"))
    boxed = bytes(imagecodecs.jpeg2k_encode(large, level=0, codecformat="jp2"))
    decoy = struct.pack(">I4s", 8 + 60, b"xml ") + bare[:60]
    header = drawn_header(small)
    for number, data in enumerate((boxed[:12] + decoy + boxed[12:], b"\0" * 40 + bare)):
        set_frames(header, "1.2.840.10008.1.2.4.90", [data])
        volume = open_dicom(save(header, tmp_path / str(number)))
        with pytest.raises(VolumeReadError, match=r"cannot be decoded .*(512 x 512|not a JPEG 2000)"):
            volume.read_slice(0)


def test_a_jpeg_xl_of_several_frames_is_refused(tmp_path: Path) -> None:
    frames = bytes(imagecodecs.jpegxl_encode(drawn_voxels(60), lossless=True, usecontainer=False))
    assert imagecodecs.jpegxl_decode(frames).shape[0] == 60
    header = drawn_header(drawn_voxels(1)[0])
    set_frames(header, JPEG_XL, [frames])
    volume = open_dicom(save(header, tmp_path / "many.dcm"))
    with pytest.raises(VolumeReadError, match=r"cannot be decoded .*animation"):
        volume.read_slice(0)


GREY = [
    "693_J2KI.dcm",
    "CT_small.dcm",
    "J2K_pixelrep_mismatch.dcm",
    "JPEG2000.dcm",
    "MR_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_expb.dcm",
    "MR_small_implicit.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_padded.dcm",
    "examples_overlay.dcm",
    "image_dfl.dcm",
    "rtdose.dcm",
    "rtdose_expb.dcm",
    "rtdose_rle.dcm",
]


@pytest.mark.parametrize("name", GREY)
def test_files_that_ship_with_pydicom_are_what_it_reads(name: str, tmp_path: Path) -> None:
    volume = open_dicom(SHIPPED / name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom speaks of padding and signs
        expected = pydicom.dcmread(SHIPPED / name).pixel_array
    assert np.array_equal(np.squeeze(voxels_of(volume)), expected)
    is_exact, _ = rebuilt(volume, tmp_path / "out")
    same = (tmp_path / "out" / name).read_bytes() == (SHIPPED / name).read_bytes()
    assert is_exact == same
    assert np.array_equal(voxels_of(open_dicom(tmp_path / "out" / name)), voxels_of(volume))


def refused(path: Path, kind: type[VolumeReadError], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        for _ in open_dicom(path).slices():
            pass
    assert "\n" not in str(caught.value)
    assert "Doe" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("SC_rgb_rle.dcm", "RGB with 3 values a voxel"),
        ("examples_palette.dcm", "PALETTE COLOR"),
        ("liver_1frame.dcm", "1 bits of 1"),
        ("rtstruct.dcm", "is no DICOM image"),
        ("dicomdirtests/DICOMDIR", "is no DICOM image"),
    ],
)
def test_what_has_not_one_grey_value_a_voxel_is_refused(name: str, words: str) -> None:
    refused(SHIPPED / name, UnsupportedVolumeError, words)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (
            lambda h, n: setattr(h, "SeriesInstanceUID", generate_uid() if n == 2 else h.SeriesInstanceUID),
            UnsupportedVolumeError,
            "2 series with 4, 1 files; IM014 is of the smallest; put each in a folder",
        ),
        (
            lambda h, n: setattr(h, "SOPInstanceUID", "1.2.3"),
            UnsupportedVolumeError,
            "4 of 5 files are copies of others, IM007 first; take them away",
        ),
        (
            lambda h, n: setattr(h, "ImagePositionPatient", [0, 0, 3.0 * max(n, 1)]),
            UnsupportedVolumeError,
            "4 places with 1 to 2 slices",
        ),
        (
            lambda h, n: (setattr(h, "ImagePositionPatient", [0, 0, 1]), setattr(h, "InstanceNumber", 1)),
            UnsupportedVolumeError,
            "nothing tells apart",
        ),
        (
            lambda h, n: setattr(
                h, "ImageOrientationPatient", [1, 0, 0, 0, 0, 1] if n == 1 else [1, 0, 0, 0, 1, 0]
            ),
            UnsupportedVolumeError,
            "1 of 5 slices have another direction than the others, such as IM007",
        ),
        (
            lambda h, n: setattr(h, "ImageOrientationPatient", [1, 0, 0, 1, 0, 0]),
            VolumeReadError,
            "two perpendicular directions",
        ),
        (
            lambda h, n: setattr(h, "PixelSpacing", [0.8, 0.5 + n]),
            UnsupportedVolumeError,
            "another PixelSpacing",
        ),
        (lambda h, n: setattr(h, "PixelSpacing", [0, 1]), VolumeReadError, "expected more than 0"),
        (lambda h, n: setattr(h, "PixelSpacing", [-1, 1]), VolumeReadError, "expected more than 0"),
        (
            lambda h, n: n == 3 and delattr(h, "ImagePositionPatient"),
            UnsupportedVolumeError,
            "have no position",
        ),
        (
            lambda h, n: setattr(h, "ImagePositionPatient", [10 * n, 0, 5]),
            UnsupportedVolumeError,
            "side by side",
        ),
        (
            lambda h, n: (
                (setattr(h, "Rows", 6), setattr(h, "PixelData", h.PixelData[:192])) if n == 4 else None
            ),
            UnsupportedVolumeError,
            "4 of 12 x 16, 1 of 6 x 16; IM028 is of the rarest",
        ),
        (lambda h, n: setattr(h, "PixelRepresentation", n % 2), UnsupportedVolumeError, "different types"),
        (lambda h, n: setattr(h, "HighBit", 15), UnsupportedVolumeError, "up to bit 15"),
        (
            lambda h, n: setattr(h, "PixelData", h.PixelData[:-2]),
            VolumeReadError,
            "382 bytes of voxels, expected 384",
        ),
        (lambda h, n: setattr(h, "NumberOfFrames", 500), VolumeReadError, "expected 192000"),
        (lambda h, n: delattr(h, "BitsAllocated"), VolumeReadError, "header is damaged"),
        (
            lambda h, n: set_frames(h, "1.2.840.10008.1.2.4.102", [b"video"]),
            UnsupportedVolumeError,
            "no decoder",
        ),
        (
            lambda h, n: set_frames(h, "1.2.840.10008.1.2.4.80", [b"noise" * 20]),
            VolumeReadError,
            "no JPEG stream",
        ),
    ],
)
def test_series_that_make_no_volume_are_refused(tmp_path: Path, change, kind, words: str) -> None:
    folder = write_series(tmp_path / "in", drawn_voxels(), change=change)
    refused(folder, kind, words)


@pytest.mark.parametrize("size", [(13, 16), (12, 17), (300, 300)])
@pytest.mark.parametrize("number", [70, 80, 90, 110, 201])
def test_a_stream_of_another_size_than_its_header_is_refused(
    tmp_path: Path, size: tuple[int, int], number: int
) -> None:
    syntax = f"1.2.840.10008.1.2.4.{number}"
    stream = encoded(np.zeros(size, np.uint16), syntax)
    folder = write_series(
        tmp_path / "in", drawn_voxels(1), change=lambda h, n: set_frames(h, syntax, [stream])
    )
    refused(folder, VolumeReadError, "expected 12 x 16")


def test_a_decoder_whose_values_have_more_bits_than_the_header_is_refused(tmp_path: Path) -> None:
    syntax = "1.2.840.10008.1.2.4.80"
    stream = encoded(np.full((ROWS, COLUMNS), 5000, np.uint16), syntax)
    folder = write_series(
        tmp_path / "in", drawn_voxels(1), change=lambda h, n: set_frames(h, syntax, [stream])
    )
    refused(folder, VolumeReadError, "values from 5000 to 5000, expected 12 bits")


def test_damaged_and_shortened_files_are_refused_or_exact(tmp_path: Path) -> None:
    voxels, random = drawn_voxels(1), np.random.default_rng(5)
    source = write_series(tmp_path / "in", voxels, names=["a.dcm"]) / "a.dcm"
    whole, ends = source.read_bytes(), []
    for trial in range(60):
        cut = bytearray(whole[: random.integers(200, len(whole))]) if trial % 2 else bytearray(whole)
        if trial % 2 == 0:
            cut[random.integers(132, len(cut) - 384)] ^= 1 << random.integers(8)
        source.write_bytes(cut)
        try:
            read = [*open_dicom(source).slices()]
        except VolumeReadError as exc:
            ends.append(str(exc))
            continue
        assert trial % 2 == 0
        assert len(read) == 1
    assert len(ends) > 30
    assert not [each for each in ends if "\n" in each]


def test_a_file_that_changes_while_it_is_open_is_refused(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "in", drawn_voxels())
    volume = open_dicom(folder)
    (folder / "IM007").write_bytes(b"other")
    with pytest.raises(VolumeReadError, match="changed while it was read"):
        volume.read_slice(1)
    with pytest.raises(IndexError):
        volume.read_slice(5)


@pytest.mark.parametrize("damage", ["name", "order", "headers", "count", "slices"])
def test_a_frame_that_does_not_fit_its_voxels_writes_nothing(tmp_path: Path, damage: str) -> None:
    volume = open_dicom(write_series(tmp_path / "in", drawn_voxels()))
    frame, slices = volume.frame(), [*volume.slices()]
    if damage == "name":
        frame.values["files"][0]["name"] = "../outside"
    elif damage == "order":
        frame.values["slices"] = [[0, 0]] * 5
    elif damage == "headers":
        frame.parts["headers.xz"] = frame.parts["headers.xz"][:-40]
    elif damage == "count":
        frame.values["files"][0]["before"] = -5
    else:
        slices = slices[:-1]
    with pytest.raises(VolumeReadError):
        write_dicom(frame, slices, volume.info.shape, volume.info.dtype, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "outside").exists()


def packed(voxels: np.ndarray, number: int) -> tuple[str, bytes]:
    """Return a transfer syntax and a stream: 5 stands for RLE."""
    if number == 5:
        header = drawn_header(voxels)
        header.compress(RLELossless)
        return str(RLELossless), pydicom.encaps.get_frame(header.PixelData, 0, number_of_frames=1)
    syntax = f"1.2.840.10008.1.2.4.{number}"
    return syntax, encoded(voxels, syntax)


@pytest.mark.parametrize("number", [5, 70, 80, 90, 110, 201])
def test_a_damaged_stream_is_decoded_or_refused_and_a_shortened_one_is_refused(number: int) -> None:
    voxels, random = drawn_voxels(1)[0], np.random.default_rng(number)
    syntax, stream = packed(voxels, number)
    layout = PixelLayout(syntax, voxels.shape, 1, (16, 12), voxels.dtype)
    assert np.array_equal(decode_frame(stream, layout), voxels)
    for _ in range(25):
        with pytest.raises(VolumeReadError):
            decode_frame(stream[: random.integers(0, len(stream) - 3)], layout)
        damaged = bytearray(stream)
        damaged[random.integers(len(damaged))] = random.integers(256)
        with suppress(VolumeReadError):
            assert decode_frame(bytes(damaged), layout).shape == voxels.shape


def test_a_series_is_opened_as_any_volume_is(tmp_path: Path) -> None:
    voxels = drawn_voxels()
    folder = write_series(tmp_path / "in", voxels, names=[f"{number}.nii" for number in range(5)])
    assert np.array_equal(np.stack([*open_volume_source(folder).slices()]), voxels)
    assert np.array_equal(open_volume_source(folder / "3.nii").read_slice(0), voxels[3])
