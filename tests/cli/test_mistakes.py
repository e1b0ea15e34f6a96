"""Ten mistakes, each answered in one line that says what to type; and what it says to type works."""

import codecs
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import wsicomp
from tests import tiffs
from tests.command_line import run_command
from tests.paths import ROOT
from wsicomp.cli.advice import near_path
from wsicomp.cli.commands import SUMMARIES, all_commands
from wsicomp.codecs.registry import codec_choices
from wsicomp.config import preset_names
from wsicomp.errors import SlideWriteError

PROPOSED = re.compile(
    r"(?:for several|for one slide|a folder needs|with|did you mean): ?(wsicomp .+|mkdir .+)$"
)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with slides, in which the commands run."""
    folder = tmp_path / "here"
    (folder / "slides").mkdir(parents=True)
    monkeypatch.chdir(folder)
    for name in ("slides/slide.svs", "a.svs", "b.svs"):
        tiffs.write_tiff(folder / name, 300, 200)
    return folder


def mistake(*words, code=1):
    """What is said of a command line that is wrong: one line."""
    found, out, err = run_command(*words)
    assert (found, out, err.count("\n")) == (code, "", 1), (found, out, err)
    assert err.startswith("wsicomp: ")
    return err.rstrip("\n")


def proposal(said):
    """The words of the command that a line ends with."""
    return shlex.split(PROPOSED.search(said)[1])


def works(words):
    """Whether a proposed command line does what it says."""
    assert words[0] == "wsicomp"
    code, _, err = run_command(*words[1:])
    return code == 0 or err


# A missing file


@pytest.mark.parametrize(
    "line",
    [
        "convert SOURCE out.svs",
        "info SOURCE",
        "verify SOURCE",
        "restore SOURCE out.svs",
        "segment SOURCE mask.png",
        "compare SOURCE --out look",
        "verify a.svs --against SOURCE",
        "convert a.svs out.svs --mask SOURCE",
    ],
)
@pytest.mark.parametrize("typed", ["slides/slid.svs", "slide/slide.svs", "slides/SLIDE.SVS"])
def test_a_missing_file_is_answered_with_the_one_that_is_there(line, typed):
    said = mistake(*line.replace("SOURCE", typed).split())
    assert said == f"wsicomp: {typed}: no such file; did you mean slides/slide.svs?"


def test_nothing_is_proposed_where_no_name_is_near():
    assert mistake("info", "elsewhere.ndpi") == "wsicomp: elsewhere.ndpi: no such file"
    assert near_path(Path("nowhere/at/all.svs")) is None


def test_a_proposed_name_is_one_word_of_a_shell_and_one_line():
    tiffs.write_tiff(Path("my slide\n.svs"))
    assert mistake("info", "my slid.svs").endswith(r"did you mean 'my slide\x0a.svs'?")


def test_a_missing_folder_is_answered_with_the_one_that_is_there():
    assert mistake("batch", "slide", "out").endswith("did you mean slides?")
    assert mistake("batch", "status", "slide").endswith("did you mean slides?")


# A folder for a file, a file for a folder


def test_a_folder_of_slides_needs_a_batch():
    said = mistake("convert", "slides/", "out.svs")
    assert said.startswith(
        "wsicomp: slides: is a directory, not a file; a folder needs: wsicomp batch slides "
    )
    assert works(proposal(said)) is True


@pytest.mark.parametrize("line", ["info slides", "segment slides mask.png", "restore slides out.svs"])
def test_where_one_file_is_needed_a_folder_is_answered_with_one_in_it(line):
    assert mistake(*line.split()).endswith("name a file in it, such as slides/slide.svs")


def test_one_slide_needs_no_batch():
    said = mistake("batch", "slides/slide.svs", "out/")
    assert "is no folder" in said
    assert proposal(said) == ["wsicomp", "convert", "slides/slide.svs", "small.svs"]
    assert works(proposal(said)) is True


def test_a_folder_as_the_target_is_answered_with_a_name_in_it():
    said = mistake("convert", "a.svs", "slides/")
    assert said.endswith("slides: is a directory; name a file to write; for example slides/small.svs")
    assert run_command("convert", "a.svs", "slides/small.svs")[0] == 0


def test_a_missing_target_folder_is_answered_with_how_to_make_it_or_with_one_that_is_there():
    said = mistake("convert", "a.svs", "new/out.svs")
    assert proposal(said) == ["mkdir", "-p", "new"]
    subprocess.run(proposal(said), check=True)
    assert run_command("convert", "a.svs", "new/out.svs")[0] == 0
    assert mistake("convert", "a.svs", "slide/out.svs").endswith("did you mean slides/out.svs?")


# Unknown names


def test_an_unknown_codec_is_answered_with_the_near_one_and_what_lists_all():
    said = mistake("convert", "a.svs", "b.tiff", "--codec", "jpegx", code=2)
    expected = "--codec is 'jpegx', which is none; `wsicomp codecs` lists all; did you mean jpegxl?"
    assert said == f"wsicomp: {expected}"
    said = mistake("compare", "a.svs", "--out", "look", "--codecs", "jpgxl:1", code=2)
    assert said.endswith("unknown codec 'jpgxl'; `wsicomp codecs` lists all; did you mean jpegxl?")
    assert len(mistake("convert", "a.svs", "b.tiff", "--codec", "dream", code=2)) < 80
    code, out, _ = run_command("codecs")
    assert code == 0
    assert {line.split()[0] for line in out.splitlines()} == {*codec_choices()}


def test_an_unknown_preset_is_answered_with_the_near_one_and_what_lists_all():
    said = mistake("convert", "a.svs", "b.tiff", "--preset", "archive-lossles", code=2)
    assert said.endswith("nor is it a preset; `wsicomp presets` lists all; did you mean archive-lossless?")
    code, out, _ = run_command("presets")
    assert code == 0
    assert {*preset_names()} < {*out.splitlines()}
    assert run_command("convert", "a.svs", "b.tiff", "--preset", "archive-lossless")[0] == 0


def test_an_unknown_command_of_a_batch_is_answered_with_the_near_one():
    assert mistake("batch", "statsu", "slides", code=2).endswith("did you mean status?")
    assert mistake("batch", "statsu", code=2).endswith("did you mean status?")


# Several sources


@pytest.mark.parametrize(
    ("sources", "target"),
    [
        (["a.svs", "b.svs"], "slides/"),
        (["slides/slide.svs", "slides/other.svs"], "out/"),
        (["slides/slide.svs", "slides/other.svs"], "slides/small"),
        (["slides/slide.svs", "slides/other.svs", "slides/c.svs", "slides/d.svs"], "out"),
    ],
)
def test_several_sources_are_answered_with_a_batch_of_them(sources, target):
    for name in sources:
        if not Path(name).exists():
            tiffs.write_tiff(Path(name), 300, 200)
    said = mistake("convert", *sources, target, "--codec", "jpeg", code=2)
    assert "convert takes one file; for several: wsicomp batch" in said
    words = proposal(said)
    assert works([*words, "--codec", "jpeg"]) is True
    made = sorted(path.name for path in Path(words[3]).glob("*.svs"))
    assert made == sorted(Path(source).name for source in sources)


def test_several_files_to_restore_are_answered_with_a_batch_of_them():
    for name in ("a", "b"):
        words = ("convert", f"{name}.svs", f"slides/{name}.tiff", "--preset", "archive-lossless")
        assert run_command(*words)[0] == 0
    said = mistake("restore", "slides/a.tiff", "slides/b.tiff", "again/", code=2)
    assert "restore takes one file; for several: wsicomp batch restore slides again/" in said
    assert works(proposal(said)) is True
    assert sorted(path.name for path in Path("again").glob("*.svs")) == ["a.svs", "b.svs"]


# Targets that exist, or may not be written


@pytest.mark.parametrize(
    "line", ["convert a.svs b.svs", "segment a.svs mask.png", "convert a.svs c.svs --audit mask.png"]
)
def test_an_existing_target_is_answered_with_overwrite(line, here):
    (here / "mask.png").write_text("precious")
    assert mistake(*line.split()).endswith("exists already; choose another name or --overwrite")
    assert run_command(*line.split(), "--overwrite")[0] == 0


def test_a_comparison_into_a_folder_with_content_is_answered_with_overwrite():
    assert mistake("compare", "a.svs", "--out", "slides").endswith("name another folder or --overwrite")


@pytest.fixture
def nobody():
    """A folder that any user may enter, and a way to run commands there without the rights of root."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    tiffs.write_tiff(folder / "a.svs", 300, 200).chmod(0o644)
    is_root = os.geteuid() == 0
    codecs.lookup("ascii")

    def run(*words):
        run_command(
            *words[:2], folder / f"done-{words[2]}", *words[3:]
        )  # loads what may lie in closed folders
        os.chdir(folder)
        if is_root:
            os.seteuid(65534)
        try:
            return mistake(*words)
        finally:
            if is_root:
                os.seteuid(0)

    yield folder, run
    shutil.rmtree(folder)


def test_a_target_that_may_not_be_written_is_answered_with_the_permission_that_is_missing(nobody):
    folder, run = nobody
    (folder / "locked").mkdir()
    (folder / "closed").mkdir()
    (folder / "locked").chmod(0o555)
    (folder / "closed").chmod(0o600)
    advice = f"the folder {folder / 'locked'} lacks your permission to write (w); choose another folder"
    for words in (
        ("convert", "a.svs", "locked/out.svs", "--glass", "keep"),
        ("segment", "a.svs", "locked/mask.png", "--segmenter", "threshold"),
    ):
        said = run(*words)
        assert said.endswith(f": cannot be written (Permission denied); {advice}")
    said = run("convert", "a.svs", "closed/out.svs")
    assert said.endswith(f"you lack the permission to enter (x) the folder {folder / 'closed'}")


def test_a_source_that_may_not_be_read_is_answered_with_the_permission_that_is_missing(nobody):
    folder, run = nobody
    (folder / "a.svs").chmod(0o000)
    said = run("convert", "a.svs", "out.svs")
    assert "Permission denied" in said
    assert said.endswith("; you lack the permission to read (r) this file")


# Ctrl-C

_HANGING = """
import sys, threading, time
from wsicomp.cli import main
from wsicomp.conversion import convert

def endless(*_, **__):  # as a network or a codec that does not come back to Python
    print("at work", flush=True)
    lock = threading.Lock()
    lock.acquire()
    while True:
        try:
            lock.acquire()
        except KeyboardInterrupt:
            pass

{module}.{function} = endless
sys.argv = ["wsicomp", *{words!r}]
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("module", "function", "words"),
    [
        ("convert", "write_pyramid", ["convert", "a.svs", "out.svs", "--glass", "keep"]),
        ("convert", "verify_slide", ["convert", "a.svs", "out.svs", "--glass", "keep"]),
        ("convert", "inspect_overview", ["segment", "a.svs", "mask.png"]),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_is_answered_though_a_library_does_not_come_back(module, function, words, number, here):
    before = sorted(here.rglob("*"))
    code = _HANGING.format(module=module, function=function, words=words)
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], text=True, env=env, **pipes) as process:
        assert process.stdout.readline() == "at work\n"
        if module == "convert" and words[0] == "convert":
            assert sorted(here.rglob("*")) != before
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "wsicomp: interrupted; nothing half-written is left\n")
    assert sorted(here.rglob("*")) == before


@pytest.mark.gate
def test_ctrl_c_of_a_comparison_leaves_no_folder_of_work(here):
    command = [sys.executable, "-m", "wsicomp", "compare", "a.svs", "--out", "look", "--sample", "whole"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, text=True, env=env, stderr=subprocess.PIPE) as process:
        while process.poll() is None and not list(here.glob("look/.wsicomp-compare/*")):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "wsicomp: interrupted; nothing half-written is left\n")
    assert not (here / "look/.wsicomp-compare").exists()


# Help


@pytest.mark.parametrize("name", SUMMARIES)
def test_help_is_a_command_a_word_and_an_option(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    pages = {run_command(*words) for words in (["help", *name.split()], [*name.split(), "--help"])}
    assert pages == {run_command(*name.split(), "-h")} == {run_command(*name.split(), "help")}
    assert run_command("help", "--all", *name.split()) == run_command(*name.split(), "--help-all")


def test_a_file_that_is_called_help_is_a_file(here):
    (here / "help").write_text("none")
    assert mistake("info", "help").startswith("wsicomp: help: not a whole-slide image")


def test_help_alone_lists_the_commands_and_an_unknown_one_is_answered_with_the_near_one():
    assert run_command("help") == run_command("--help")
    assert mistake("help", "convrt", code=2).endswith("did you mean convert?")
    assert mistake("help", "batch", "statsu", code=2).endswith("did you mean status?")


def test_help_of_a_command_shows_what_is_used_every_day_and_says_how_to_see_all(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for command in all_commands():
        page = run_command(*command.name.split(), "--help")[1]
        whole = run_command(*command.name.split(), "--help-all")[1]
        rare = [command.spelled(option) for option in command.options if option.is_rare]
        assert [flag for flag in rare if f"\n  {flag}" in page] == []
        assert [flag for flag in rare if f"\n  {flag}" not in whole] == []
        assert (f"--help-all              show every option: {len(rare)} more" in page) == bool(rare)
    assert len(run_command("convert", "--help")[1].splitlines()) < 120


# --quiet and --verbose


@pytest.mark.parametrize("command", all_commands(), ids=lambda command: command.name)
def test_every_command_takes_quiet_and_verbose(command):
    flags = {flag for option in command.options for flag in command.spellings(option)}
    assert {"--quiet", "-q", "--verbose", "-v"} <= flags


def test_quiet_leaves_errors_and_json_alone(here):
    assert run_command("convert", "a.svs", "c.svs", "-q") == (0, "", "")
    assert run_command("-q", "info", "c.svs") == (0, "", "")
    assert run_command("verify", "c.svs", "--quiet", "--json")[1].startswith("{")
    assert mistake("info", "gone.ndpi", "-q") == "wsicomp: gone.ndpi: no such file"
    data = bytearray((here / "c.svs").read_bytes())
    data[1000:1400] = bytes(400)
    (here / "c.svs").write_bytes(data)
    code, out, err = run_command("verify", "c.svs", "-q")
    assert (code, err) == (1, "")
    assert out.startswith("c.svs: ")
    assert run_command("batch", "slides", "out", "-q") == (0, "", "")


def test_quiet_batch_says_what_failed(here):
    (here / "slides/bad.svs").write_bytes(b"none")
    code, out, err = run_command("batch", "slides", "out", "-q")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("bad.svs: failed")


def test_verbose_logs_each_step_on_stderr_and_leaves_stdout_as_it_is():
    code, out, err = run_command("convert", "a.svs", "c.svs", "-v")
    assert code == 0
    steps = [line.split(" wsicomp: ")[1] for line in err.splitlines()]
    assert [line for line in steps if line.endswith("begins")] == [
        f"{stage} begins" for stage in ("identify", "overview", "segment", "survey", "write", "verify")
    ]
    assert out.startswith("c.svs: ")
    assert run_command("convert", "a.svs", "d.svs")[2] == ""


def test_verbose_shows_where_an_internal_error_came_up(monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("odd")

    monkeypatch.setattr("wsicomp.cli.info.open_reader", fails)
    assert mistake("info", "a.svs").startswith("wsicomp: internal error, RuntimeError")
    code, _, err = run_command("info", "a.svs", "-v")
    assert code == 1
    assert "Traceback (most recent call last):" in err
    assert err.splitlines()[-1].startswith("wsicomp: internal error, RuntimeError")


def test_quiet_and_verbose_exclude_each_other():
    expected = "--quiet does not go with --verbose; leave one of them out"
    assert mistake("info", "a.svs", "-q", "-v", code=2) == f"wsicomp: {expected}"


# What newcomers met besides


def test_a_reader_that_has_gone_ends_a_command_as_the_signal_would():
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    read, written = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "wsicomp", "info", "a.svs"]
    done = subprocess.run(command, stdout=written, stderr=subprocess.PIPE, check=False, env=env)
    os.close(written)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_full_disk_below_stdout_is_no_doubt_about_the_target(here):
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "wsicomp", "convert", "a.svs", "c.svs"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=env)
    said = "wsicomp: stdout: cannot be written (No space left on device); c.svs is there, and complete\n"
    assert (done.returncode, done.stderr) == (1, said)
    assert run_command("verify", "c.svs", "--against", "a.svs")[0] == 0


@pytest.mark.parametrize("option", ["--quality", "--distance"])
def test_an_option_of_a_codec_that_has_nothing_to_do_is_refused(option):
    said = mistake("convert", "a.svs", "c.svs", option, "2", code=2)
    assert option.removeprefix("--") in said
    assert run_command("convert", "a.svs", "c.svs", "--codec", "jpeg", "--quality", "2")[0] == 0


def test_progress_of_each_stage_ends_at_its_total():
    last = {}
    wsicomp.convert(
        "a.svs", "c.svs", on_progress=lambda stage, done, total: last.update({stage: (done, total)})
    )
    assert {"write", "verify"} <= last.keys()
    assert [stage for stage, (done, total) in last.items() if done != total] == []


def test_a_margin_is_drawn_or_refused_by_segment():
    words = ("segment", "a.svs", "mask.png", "--segmenter", "threshold", "--margin-um", "9")
    assert mistake(*words, code=2).endswith("leave --margin-um out, or draw it by --audit")
    assert run_command(*words, "--audit", "look.png")[0] == 0


def test_restorable_alone_is_answered_with_the_options_that_it_needs():
    said = mistake("convert", "a.svs", "c.tiff", "--restorable", code=2)
    assert said.endswith("take --preset archive-lossless, or --glass keep")
    assert run_command("convert", "a.svs", "c.tiff", "--preset", "archive-lossless")[0] == 0
    assert run_command("convert", "a.svs", "d.svs", "--restorable", "--glass", "keep")[0] == 0


def test_a_target_that_ends_as_a_folder_is_no_file_to_write():
    said = mistake("convert", "a.svs", "new/", code=2)
    assert said.endswith("TARGET is 'new/', a folder that is not there; name a file to write")
    assert "new: ends in / as a folder, and there is none" in mistake("restore", "a.svs", "new/")
    for function in (wsicomp.convert, wsicomp.restore):
        with pytest.raises(SlideWriteError, match="ends in / as a folder, and there is none; name a file"):
            function("a.svs", "new/")
    assert not Path("new").exists()


def test_json_alone_is_stdout_everywhere():
    for words in (["convert", "a.svs", "c.svs", "--dry-run", "--json"], ["info", "a.svs", "--json", "-"]):
        code, out, _ = run_command(*words)
        assert (code, out[:1]) == (0, "{")
