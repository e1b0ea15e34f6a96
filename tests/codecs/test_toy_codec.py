"""A codec that one module declares, and one line of the registry names, is a codec everywhere."""

import json

import pytest

from tests.command_line import command_process
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticSlide, write_slide

pytestmark = pytest.mark.gate

_REGISTERED = """
from wsicomp.codecs.registry import MODULES
MODULES.append("tests.toy_codec")
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("toy") / "slide.svs"
    write_slide(path, SyntheticSlide(Size(1024, 768), seed=3))
    return path


@pytest.fixture(scope="module")
def wsicomp():
    """What runs a command line where the codec is registered."""
    with command_process(_REGISTERED) as run:
        yield run


def test_it_converts_and_verifies(wsicomp, source, tmp_path):
    target = tmp_path / "a.tiff"
    done = wsicomp("convert", source, target, "--codec", "toy", "--steps", 4, "--segmenter", "threshold")
    assert (done.returncode, done.stderr) == (0, "")
    assert "FAST" in done.stdout
    assert "NOT in" in done.stdout
    verified = wsicomp("verify", target, "--against", source)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    info = json.loads(wsicomp("info", target, "--json").stdout)
    assert "toy tiles" in json.dumps(info)


def test_an_alias_stands_for_it_with_its_options(wsicomp, source, tmp_path):
    options = ("--segmenter", "threshold", "--glass", "keep", "--json", "-")
    alias = wsicomp("convert", source, tmp_path / "a.tiff", "--codec", "toy-coarse", *options)
    whole = wsicomp("convert", source, tmp_path / "b.tiff", "--codec", "toy", "--steps", 16, *options)
    assert json.loads(alias.stdout)["target_bytes"] == json.loads(whole.stdout)["target_bytes"]
    wrong = wsicomp("convert", source, tmp_path / "c.tiff", "--codec", "toy-coarse", "--steps", 2)
    assert (wrong.returncode, "toy-coarse" in wrong.stderr or "steps" in wrong.stderr) == (2, True)


def test_its_options_are_held_to_their_range_and_others_do_not_take_them(wsicomp, source, tmp_path):
    beyond = wsicomp("convert", source, tmp_path / "a.tiff", "--codec", "toy", "--steps", 65)
    assert (beyond.returncode, "steps is 65, expected 1 to 64" in beyond.stderr) == (2, True)
    of_other = wsicomp("convert", source, tmp_path / "a.tiff", "--codec", "jpeg", "--steps", 2)
    assert (of_other.returncode, "codec jpeg takes no --steps" in of_other.stderr) == (2, True)


def test_help_shows_it(wsicomp):
    assert "toy-coarse" in wsicomp("codecs").stdout
    shown = " ".join(wsicomp("convert", "--help-all").stdout.split())
    assert "of toy: grey levels in a step (1 to 64" in shown


def test_it_is_compared_at_settings_and_at_a_quality(wsicomp, source, tmp_path):
    out = tmp_path / "out"
    options = ("--glass", "white", "--sample", "tiles:20", "--segmenter", "threshold", "--target-ssim", 0.9)
    done = wsicomp("compare", source, "--out", out, "--codecs", "toy:4,jpeg:90", *options)
    assert done.returncode == 0, done.stderr
    assert "toy:4" in done.stdout
    landed = json.loads((out / "results.json").read_text())["slides"][0]["landings"]
    assert {landing["codec"] for landing in landed} == {"toy", "jpeg"}


def test_names_are_taken_out_of_its_tiles(wsicomp, source, tmp_path):
    target, again = tmp_path / "a.tiff", tmp_path / "b.tiff"
    options = ("--codec", "toy", "--glass", "keep", "--segmenter", "threshold")
    assert wsicomp("convert", source, target, *options).returncode == 0
    done = wsicomp("convert", target, again, "--codec", "copy", "--glass", "keep", "--deidentify")
    assert done.returncode == 0, done.stderr
    assert wsicomp("verify", again, "--against", target).returncode == 0
