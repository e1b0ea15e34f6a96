"""200 random volumes, every lossless codec: nibabel and pynrrd find in the restored file what was drawn."""

import gzip
from contextlib import closing

import nibabel
import nrrd
import numpy as np
import pytest

from tests.conftest import slow_unless, trial_size
from tests.volumes.drawn_files import as_slices, drawn_affine, drawn_array, same_bits
from wsicomp.errors import ConfigError
from wsicomp.volumes.compress import compress_volume
from wsicomp.volumes.compressed_volume import CompressedVolume
from wsicomp.volumes.config import VolumeConfig
from wsicomp.volumes.restore import restore_volume
from wsicomp.volumes.verify import verify_volume

CODECS = ("jpegxl", "jpegls", "jpeg2000", "htj2k", "hevc", "ffv1", "zstd", "bz2")
UP_TO_12_BITS = ("hevc",)
DTYPES = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")
SPACES = {"right-anterior-superior": (1, 1, 1), "left-posterior-superior": (-1, -1, 1)}


def drawn_shape(rng):
    """2 to 4 axes; any of them may have one voxel."""
    sides = [int(rng.integers(1, most)) for most in (40, 34, 9, 4)]
    shape = [1 if rng.random() < 0.15 else side for side in sides[: rng.choice([2, 3, 3, 3, 4])]]
    return tuple(shape)


def drawn_values(rng, dtype, shape):
    """Any bits, few values, a narrow range with air around it, or one value."""
    dtype = np.dtype(dtype)
    style = rng.choice(["bits", "few", "narrow", "one"], p=[0.35, 0.2, 0.35, 0.1])
    if style == "bits":
        return drawn_array(rng, dtype, shape)
    if style == "one":
        return np.full(shape, rng.integers(0, 100), dtype, order="F")
    if style == "few":
        return np.asfortranarray(rng.choice(drawn_array(rng, dtype, (5, 1)).ravel(), shape))
    wide = 100 if dtype.itemsize == 1 else 1900
    values = np.abs(rng.normal(0, wide / 6, shape)).clip(0, wide).astype(dtype)
    outside = np.nan if dtype.kind == "f" else 0
    values[rng.random(shape) < 0.3] = outside
    return np.asfortranarray(values)


def write_nrrd_file(rng, path, voxels, order):
    """Write with pynrrd, plain, gzipped or bzipped, with a header in its own file at times."""
    encoding = str(rng.choice(["raw", "gzip", "bzip2"]))
    swapped = voxels.astype(voxels.dtype.newbyteorder(order))
    header = {"encoding": encoding, "endian": "little" if order == "<" else "big", "a key": "its value"}
    if voxels.ndim == 3 and rng.random() < 0.8:
        affine = drawn_affine(rng)
        header |= {"space": str(rng.choice([*SPACES])), "space directions": affine[:3, :3].T}
        header |= {"space origin": affine[:3, 3]}
    path = path.with_suffix(".nhdr" if rng.random() < 0.3 else ".nrrd")
    nrrd.write(str(path), swapped, header, detached_header=path.suffix == ".nhdr")
    return path


def drawn_file(seed, folder):
    """Write the volume of a seed; return its path and its voxels in Fortran's order."""
    rng = np.random.default_rng([26, seed])
    shape, dtype, order = drawn_shape(rng), str(rng.choice(DTYPES)), str(rng.choice(["<", ">"]))
    voxels = drawn_values(rng, dtype, shape)
    path = folder / "drawn.nii"
    if rng.random() < 0.4:
        return write_nrrd_file(rng, path, voxels, order), voxels
    kind = nibabel.Nifti2Image if rng.random() < 0.3 else nibabel.Nifti1Image
    header = kind.header_class(endianness=order)
    image = kind(voxels, drawn_affine(rng) if rng.random() < 0.8 else None, header)
    image.header.set_data_dtype(voxels.dtype)
    if voxels.dtype.kind in "iu" and rng.random() < 0.3:
        image.header.set_slope_inter(1.5, -1024)
    nibabel.save(image, path)
    if rng.random() < 0.5:
        path = path.with_suffix(".nii.gz")
        packed = gzip.compress((folder / "drawn.nii").read_bytes(), int(rng.integers(1, 10)))
        path.write_bytes(packed)
        (folder / "drawn.nii").unlink()
    return path, voxels


def by_others(path):
    """The stored voxels and the place, as nibabel or pynrrd have them."""
    if path.suffix in (".nrrd", ".nhdr"):
        voxels, header = nrrd.read(str(path))
        return voxels, [np.asarray(header.get(name, ())) for name in ("space directions", "space origin")]
    image = nibabel.load(path)
    stored = image.dataobj.get_unscaled()
    return stored, [image.affine, image.header.get_slope_inter()]


@pytest.mark.parametrize("seed", slow_unless(lambda seed: seed < 12, range(200)))
def test_a_random_volume_comes_back_byte_for_byte_from_every_codec(seed, tmp_path):
    source, drawn = drawn_file(seed, tmp_path)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    voxels, place = by_others(source)
    assert same_bits(as_slices(voxels).astype(drawn.dtype), as_slices(drawn))
    done, refused = [], {}
    for number in range(trial_size(3, full=len(CODECS))):
        codec = CODECS[(seed + 3 * number) % len(CODECS)]
        target = tmp_path / f"{codec}.wsiv"
        try:
            compress_volume(source, target, VolumeConfig(codec=codec, lossless=True))
        except ConfigError as exc:
            refused[codec] = str(exc)
            continue
        with closing(CompressedVolume(target)) as volume:
            assert same_bits(np.stack(list(volume.slices())), as_slices(drawn))
        assert verify_volume(target, source).problems == ()
        again = tmp_path / codec / source.name
        again.parent.mkdir()
        assert restore_volume(target, again, exact=True).exact
        assert {path.name: path.read_bytes() for path in again.parent.iterdir()} == files
        found, found_place = by_others(again)
        assert same_bits(as_slices(found).astype(drawn.dtype), as_slices(drawn))
        assert all(map(np.array_equal, found_place, place))
        done.append(codec)
    assert done
    assert all(codec in UP_TO_12_BITS and "up to 12 bits" in told for codec, told in refused.items())
