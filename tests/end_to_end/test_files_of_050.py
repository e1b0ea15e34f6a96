"""Files of 0.5.0 open, verify and restore, and nothing of what they say of themselves is lost."""

import json
from contextlib import closing

import pytest
import tifffile

import wsicomp
from tests.paths import FIXTURES
from wsicomp.config import ConversionConfig
from wsicomp.formats.identity import file_sha256
from wsicomp.formats.opening import open_reader
from wsicomp.formats.tiff import xmp
from wsicomp.plan.provenance import Provenance
from wsicomp.progress import no_progress
from wsicomp.verification.verify import verify_slide

FOLDER = FIXTURES / "v050_written"
OPTIONS = json.loads((FOLDER / "options.json").read_text())
NAMES = list(OPTIONS["files"])


def config(name):
    return ConversionConfig.of(**OPTIONS["common"] | OPTIONS["files"][name])


def provenance_text(path):
    with tifffile.TiffFile(path) as tiff:
        return xmp.unwrap(tiff.pages[0].tags[xmp.XMP_TAG].value)


@pytest.mark.parametrize("name", NAMES)
def test_it_opens_and_verifies_against_its_source(name):
    with closing(open_reader(FOLDER / "source.svs")) as source:
        sha256 = file_sha256(FOLDER / "source.svs")
        found = verify_slide(FOLDER / name, source, sha256, 1, no_progress)
    assert found.problems == ()
    assert found.has_provenance


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_what_it_says_of_itself_is_lost(name):
    text = provenance_text(FOLDER / name)
    read, written = json.loads(Provenance.from_text(text).to_text()), json.loads(text)
    later = {"guarded", "renewed"}
    for level, old in zip(read["levels"], written["levels"], strict=True):
        assert old.keys() <= level.keys() <= old.keys() | later
        old |= {name: value for name, value in level.items() if name not in old}
    assert read["plan"]["source"].pop("mtime_ns") is None  # no file of that version states it
    assert not (read["restoration"] or {}).pop("index_bytes", 0)  # nor has one an index
    assert read == written


@pytest.mark.parametrize("name", [name for name in NAMES if "restorable" in name])
def test_it_gives_its_source_back(name, tmp_path):
    wsicomp.restore_slide(FOLDER / name, tmp_path / "back.svs")
    assert (tmp_path / "back.svs").read_bytes() == (FOLDER / "source.svs").read_bytes()


def test_there_is_one_for_each_codec_of_its_time():
    codecs = {config(name).codec.name for name in NAMES}
    assert codecs >= {"auto", "copy", "jpeg", "jpegxl", "jpeg2000", "webp", "none", "bmshj2018-factorized"}
