"""NRRD files are read as pynrrd and SimpleITK read them, and written again byte for byte."""

import bz2
import gzip

import nrrd
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does
from nrrd import reader

from tests.volumes.drawn_files import (
    DTYPES,
    SHAPES,
    as_slices,
    drawn_affine,
    drawn_array,
    real_files,
    same_bits,
    written_again,
)
from wsicomp.errors import TargetExistsError, UnsupportedVolumeError, VolumeReadError
from wsicomp.volumes.formats import nrrd as ours
from wsicomp.volumes.formats.nrrd import open_nrrd, write_nrrd
from wsicomp.volumes.formats.opening import open_volume_source

ENCODINGS = ["raw", "gzip", "bzip2", "ascii"]
CASES = [
    (dtype, shape, ENCODINGS[(number + len(shape) + shape[0]) % 4])
    for number, dtype in enumerate(dtype for dtype in DTYPES if dtype != "f2")
    for shape in SHAPES
]


def small(path, **fields):
    """Write 3 x 4 x 2 voxels of int16, plain, with fields of the header changed or left out."""
    header = {"type": "short", "dimension": "3", "sizes": "3 4 2", "endian": "little", "encoding": "raw"}
    header |= {"space": "LPS", "space directions": "(2,0,0) (0,3,0) (0,0,4)", "space origin": "(1,2,3)"}
    header |= {name.replace("_", " "): value for name, value in fields.items()}
    text = "".join(f"{name}: {value}\n" for name, value in header.items() if value is not None)
    path.write_bytes(f"NRRD0004\n{text}\n".encode() + np.arange(24, dtype="<i2").tobytes())
    return path


def affine_of(image):
    """The affine of an image of SimpleITK's, to right, anterior, superior."""
    found = np.eye(4)
    found[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    found[:3, 3] = image.GetOrigin()
    return np.diag([-1, -1, 1, 1]) @ found


def test_our_names_of_types_are_those_of_pynrrd():
    theirs = {name: dtype for name, dtype in reader._TYPEMAP_NRRD2NUMPY.items() if dtype != "V"}
    assert theirs == ours._DTYPES


@pytest.mark.parametrize("path", [p for p in real_files() if p.suffix == ".nrrd"], ids=lambda path: path.name)
def test_a_real_file_is_what_simpleitk_reads_and_is_written_again(path, tmp_path):
    volume = open_nrrd(path)
    image = sitk.ReadImage(path)
    assert same_bits(np.stack([*volume.slices()]), sitk.GetArrayFromImage(image))
    assert volume.info.geometry.spacing == pytest.approx(image.GetSpacing())
    assert volume.info.geometry.affine == pytest.approx(affine_of(image))
    if path.name != "lung1_image.nrrd":  # large, and made as the others are
        assert written_again(volume, tmp_path / "again.nrrd", write_nrrd).exact
        assert (tmp_path / "again.nrrd").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(("dtype", "shape", "encoding"), CASES)
def test_a_drawn_file_is_read_as_pynrrd_wrote_it(dtype, shape, encoding, tmp_path):
    rng = np.random.default_rng([ord(dtype[0]), int(dtype[1]), *shape])
    voxels = drawn_array(rng, dtype, shape).astype(np.dtype(dtype).newbyteorder(rng.choice(["<", ">"])))
    if encoding == "ascii":
        voxels = np.clip(np.nan_to_num(voxels), -(2**53), 2**53).astype(
            voxels.dtype
        )  # more digits than pynrrd writes
    path = tmp_path / "a.nrrd"
    header = {"encoding": encoding}
    affine = drawn_affine(rng)
    if len(shape) == 3:
        header |= {"space": "RAS", "space directions": affine[:3, :3].T, "space origin": affine[:3, 3]}
    nrrd.write(str(path), voxels, header, compression_level=int(rng.integers(1, 10)))
    volume = open_nrrd(path)
    found = [*volume.slices()]
    theirs, _ = nrrd.read(str(path))
    assert same_bits(np.stack(found), as_slices(theirs))
    assert volume.info.dtype.str[1:] == dtype
    if len(shape) == 3:
        assert volume.info.geometry.affine == pytest.approx(affine)
        assert volume.info.geometry.spacing == pytest.approx(np.linalg.norm(affine[:3, :3], axis=0))
    for number in rng.permutation(len(found)):
        assert same_bits(volume.read_slice(int(number)), found[number])
    volume.close()
    assert written_again(volume, tmp_path / "again", write_nrrd).exact
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_file_of_simpleitk_is_read_with_its_place(is_compressed, tmp_path):
    drawn = sitk.GaussianSource(sitk.sitkInt16, [9, 7, 5], mean=[4, 3, 2], sigma=[2] * 3, scale=200)
    drawn.SetSpacing([0.5, 2, 3.25])
    drawn.SetOrigin([-10, 20, 30])
    drawn.SetDirection([0, 1, 0, -1, 0, 0, 0, 0, 1])
    sitk.WriteImage(drawn, tmp_path / "a.nrrd", useCompression=is_compressed)
    volume = open_nrrd(tmp_path / "a.nrrd")
    assert (np.stack([*volume.slices()]) == sitk.GetArrayFromImage(drawn)).all()
    assert volume.info.geometry.spacing == pytest.approx(drawn.GetSpacing())
    assert volume.info.geometry.affine == pytest.approx(affine_of(drawn))


@pytest.mark.parametrize(
    "space", ["right-anterior-superior", "left-anterior-superior", "left-posterior-superior"]
)
def test_every_space_of_a_patient_is_turned_as_simpleitk_turns_it(space, tmp_path):
    path = small(tmp_path / "a.nrrd", space=space)
    assert open_nrrd(path).info.geometry.affine == pytest.approx(affine_of(sitk.ReadImage(path)))


def test_a_space_of_a_scanner_has_spacing_and_no_place(tmp_path):
    info = open_nrrd(small(tmp_path / "a.nrrd", space="scanner-xyz")).info
    assert info.geometry.spacing == (2, 3, 4)
    assert info.geometry.affine is None
    assert "does not say where" in info.remarks[0]


def test_spacings_alone_are_spacing_and_nan_is_none(tmp_path):
    none = {"space": None, "space_directions": None, "space_origin": None}
    assert open_nrrd(small(tmp_path / "a.nrrd", **none, spacings="1 2 5")).info.geometry.spacing == (1, 2, 5)
    assert open_nrrd(small(tmp_path / "a.nrrd", **none, spacings="1 2 NaN")).info.geometry.spacing is None
    assert open_nrrd(small(tmp_path / "a.nrrd", **none)).info.geometry.spacing is None


def test_a_single_slice_may_have_a_spacing_of_0(tmp_path):
    fields = {"sizes": "3 8 1", "space_directions": "(2,0,0) (0,3,0) (0,0,0)"}
    info = open_nrrd(small(tmp_path / "a.nrrd", **fields)).info
    assert info.geometry.spacing == (2, 3, 1)
    assert "The one voxel along z has a spacing of 0 mm" in info.remarks[0]


@pytest.mark.parametrize("kind", ["time", "list", "vector"])
def test_a_fourth_axis_of_any_kind_is_taken(tmp_path, kind):
    fields = {"dimension": "4", "sizes": "3 4 1 2", "space_directions": "(2,0,0) (0,3,0) (0,0,4) none"}
    info = open_nrrd(small(tmp_path / "a.nrrd", **fields, kinds=f"domain domain domain {kind}")).info
    assert info.shape == (3, 4, 1, 2)
    assert info.geometry.spacing == (2, 3, 4)


@pytest.mark.parametrize(("skip", "before"), [("5", b"12345"), ("-1", b"any number of bytes")])
def test_bytes_that_the_header_skips_are_kept(skip, before, tmp_path):
    path = small(tmp_path / "a.nrrd", byte_skip=skip)
    header, _, voxels = path.read_bytes().partition(b"\n\n")
    path.write_bytes(header + b"\n\n" + before + voxels)
    volume = open_nrrd(path)
    assert (np.stack([*volume.slices()]) == as_slices(nrrd.read(str(path))[0])).all()
    assert written_again(volume, tmp_path / "again", write_nrrd).exact
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_lines_that_the_header_skips_come_before_its_encoding(tmp_path):
    path = small(tmp_path / "a.nrrd", line_skip="2", encoding="gzip")
    header, _, voxels = path.read_bytes().partition(b"\n\n")
    path.write_bytes(header + b"\n\none\ntwo\n" + gzip.compress(voxels))
    volume = open_nrrd(path)
    assert (np.stack([*volume.slices()]) == as_slices(nrrd.read(str(path))[0])).all()
    assert written_again(volume, tmp_path / "again", write_nrrd).exact


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_header_in_a_file_of_its_own_is_written_with_its_voxels(encoding, tmp_path):
    voxels = drawn_array(np.random.default_rng(3), "u1", (6, 5, 4))
    nrrd.write(str(tmp_path / "a.nhdr"), voxels, {"encoding": encoding}, detached_header=True)
    volume = open_volume_source(tmp_path / "a.nhdr")
    assert same_bits(np.stack([*volume.slices()]), as_slices(voxels))
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(files) == 2
    assert volume.info.bytes == sum(map(len, files.values()))
    (tmp_path / "again").mkdir()
    assert written_again(volume, tmp_path / "again/a.nhdr", write_nrrd).exact
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == files
    (tmp_path / "again/a.nhdr").unlink()
    with pytest.raises(TargetExistsError):  # its voxels are there still
        written_again(volume, tmp_path / "again/a.nhdr", write_nrrd)
    assert len([*(tmp_path / "again").iterdir()]) == 1


@pytest.mark.parametrize("name", ["../a.raw", "/etc/passwd", "sub/a.raw", "LIST", "a%03d.raw 1 5 1"])
def test_voxels_elsewhere_or_in_several_files_are_refused(name, tmp_path):
    with pytest.raises(UnsupportedVolumeError, match=r"another folder|several files"):
        open_nrrd(small(tmp_path / "a.nhdr", data_file=name))


def test_a_list_of_files_is_refused_as_such(tmp_path):
    path = small(tmp_path / "a.nhdr")
    path.write_bytes(path.read_bytes().partition(b"\n\n")[0] + b"\ndata file: LIST\na.raw\nb.raw\n")
    with pytest.raises(UnsupportedVolumeError, match="in several files; save it as one"):
        open_nrrd(path)


def test_a_link_is_not_followed_and_a_missing_file_is_named(tmp_path):
    path = small(tmp_path / "a.nhdr", data_file="a.raw")
    with pytest.raises(VolumeReadError, match=r"a.raw: no such file; a.nhdr has its voxels there"):
        open_nrrd(path)
    (tmp_path / "a.raw").symlink_to(path)
    with pytest.raises(UnsupportedVolumeError, match="a link"):
        open_nrrd(path)


WRONG = {
    "zero spacing": ({"space_directions": "(2,0,0) (0,0,0) (0,0,4)"}, VolumeReadError, "along y is 0 mm"),
    "negative spacing": (
        {"space": None, "space_directions": None, "space_origin": None, "spacings": "1 -2 3"},
        VolumeReadError,
        "along y is -2 mm",
    ),
    "too many voxels": ({"sizes": "3 4 3"}, VolumeReadError, "cannot hold the 3 x 4 x 3 voxels of int16"),
    "a lie": ({"sizes": "99999999999 99999999999 99999"}, VolumeReadError, "cannot hold"),
    "more digits than any number": ({"sizes": f"{'9' * 40} 4 2"}, VolumeReadError, "header"),
    "no such axis": ({"dimension": "4"}, VolumeReadError, "states 4 axes of 3 x 4 x 2"),
    "a size of 0": ({"sizes": "3 0 2"}, VolumeReadError, "3 axes of 3 x 0 x 2"),
    "5 axes": ({"dimension": "5", "sizes": "3 2 2 1 2"}, UnsupportedVolumeError, "has 5 axes"),
    "1 axis": ({"dimension": "1", "sizes": "24"}, UnsupportedVolumeError, "has 1 axes"),
    "colour": ({"kinds": "RGB-color domain domain"}, UnsupportedVolumeError, "an axis of 'RGB-color'"),
    "vectors": ({"kinds": "vector domain domain"}, UnsupportedVolumeError, "an axis of 'vector'"),
    "none": ({"space_directions": "none (0,3,0) (0,0,4)"}, UnsupportedVolumeError, "an axis of 'none'"),
    "blocks": ({"type": "block"}, UnsupportedVolumeError, "type 'block'"),
    "no type": ({"type": None}, VolumeReadError, "does not state its type"),
    "no sizes": ({"sizes": None}, VolumeReadError, "does not state its sizes"),
    "no endian": ({"endian": None}, VolumeReadError, "does not state its endian"),
    "another endian": ({"endian": "middle"}, VolumeReadError, "endian is 'middle'"),
    "no encoding": ({"encoding": None}, VolumeReadError, "does not state its encoding"),
    "hex": ({"encoding": "hex"}, UnsupportedVolumeError, "its encoding is 'hex'; raw, gzip"),
    "a skip within gzip": (
        {"encoding": "gzip", "byte_skip": "9"},
        UnsupportedVolumeError,
        "0 lines and 9 bytes",
    ),
    "a skip to nowhere": ({"byte_skip": "99"}, VolumeReadError, "would begin at byte"),
    "skipped lines": ({"line_skip": "-3"}, UnsupportedVolumeError, "skips -3 lines"),
    "no number": ({"sizes": "3 four 2"}, VolumeReadError, "cannot be parsed"),
    "words": ({"space_directions": "(2,0,0) (0,3,0) (0,x,4)"}, VolumeReadError, "cannot be parsed"),
    "two directions": ({"space_directions": "(2,0,0) (0,3,0)"}, VolumeReadError, "do not fit its axes"),
    "text": ({"encoding": "ascii"}, VolumeReadError, "is no int16"),
    "gzip": ({"encoding": "gzip"}, VolumeReadError, "expected a gzip member"),
    "bzip2": ({"encoding": "bzip2"}, VolumeReadError, "damaged bzip2 data"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_refused_in_one_line(name, tmp_path):
    fields, error, message = WRONG[name]
    path = small(tmp_path / "a.nrrd", **fields)
    with pytest.raises(error) as caught:
        [*open_volume_source(path).slices()]
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [b"sizes: 3 4 2\n", b"no colon\n", b'labels: "\n', b"space origin: 1\n", b"dimension: x\n", b"kinds:\n"],
)
def test_a_line_that_pynrrd_cannot_parse_is_no_crash(line, tmp_path):
    path = small(tmp_path / "a.nrrd")
    path.write_bytes(path.read_bytes().replace(b"\n\n", b"\n" + line + b"\n", 1))
    try:
        open_nrrd(path)
    except VolumeReadError as error:
        assert "\n" not in str(error)  # noqa: PT017 - some of these pynrrd does parse


@pytest.mark.parametrize("version", [b"NRRD0006", b"NRRD000x", b"NRRD0005\n" + b"# long" * (12 << 20)])
def test_another_version_or_an_endless_header_is_refused(version, tmp_path):
    (tmp_path / "a.nrrd").write_bytes(version + b"\n\n")
    with pytest.raises(VolumeReadError, match="header"):
        open_nrrd(tmp_path / "a.nrrd")


def test_damaged_bzip2_data_are_refused_with_the_place(tmp_path):
    path = small(tmp_path / "a.nrrd", encoding="bzip2")
    header = path.read_bytes()[:-48]
    packed = bz2.compress(bytes(48))
    for data, message in (
        (packed[:-3], "ends in the middle of the bzip2 data"),
        (packed + b"more", "expected the end of the file"),
        (packed[:10] + b"\xff" + packed[11:], "damaged bzip2 data"),
    ):
        path.write_bytes(header + data)
        with pytest.raises(VolumeReadError, match=message) as caught:
            [*open_nrrd(path).slices()]
        assert f"{path}: byte " in str(caught.value)


def test_text_is_refused_with_the_voxel(tmp_path):
    path = small(tmp_path / "a.nrrd", encoding="ascii")
    header = path.read_bytes()[:-48]
    numbers = list(range(24))
    for wrong in ("x", 40000, "1.5", "9" * 2000):
        path.write_bytes(header + " ".join(map(str, [*numbers[:5], wrong, *numbers[6:]])).encode())
        with pytest.raises(VolumeReadError, match=r"voxel 5: '.+' is no int16"):
            [*open_nrrd(path).slices()]
    for numbers, message in ((range(23), "the voxels end after"), (range(25), "goes on long after")):
        path.write_bytes(header + " ".join(map(str, numbers)).encode())
        with pytest.raises(VolumeReadError, match=message):
            [*open_nrrd(path).slices()]


def test_text_spelled_in_another_way_is_said_not_to_be_the_source(tmp_path):
    path = small(tmp_path / "a.nrrd", encoding="ascii")
    path.write_bytes(path.read_bytes()[:-48] + b"+1 " * 24)
    found = written_again(open_nrrd(path), tmp_path / "again", write_nrrd)
    assert not found.exact
    assert "spelled in another way" in found.note
    assert (nrrd.read(str(tmp_path / "again"))[0] == 1).all()
