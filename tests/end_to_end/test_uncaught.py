"""Whatever is met, a command ends in 0, 1 or 2 with one line, and the library raises an error of its own."""

import contextlib
import io
import os
import socket
import subprocess
import sys
import time

import numpy as np
import openslide
import pytest
import tifffile

import wsicomp
from tests.batch import trees
from tests.conftest import each_of
from tests.drawn import fuzzed_bases, hostile, pixels_only
from tests.mutants import limited
from wsicomp import (
    ConversionConfig,
    SlideReadError,
    SlideWriteError,
    WsicompError,
    convert_slide,
    open_slide,
    plan_slide,
    restore_slide,
)
from wsicomp.cli import main
from wsicomp.cli.progress import progress_bars
from wsicomp.comparison import ComparisonOptions, compare_slides

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def run(*arguments):
    """Exit code, and what a command said on either stream."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), limited():
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as exc:
            code = exc.code
    assert "internal error" not in err.getvalue()
    return code, out.getvalue(), err.getvalue()


def refused(*arguments):
    """The one line of a command that refuses."""
    code, _, err = run(*arguments)
    assert code in (1, 2)
    assert err.count("\n") == 1
    return err


KINDS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 17, 18)
CODES = (256, 257, 258, 259, 262, 270, 277, 322, 323, 324, 325, 347, 530)


@pytest.mark.parametrize("code", CODES)
def test_a_tag_of_another_type_is_read_or_refused(code, tmp_path):
    source = tmp_path / "a.svs"
    for kind in (*KINDS, 0, 99):
        hostile.shared_tables(source)
        hostile.with_kind(source, code, kind)
        with contextlib.suppress(WsicompError):
            slide = open_slide(source)
            with contextlib.closing(slide), contextlib.suppress(openslide.OpenSlideError, OSError):
                slide.read_region((0, 0), 0, slide.dimensions)
        for number, config in enumerate(({"codec": "jpeg", "lossless": True}, {"codec": "jpeg"})):
            target, report = tmp_path / f"{kind} {number}.tif", None
            with contextlib.suppress(WsicompError):
                report = convert_slide(source, target, ConversionConfig.of(glass="keep", workers=1, **config))
            assert target.exists() == (report is not None)
            assert report is None or (report.verified and report.target_bytes == target.stat().st_size)
    assert not list(tmp_path.glob("*.partial"))


def test_jpeg_tables_of_numbers_are_bytes_as_libtiff_has_it(tmp_path):
    pixels = hostile.tables_as_shorts(tmp_path / "a.svs")
    for options in ({"codec": "copy"}, {"codec": "jpeg", "lossless": True}):
        target = tmp_path / "b.svs"
        convert_slide(
            tmp_path / "a.svs", target, ConversionConfig.of(glass="keep", overwrite=True, **options)
        )
        with tifffile.TiffFile(target) as tiff:
            seen = tiff.pages[0].asarray().astype(int)
        assert np.abs(seen - pixels).mean() < 3


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A slide, what was made of it, and a restorable archive."""
    folder = tmp_path_factory.mktemp("sound")
    made = (fuzzed_bases.jpeg_svs, fuzzed_bases.copied, fuzzed_bases.guarded, fuzzed_bases.packed)
    return {draw.__name__: draw(folder) for draw in made}


def change(*path, to):
    """A change of what stands in JSON under these keys."""

    def changed(values):
        holder = values
        for key in path[:-1]:
            holder = holder[key]
        assert path[-1] in (holder if isinstance(holder, dict) else range(len(holder)))
        holder[path[-1]] = to

    return changed


BEYOND = {
    "offset": change("restoration", "offset", to=1 << 63),
    "length": change("restoration", "bytes", to=1 << 80),
    "length and offset": change("restoration", to={"offset": 1 << 62, "bytes": 1 << 62, "sha256": "x"}),
    "source": change("plan", "source", "bytes", to=1 << 80),
    "power": change("plan", "objective_power", to=10**400),
    "no power": change("plan", "objective_power", to=float("nan")),
    "mpp": change("plan", "mpp", to=[10**400, 1]),
    "notes": change("plan", "notes", to=[{}]),
    "dropped": change("plan", "dropped", to=[7]),
    "software": change("plan", "software", to=[]),
    "options": change("plan", "levels", 0, "options", to={"quality": 1e9, "psnr": 1e9, "min_ssim": "x"}),
    "effort": change("plan", "levels", 0, "options", to={"effort": [1]}),
    "subsampling": change("plan", "levels", 0, "encoding", "subsampling", to=[0, 0]),
    "digest": change("plan", "source", "sha256", to="x"),
    "digest of the origin": change("plan", "source", "origin_sha256", to="\n"),
    "source level": change("plan", "levels", 0, "source_level", to=4_000_000_000),
    "mask": change("mask", to={"rescued_tiles": "many", "tissue_fraction_with_margin": []}),
    "deep": lambda values: "[" * hostile.DEPTH + "]" * hostile.DEPTH,
    "digits": lambda values: f'{{"plan": {hostile.DIGITS}}}',
}


@pytest.mark.parametrize("name", BEYOND)
def test_a_forged_number_or_type_is_one_line_in_every_command(name, sound, tmp_path):
    target = tmp_path / "forged.tiff"
    target.write_bytes(sound["packed"].read_bytes())
    hostile.forge(target, BEYOND[name])
    for command in (
        ("info", target),
        ("verify", target),
        ("verify", target, "--against", sound["jpeg_svs"]),
        ("restore", target, tmp_path / "again.svs"),
        ("convert", target, tmp_path / "b.svs", "--codec", "copy", "--glass", "keep"),
    ):
        code, _, err = run(*command)
        assert code in (0, 1)
        assert err.count("\n") <= 1
        (tmp_path / "b.svs").unlink(missing_ok=True)
        (tmp_path / "again.svs").unlink(missing_ok=True)
    with contextlib.suppress(WsicompError):
        open_slide(target).close()


def test_forged_figures_of_a_guard_are_refused(sound, tmp_path):
    for name in ("mean_ssim", "least_psnr", "most_color_shift", "tiles", "fell_back"):
        for value in ("x", 1e400, {"a": 1}, [1.5, "y"], 10**400):
            target = tmp_path / "forged.svs"
            target.write_bytes(sound["guarded"].read_bytes())
            hostile.forge(target, change("levels", 0, "guarded", name, to=value))
            code, out, _ = run("verify", target, "--against", sound["jpeg_svs"])
            assert code == 1
            assert "unreadable: XMP packet" in out


@pytest.mark.parametrize("samples", [3, 4])
def test_blank_tiles_stored_in_a_way_that_nothing_decodes_are_told(samples, sound, tmp_path):
    target = tmp_path / "forged.svs"
    target.write_bytes(sound["copied"].read_bytes())
    hostile.forge(target, change("plan", "levels", 1, "encoding", "subsampling", 1, to=samples))
    for command in (
        ("verify", target),
        ("verify", target, "--against", sound["jpeg_svs"]),
        ("convert", target, tmp_path / "b.svs", "--glass", "keep", "--codec", "jpeg"),
    ):
        code, out, err = run(*command)
        assert code == (command[0] == "verify")
        assert "level 1" in out + err


def test_a_level_more_than_the_file_is_to_have_is_told(sound, tmp_path):
    target = tmp_path / "more.svs"
    target.write_bytes(sound["copied"].read_bytes())
    hostile.with_a_level_more(target)
    code, out, _ = run("verify", target)
    assert code == 1
    assert "openslide-differs: levels" in out or "openslide-refuses" in out


@pytest.mark.parametrize("count", [*range(4, 16), 100])
def test_a_tiff_that_is_cut_short_is_refused_in_one_line(count, sound, tmp_path):
    for base in (sound["jpeg_svs"], sound["copied"]):
        for suffix in (".svs", ".tif"):
            path = tmp_path / f"cut{suffix}"
            hostile.cut(path, base, count)
            refused("info", path)
            assert run("verify", path)[0] == 1
            refused("convert", path, tmp_path / "b.tif")
            refused("segment", path, tmp_path / "b.png")
            refused("restore", path, tmp_path / "b.tif")
            with pytest.raises(wsicomp.SlideFormatError):
                open_slide(path)
        refused("convert", sound["jpeg_svs"], tmp_path / "b.tif", "--mask", tmp_path / "cut.tif")


@pytest.mark.parametrize("kind", hostile.DEEP)
def test_a_preset_that_no_parser_likes_is_one_line(kind, sound, tmp_path):
    hostile.write_preset(tmp_path / "a.toml", kind)
    refused("convert", sound["jpeg_svs"], tmp_path / "b.svs", "--preset", tmp_path / "a.toml")
    refused("batch", tmp_path, tmp_path / "out", "--preset", tmp_path / "a.toml", "--dry-run")
    refused("train", "tissue", tmp_path / "a.toml", tmp_path / "run")


def test_a_whole_number_beyond_all_fractions_is_refused_in_a_config():
    for value in (10**400, -(10**400)):
        with pytest.raises(wsicomp.ConfigError, match="margin_um is"):
            ConversionConfig.of(margin_um=value)
    with pytest.raises(wsicomp.ConfigError, match="too large to be shown"):
        ConversionConfig.of(quality=16**5000, codec="jpeg")


_INTERRUPTING = """
import os, signal, sys
class Finder:
    def find_spec(self, name, *rest):
        if name == {module!r}:
            os.kill(os.getpid(), {signal})
sys.meta_path.insert(0, Finder())
sys.argv = ["wsicomp", "info", "x"]
import runpy
runpy.run_module("wsicomp", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("module", "number"), [("numpy", 2), ("tifffile", 15), ("wsicomp.cli.info", 2), ("cyclopts", 2)]
)
def test_a_signal_while_modules_load_is_one_line(module, number):
    code = _INTERRUPTING.format(module=module, signal=number)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr == "wsicomp: interrupted; nothing half-written is left\n"


def test_what_nobody_foresaw_is_one_line_that_says_where(monkeypatch, sound, capsys):
    def fails(*arguments, **options):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("wsicomp.cli.info.open_reader", fails)
    assert main(["info", str(sound["jpeg_svs"])]) == 1
    err = capsys.readouterr().err
    assert err.startswith("wsicomp: internal error, RuntimeError at test_uncaught.py:")
    assert err.count("\n") == 1


ERRORS = (
    OSError(28, "No space left on device"),
    BrokenPipeError("nobody listens"),
    ValueError("mine"),
    KeyError("mine"),
    EOFError("mine"),
    SlideReadError("mine"),
    SlideWriteError("mine"),
    RuntimeError("mine"),
)


@pytest.mark.parametrize(
    ("error", "stage"), each_of(ERRORS, ["identify", "write", "verify", "restore", "compare"])
)
def test_what_on_progress_raises_comes_out_as_itself(error, stage, sound, tmp_path):
    def told(name, done, total):
        if name == stage:
            raise error

    config = ConversionConfig.of(codec="copy", glass="keep")
    calls = {
        "restore": [lambda: restore_slide(sound["packed"], tmp_path / "a.svs", on_progress=told)],
        "compare": [lambda: _compare(sound["jpeg_svs"], tmp_path / "out", told)],
    }
    usual = [lambda: convert_slide(sound["jpeg_svs"], tmp_path / "a.svs", config, told)]
    if stage == "identify":
        usual.append(lambda: plan_slide(sound["jpeg_svs"], config, told))
    for call in calls.get(stage, usual):
        with pytest.raises(type(error)) as found:
            call()
        assert found.value is error
        assert not [path for path in tmp_path.iterdir() if path.name != "out"]


def _compare(source, out, told):
    choices = ComparisonOptions(sample=20, base=ConversionConfig.of(workers=1), codecs=(), glass=("keep",))
    return compare_slides([source], out, choices, on_progress=told, overwrite=True)


def test_bars_know_every_stage(monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress_bars() as show:
        for stage in ("identify", "restore", "checksum", "anything"):
            show(stage, 1, 2)
    shown = capsys.readouterr().err
    for label in ("Identifying", "Restore", "Checksum", "Anything"):
        assert label in shown


@pytest.fixture
def no_files(tmp_path):
    """What has a slide's name and is no file."""
    found = {kind: tmp_path / f"{kind}.svs" for kind in ("pipe", "socket", "endless", "nothing", "link")}
    os.mkfifo(found["pipe"])
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(found["socket"]))
    found["endless"].symlink_to("/dev/zero")
    found["nothing"].symlink_to("/dev/null")
    found["link"].symlink_to(found["pipe"])
    yield found
    listening.close()


@pytest.mark.parametrize("kind", ["pipe", "socket", "endless", "nothing", "link"])
def test_what_is_no_file_is_refused_at_once_in_every_command(kind, no_files, sound, tmp_path):
    path, good, target = no_files[kind], sound["jpeg_svs"], tmp_path / "target.svs"
    start = time.monotonic()
    for command in (
        ("info", path),
        ("verify", path),
        ("verify", sound["copied"], "--against", path),
        ("convert", path, target),
        ("convert", good, target, "--preset", path),
        ("convert", good, target, "--weights", path),
        ("segment", path, tmp_path / "mask.png"),
        ("restore", path, target),
        ("compare", path, "--out", tmp_path / "out"),
        ("dataset", "build", path, tmp_path / "a.h5"),
        ("train", "tissue", path, tmp_path / "run"),
        ("evaluate", "tissue", path, tmp_path / "found"),
    ):
        assert "not a file" in refused(*command)
    mask = path.rename(tmp_path / "mask.png")
    assert "not a file" in refused("convert", good, target, "--mask", mask)
    with pytest.raises(WsicompError):
        open_slide(mask)
    assert wsicomp.WsicompSlide.detect_format(mask) is None
    assert time.monotonic() - start < 20


def test_a_pipe_beside_a_slide_of_many_files_is_refused_at_once(tmp_path):
    (tmp_path / "a.mrxs").write_bytes(b"x")
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "a" / "Slidedat.ini")
    head = "[Virtual Microscope Specimen]\nNoLayers=1\nNoJpegColumns=1\nNoJpegRows=1\n"
    (tmp_path / "b.vms").write_text(f"{head}ImageFile=c.jpg\nMapFile=d.jpg\n")
    os.mkfifo(tmp_path / "c.jpg")
    os.mkfifo(tmp_path / "d.jpg")
    dicom, _ = pixels_only.dicom_pyramid(tmp_path / "dicom", [(256, 256)])
    os.mkfifo(tmp_path / "dicom" / "pipe")
    for path in (tmp_path / "a.mrxs", tmp_path / "b.vms", dicom):
        assert "is a pipe, not a file" in refused("info", path)
        with pytest.raises(WsicompError), limited():
            open_slide(path)
        assert wsicomp.WsicompSlide.detect_format(path) is None


def test_a_batch_goes_on_past_what_is_no_file(no_files, tmp_path):
    trees.write_slide(tmp_path / "good.svs")
    start = time.monotonic()
    result = trees.run(tmp_path, tmp_path.with_name("target"))
    assert (result.converted, result.failed) == (1, 5)
    assert time.monotonic() - start < 30


_OPENED = """
import sys, wsicomp
from wsicomp.cli import main
path, target = sys.argv[1:]
try:
    with wsicomp.open_slide(path) as slide:
        slide.read_region((0, 0), 0, (100, 100))
except wsicomp.WsicompError as exc:
    print(type(exc).__name__)
print([main(command) for command in (["info", path], ["verify", path], ["convert", path, target])])
"""


@pytest.mark.gate
@pytest.mark.parametrize(
    ("code", "value"),
    [
        (hostile.TILE_OFFSETS, hostile.FAR),
        (hostile.TILE_COUNTS, hostile.FAR),
        (hostile.TILE_COUNTS, 2_774_548_874_520),
        (hostile.TILE_LENGTH, 385_949_828),
    ],
)
def test_what_would_bring_openslide_down_never_gets_there(code, value, tmp_path):
    hostile.far_out(tmp_path / "a.svs", code, value)
    command = [sys.executable, "-c", _OPENED, str(tmp_path / "a.svs"), str(tmp_path / "b.svs")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "SlideAccessError"
    assert done.stdout.splitlines()[-1] == "[1, 1, 1]"


def test_what_a_transfer_has_yet_to_bring_keeps_nothing_of_the_rest_from_being_seen(tmp_path):
    pixels = hostile.torn_off(tmp_path / "a.svs")
    with open_slide(tmp_path / "a.svs") as slide:
        seen = np.asarray(slide.read_region((0, 0), 0, (128, 128)).convert("RGB")).astype(int)
    assert np.abs(seen - pixels[:128, :128]).mean() < 3


def test_every_public_name_is_at_home_where_it_is_looked_for():
    assert set(dir(wsicomp)) >= set(wsicomp.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = wsicomp.nothing
