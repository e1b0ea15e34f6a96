"""NIfTI files are read as nibabel and SimpleITK read them, and written again byte for byte."""

import gzip
import re
import struct
import subprocess
import sys
import zlib

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does

from tests.volumes.drawn_files import (
    DTYPES,
    SHAPES,
    as_slices,
    drawn_nifti,
    real_files,
    same_bits,
    written_again,
)
from wsicomp.errors import SlideWriteError, TargetExistsError, UnsupportedVolumeError, VolumeReadError
from wsicomp.volumes.formats.nifti import open_nifti, write_nifti
from wsicomp.volumes.formats.opening import open_volume_source
from wsicomp.volumes.volume import Scaling

CASES = [
    (dtype, shape, order, two)
    for number, dtype in enumerate(dtype for dtype in DTYPES if dtype != "f2")
    for shape in SHAPES
    for order, two in [("<>"[(number + len(shape)) % 2], bool((number + shape[0]) % 3 == 0))]
]


def small(path, **fields):
    """Write 3 x 4 x 2 voxels of int16, with fields of the header changed."""
    voxels = np.arange(24, dtype="<i2").reshape(3, 4, 2)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([2, 3, 4, 1])), path)
    data = bytearray(path.read_bytes())
    header = nibabel.Nifti1Header(bytes(data[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(header.binaryblock + bytes(data[348:]))
    return path


@pytest.mark.parametrize("path", [p for p in real_files() if p.suffix == ".gz"], ids=lambda path: path.name)
def test_a_real_file_is_what_nibabel_and_simpleitk_read_and_is_written_again(path, tmp_path):
    volume = open_nifti(path)
    image = nibabel.load(path)
    found = np.stack([*volume.slices()])
    assert same_bits(found, as_slices(np.asanyarray(image.dataobj.get_unscaled())))
    assert np.array_equal(volume.info.geometry.affine, image.affine)
    of_itk = sitk.ReadImage(path)
    assert (sitk.GetArrayFromImage(of_itk) == found).all()
    assert volume.info.geometry.spacing == pytest.approx(of_itk.GetSpacing())
    assert written_again(volume, tmp_path / "again.nii.gz", write_nifti).exact
    assert (tmp_path / "again.nii.gz").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(("dtype", "shape", "order", "two"), CASES)
def test_a_drawn_file_is_read_as_nibabel_wrote_it_and_written_again(dtype, shape, order, two, tmp_path):
    rng = np.random.default_rng([ord(dtype[0]), int(dtype[1]), *shape])
    path = tmp_path / ("a.nii.gz" if rng.integers(2) else "a.nii")
    voxels = drawn_nifti(rng, path, dtype, shape, order, two)
    volume = open_nifti(path)
    image = nibabel.load(path)
    found = [*volume.slices()]
    assert same_bits(np.stack(found), as_slices(voxels))
    assert volume.info.shape == (shape if len(shape) > 2 else (*shape, 1))
    assert np.array_equal(volume.info.geometry.affine, image.affine)
    assert volume.info.geometry.spacing == pytest.approx([*image.header.get_zooms()[:3], 1.0][:3])
    for number in rng.permutation(len(found)):
        assert same_bits(volume.read_slice(int(number)), found[number])
    assert written_again(volume, tmp_path / "again", write_nifti).exact
    volume.close()
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("level", range(1, 10))
def test_a_file_gzipped_with_any_level_is_written_again(level, tmp_path):
    rng = np.random.default_rng(level)
    voxels = drawn_nifti(rng, tmp_path / "a.nii", "i2", (40, 30, 20))
    with gzip.open(tmp_path / "a.nii.gz", "wb", compresslevel=level) as file:
        file.write((tmp_path / "a.nii").read_bytes())
    volume = open_nifti(tmp_path / "a.nii.gz")
    assert same_bits(np.stack([*volume.slices()]), as_slices(voxels))
    assert written_again(volume, tmp_path / "again", write_nifti).exact
    assert (tmp_path / "again").read_bytes() == (tmp_path / "a.nii.gz").read_bytes()


@pytest.mark.parametrize("pixel", [sitk.sitkInt16, sitk.sitkUInt8, sitk.sitkFloat32, sitk.sitkFloat64])
def test_a_file_of_simpleitk_is_read_with_its_place(pixel, tmp_path):
    drawn = sitk.GaussianSource(pixel, [9, 7, 5], mean=[4, 3, 2], sigma=[2] * 3, scale=200)
    drawn.SetSpacing([0.5, 2, 3.25])
    drawn.SetOrigin([-10, 20, 30])
    drawn.SetDirection([0, 1, 0, -1, 0, 0, 0, 0, 1])
    sitk.WriteImage(drawn, tmp_path / "a.nii")
    volume = open_nifti(tmp_path / "a.nii")
    assert (np.stack([*volume.slices()]) == sitk.GetArrayFromImage(drawn)).all()
    assert volume.info.geometry.spacing == pytest.approx(drawn.GetSpacing())
    corner = volume.info.geometry.affine @ [8, 0, 4, 1]
    assert corner[:3] * [-1, -1, 1] == pytest.approx(drawn.TransformIndexToPhysicalPoint([8, 0, 4]), abs=1e-4)


def test_extensions_and_what_follows_the_voxels_are_kept(tmp_path):
    image = nibabel.Nifti1Image(np.ones((2, 2, 2), "i2"), np.eye(4))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"a note"))
    nibabel.save(image, tmp_path / "a.nii")
    with (tmp_path / "a.nii").open("ab") as file:
        file.write(b"more")
    assert written_again(open_nifti(tmp_path / "a.nii"), tmp_path / "again", write_nifti).exact
    again = (tmp_path / "again").read_bytes()
    assert again == (tmp_path / "a.nii").read_bytes()
    assert b"a note" in again
    assert again.endswith(b"more")
    assert open_nifti(tmp_path / "a.nii").info.remarks == ("4 B follow the voxels and are kept.",)


def test_nan_and_infinity_are_voxels_as_any_other(tmp_path):
    voxels = np.array([np.nan, np.inf, -np.inf, -0.0], "f4").reshape(2, 2, 1)
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / "a.nii.gz")
    assert same_bits(np.stack([*open_nifti(tmp_path / "a.nii.gz").slices()]), as_slices(voxels))


@pytest.mark.parametrize(("slope", "expected"), [(0, None), (np.nan, None), (2.5, Scaling(2.5, -3.0))])
def test_the_scaling_is_what_nibabel_takes(slope, expected, tmp_path):
    path = small(tmp_path / "a.nii", scl_slope=slope, scl_inter=-3)
    proxy = nibabel.load(path).dataobj
    found = open_nifti(path).info.scaling
    assert found == (expected or Scaling())
    assert (found.slope, found.intercept) == (proxy.slope, proxy.inter)


def test_a_file_without_a_place_has_the_affine_of_nibabel_and_a_remark(tmp_path):
    path = small(tmp_path / "a.nii", sform_code=0, qform_code=0)
    info = open_nifti(path).info
    assert np.array_equal(info.geometry.affine, nibabel.load(path).affine)
    assert "does not say where" in info.remarks[0]


def test_micrometres_become_millimetres(tmp_path):
    info = open_nifti(small(tmp_path / "a.nii", xyzt_units=3)).info
    assert info.geometry.spacing == pytest.approx((0.002, 0.003, 0.004))
    assert np.diag(info.geometry.affine) == pytest.approx([0.002, 0.003, 0.004, 1])


def test_a_single_slice_may_have_a_spacing_of_0(tmp_path):
    path = small(tmp_path / "a.nii", dim=[3, 3, 8, 1, 1, 1, 1, 1], pixdim=[1, 2, 3, 0, 1, 1, 1, 1])
    info = open_nifti(path).info
    assert info.geometry.spacing == (2, 3, 1)
    assert "The one voxel along z has a spacing of 0 mm" in info.remarks[0]


@pytest.mark.parametrize("kept", [8, 200, 347])
def test_a_file_that_ends_in_its_header_is_no_analyze(kept, tmp_path):
    path = small(tmp_path / "a.nii")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(VolumeReadError, match=f"within its NIfTI header, after {kept} of 348 bytes; get an"):
        open_volume_source(path)


def test_axes_of_1_after_the_fourth_are_no_axes(tmp_path):
    path = small(tmp_path / "a.nii", dim=[6, 3, 4, 1, 2, 1, 1, 1])
    assert open_nifti(path).info.shape == (3, 4, 1, 2)


WRONG = {
    "zero spacing": ({"pixdim": [1, 2, 0, 4, 1, 1, 1, 1]}, VolumeReadError, "spacing along y is 0 mm"),
    "negative spacing": ({"pixdim": [1, 2, 3, -4, 1, 1, 1, 1]}, VolumeReadError, "spacing along z is -4 mm"),
    "NaN spacing": ({"pixdim": [1, np.nan, 3, 4, 1, 1, 1, 1]}, VolumeReadError, "spacing along x is nan mm"),
    "too many voxels": (
        {"dim": [3, 3, 4, 3, 1, 1, 1, 1]},
        VolumeReadError,
        "cannot hold the 3 x 4 x 3 voxels",
    ),
    "a lie of terabytes": ({"dim": [4, 32767, 32767, 32767, 9, 1, 1, 1]}, VolumeReadError, "cannot hold"),
    "no axes": ({"dim": [0, 3, 4, 2, 1, 1, 1, 1]}, VolumeReadError, "states 0 axes"),
    "a negative axis": ({"dim": [3, 3, -4, 2, 1, 1, 1, 1]}, VolumeReadError, "3 x -4 x 2"),
    "5D": ({"dim": [5, 1, 2, 2, 2, 3, 1, 1]}, UnsupportedVolumeError, "has 5 axes, 1 x 2 x 2 x 2 x 3"),
    "1D": ({"dim": [1, 24, 1, 1, 1, 1, 1, 1]}, UnsupportedVolumeError, "has 1 axes"),
    "RGB": ({"datatype": 128}, UnsupportedVolumeError, "its voxels are RGB"),
    "complex": ({"datatype": 32}, UnsupportedVolumeError, "its voxels are complex numbers"),
    "128 bits": ({"datatype": 1536}, UnsupportedVolumeError, "floats of 128 bits"),
    "unknown datatype": ({"datatype": 77}, UnsupportedVolumeError, "NIfTI's datatype 77"),
    "voxels in the header": ({"vox_offset": 16}, VolumeReadError, "first voxel at byte 16, expected 352"),
    "voxels nowhere": ({"vox_offset": np.nan}, VolumeReadError, "first voxel at byte nan"),
    "half of a pair": ({"magic": b"ni1"}, UnsupportedVolumeError, "one of a pair of files"),
    "Analyze": ({"magic": b""}, UnsupportedVolumeError, "Analyze 7.5"),
    "no rotation": ({"sform_code": 0, "qform_code": 1, "quatern_b": 2}, VolumeReadError, "no rotation"),
    "NaN affine": ({"srow_x": [np.nan] * 4}, VolumeReadError, "affine holds NaN"),
    "NaN intercept": ({"scl_slope": 1, "scl_inter": np.nan}, VolumeReadError, "scl_inter is nan"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_header_is_refused_in_one_line(name, tmp_path):
    fields, error, message = WRONG[name]
    path = small(tmp_path / "a.nii", **fields)
    with pytest.raises(error) as caught:
        open_volume_source(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_header_that_states_too_little_is_refused(tmp_path):
    path = small(tmp_path / "a.nii")
    with path.open("ab") as file:
        file.write(bytes(2 << 20))
    with pytest.raises(VolumeReadError, match="goes on long after"):
        open_nifti(path)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(VolumeReadError, match="goes on long after"):
        [*open_nifti(tmp_path / "a.nii.gz").slices()]


def test_a_small_gzip_file_cannot_state_terabytes(tmp_path):
    path = small(tmp_path / "a.nii", dim=[4, 32767, 32767, 32767, 9, 1, 1, 1])
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(VolumeReadError, match="cannot hold"):
        open_nifti(path)


def _cut(data):
    return data[:-20]


def _crc(data):
    return data[:-8] + bytes(4) + data[-4:]


def _length(data):
    return data[:-4] + struct.pack("<I", 7)


def _junk(data):
    return data + b"junk"


def _flipped(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]


GZIP_DAMAGES = {
    _cut: "ends in the middle of a gzip member",
    _crc: "incorrect data check",
    _length: "incorrect length check",
    _junk: "expected the end of the file",
    _flipped: "damaged gzip data|ends",
}


@pytest.mark.parametrize("damage", GZIP_DAMAGES)
def test_a_damaged_gzip_file_is_refused_with_the_place(damage, tmp_path):
    path = tmp_path / "a.nii.gz"
    drawn_nifti(np.random.default_rng(1), path, "i2", (70, 70, 20))
    path.write_bytes(damage(path.read_bytes()))
    for read in (lambda volume: [*volume.slices()], lambda volume: volume.frame()):
        with pytest.raises(VolumeReadError, match=GZIP_DAMAGES[damage]) as caught:
            read(open_nifti(path))
        assert re.match(f"{path}: (after )?byte [0-9]", str(caught.value))
        assert "get another copy" in str(caught.value)


def test_a_gzip_file_with_too_few_voxels_names_the_slice(tmp_path):
    path = small(tmp_path / "a.nii")
    path.write_bytes(gzip.compress(path.read_bytes()[:-10]))
    with pytest.raises(VolumeReadError, match=r"slice 1: the voxels end after 38 B, expected 3 x 4 x 2"):
        [*open_nifti(path).slices()]


def test_a_file_that_changes_is_refused(tmp_path):
    path = small(tmp_path / "a.nii")
    volume = open_nifti(path)
    path.write_bytes(path.read_bytes() + b"1")
    for read in (lambda: [*volume.slices()], volume.frame, lambda: volume.read_slice(0)):
        with pytest.raises(VolumeReadError, match="changed since it was opened"):
            read()


def test_other_voxels_are_written_and_said_not_to_be_the_source(tmp_path):
    volume = open_nifti(small(tmp_path / "a.nii"))
    info = volume.info
    found = write_nifti(
        volume.frame(), (each + 1 for each in volume.slices()), info.shape, info.dtype, tmp_path / "b.nii"
    )
    assert not found.exact
    assert "not those of the source" in found.note
    assert (np.asarray(nibabel.load(tmp_path / "b.nii").dataobj) == np.arange(1, 25).reshape(3, 4, 2)).all()


def test_slices_that_do_not_fit_the_header_leave_nothing(tmp_path):
    volume = open_nifti(small(tmp_path / "a.nii"))
    frame, shape, dtype, target = volume.frame(), (3, 4, 2), np.dtype("i2"), tmp_path / "b.nii"
    slices = [*volume.slices()]
    for given in (slices[:1], [*slices, slices[0]], [each.T for each in slices]):
        with pytest.raises(SlideWriteError, match="expected 2 of 4 x 3"):
            write_nifti(frame, given, shape, dtype, target)
    with pytest.raises(SlideWriteError, match="do not fit the header of 3 x 4 x 2 voxels of int16"):
        write_nifti(frame, slices, shape, np.dtype("f4"), target)
    assert [*tmp_path.iterdir()] == [tmp_path / "a.nii"]
    target.write_bytes(b"mine")
    with pytest.raises(TargetExistsError):
        write_nifti(frame, slices, shape, dtype, target)
    assert target.read_bytes() == b"mine"


_MEASURED = """
import resource, sys
from pathlib import Path
from wsicomp.volumes.formats.nifti import open_nifti, write_nifti
volume = open_nifti(Path(sys.argv[1]))
info = volume.info
assert write_nifti(volume.frame(), volume.slices(), info.shape, info.dtype, Path(sys.argv[2])).exact
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


def _peak_mib(path, again):
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, path, again], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def _zeros(path, slices):
    """Write a gzipped volume of 1 MiB a slice, most of it zeros."""
    header = nibabel.Nifti1Header()
    header.set_data_shape((1024, 512, slices))
    header.set_data_dtype("i2")
    header["vox_offset"] = 352
    packing = zlib.compressobj(6, wbits=31)
    with path.open("wb") as file:
        file.write(packing.compress(header.binaryblock + bytes(4)))
        for number in range(slices):
            file.write(packing.compress(bytes([number % 251]) * 4096 + bytes((1 << 20) - 4096)))
        file.write(packing.flush())


def test_memory_does_not_grow_with_the_volume(tmp_path):
    peaks = []
    for slices in (2, 42):
        _zeros(tmp_path / f"{slices}.nii.gz", slices)
        peaks.append(_peak_mib(tmp_path / f"{slices}.nii.gz", tmp_path / f"{slices}.again"))
    assert peaks[1] - peaks[0] < 20


@pytest.mark.slow
def test_2_gb_take_less_than_600_mb(tmp_path):
    _zeros(tmp_path / "a.nii.gz", 2048)
    assert _peak_mib(tmp_path / "a.nii.gz", tmp_path / "again") < 400
