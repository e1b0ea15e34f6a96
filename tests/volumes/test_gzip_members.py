"""Gzip members are kept apart, and made again as the programs made them that people use."""

import gzip
import os
import shutil
import struct
import subprocess
import zlib
from contextlib import closing
from itertools import pairwise

import numpy as np
import pytest

from tests.volumes.drawn_files import drawn_nifti
from wsicomp.errors import VolumeReadError
from wsicomp.volumes.formats import gzip_recipes
from wsicomp.volumes.formats.gzip_members import GzipMember, gzip_members
from wsicomp.volumes.formats.gzip_recipes import GzipRecipe, find_gzip_recipe, gzip_maker
from wsicomp.volumes.formats.nifti import open_nifti, write_nifti


def contents(size=300_000):
    """Bytes as a volume of MR has them: smooth, with noise, and empty around."""
    rng = np.random.default_rng(5)
    voxels = (np.cumsum(rng.normal(0, 4, size // 2)) % 500 + rng.normal(0, 3, size // 2)).astype("<i2")
    voxels[: size // 10] = 0
    return voxels.tobytes()


@pytest.fixture
def opened(tmp_path):
    """Return a function that writes a file and returns its descriptor and path."""
    descriptors = []

    def write(data):
        path = tmp_path / "a.gz"
        path.write_bytes(data)
        descriptors.append(os.open(path, os.O_RDONLY))
        return descriptors[-1], path

    yield write
    for descriptor in descriptors:
        os.close(descriptor)


def recipe_of(opened, data, start=0):
    descriptor, path = opened(data)
    return find_gzip_recipe(descriptor, start, path)


@pytest.mark.parametrize("memory", [8, 9])
@pytest.mark.parametrize("level", range(1, 10))
def test_what_zlib_makes_is_made_again_however_it_was_fed(level, memory, opened):
    packing = zlib.compressobj(level, zlib.DEFLATED, 31, memory)
    data, rng = contents(), np.random.default_rng([level, memory])
    cuts = [0, *np.sort(rng.integers(0, len(data), 12)), len(data)]
    made = b"".join(packing.compress(data[a:b]) for a, b in pairwise(cuts)) + packing.flush()
    recipe = recipe_of(opened, made)
    assert recipe is not None
    maker = gzip_maker(recipe)
    assert made[:10] + maker.feed(data) + maker.finish() == made


@pytest.mark.parametrize("program", ["gzip", "pigz"])
@pytest.mark.parametrize("level", [1, 6, 9])
def test_what_a_program_makes_is_made_again(program, level, opened):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    made = subprocess.run(
        [program, "-c", f"-{level}"], input=contents(), stdout=subprocess.PIPE, check=True
    ).stdout
    recipe = recipe_of(opened, made)
    assert recipe is not None
    with closing(gzip_maker(recipe)) as maker:
        assert made[:10] + maker.feed(contents()) + maker.finish() == made


def test_a_program_that_ends_early_makes_nothing_that_fits(tmp_path, opened, monkeypatch):
    (tmp_path / "gzip").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "gzip").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert recipe_of(opened, gzip_by_hand(contents())) is None


def test_a_file_by_a_program_that_is_gone_is_restored_in_its_voxels(tmp_path, monkeypatch):
    drawn_nifti(np.random.default_rng(2), tmp_path / "a.nii", "i2", (60, 50, 20))
    with (tmp_path / "a.nii").open("rb") as file, (tmp_path / "a.nii.gz").open("wb") as target:
        subprocess.run(["gzip", "-c"], stdin=file, stdout=target, check=True)
    volume = open_nifti(tmp_path / "a.nii.gz")
    frame = volume.frame()
    shape, dtype = volume.info.shape, volume.info.dtype
    assert write_nifti(frame, volume.slices(), shape, dtype, tmp_path / "b").exact
    monkeypatch.setenv("PATH", str(tmp_path))
    found = write_nifti(frame, volume.slices(), shape, dtype, tmp_path / "c")
    assert not found.exact
    assert "packed by gzip with level 6, which is not here" in found.note
    assert gzip.decompress((tmp_path / "c").read_bytes()) == (tmp_path / "a.nii").read_bytes()


def gzip_by_hand(data):
    """A member as no program makes it: flushed after each kilobyte."""
    packing = zlib.compressobj(6, wbits=31)
    made = [
        packing.compress(data[at : at + 1000]) + packing.flush(zlib.Z_FULL_FLUSH)
        for at in range(0, len(data), 1000)
    ]
    return b"".join(made) + packing.flush()


def test_what_no_program_makes_has_no_recipe_and_is_said_at_writing(tmp_path):
    drawn_nifti(np.random.default_rng(2), tmp_path / "a.nii", "i2", (60, 50, 20))
    data = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip_by_hand(data))
    volume = open_nifti(tmp_path / "a.nii.gz")
    found = write_nifti(volume.frame(), volume.slices(), volume.info.shape, volume.info.dtype, tmp_path / "b")
    assert not found.exact
    assert "Header and voxels are exact; no program known here" in found.note
    assert gzip.decompress((tmp_path / "b").read_bytes()) == data


def test_headers_are_kept_with_name_time_extra_and_comment(tmp_path, opened):
    header = (
        b"\x1f\x8b\x08\x1c\x01\x02\x03\x04\x00\x07" + struct.pack("<H", 5) + b"extra" + b"a name\0a comment\0"
    )
    body = gzip.compress(contents(), 6, mtime=0)[10:]
    descriptor, path = opened(b"before" + header + body)
    member = GzipMember(descriptor, 6, path)
    assert member.header == header
    assert b"".join(member.contents()) == contents()
    assert member.end == path.stat().st_size
    assert find_gzip_recipe(descriptor, 6, path) == GzipRecipe("zlib", 6)


@pytest.mark.parametrize("level", [1, 6])
def test_several_members_and_padding_are_written_again(level, tmp_path):
    drawn_nifti(np.random.default_rng(2), tmp_path / "a.nii", "i2", (60, 50, 20))
    data = (tmp_path / "a.nii").read_bytes()
    cuts = [0, 100, 100, 70_000, len(data)]
    members = [gzip.compress(data[a:b], level, mtime=b) for a, b in pairwise(cuts)]
    (tmp_path / "a.nii.gz").write_bytes(b"".join(members) + bytes(77))
    volume = open_nifti(tmp_path / "a.nii.gz")
    found = write_nifti(volume.frame(), volume.slices(), volume.info.shape, volume.info.dtype, tmp_path / "b")
    assert found.exact
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a.nii.gz").read_bytes()


@pytest.mark.parametrize(
    "header", [b"\x1f\x8b\x08\x08name without end", b"\x1f\x8b\x08\x04\0\0\0\0\0\0\xff\xff"]
)
def test_a_header_without_end_is_refused(header, opened):
    descriptor, path = opened(header)
    with pytest.raises(VolumeReadError, match="byte 0: the header of a gzip member does not end"):
        GzipMember(descriptor, 0, path)


def test_a_bomb_is_inflated_in_pieces(opened):
    descriptor, path = opened(gzip.compress(bytes(64 << 20), 9))
    member = next(gzip_members(descriptor, 0, path))
    assert max(map(len, member.contents())) <= 1 << 16


def test_few_recipes_are_tried_in_full(opened, monkeypatch):
    fed = []

    class Counting(gzip_recipes._Zlib):
        def feed(self, contents):
            fed.append(len(contents))
            return super().feed(contents)

    monkeypatch.setattr(gzip_recipes, "_Zlib", Counting)
    monkeypatch.setattr(gzip_recipes, "_EARLY", 1 << 19)
    size = 8 << 20
    assert recipe_of(opened, gzip.compress(bytes(size), 6)) == GzipRecipe("zlib", 6)
    assert sum(fed) < 18 * (1 << 20) + 3 * size
