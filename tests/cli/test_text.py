"""Standard streams that are closed, or take nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiffs
from tests.paths import ROOT

WSICOMP = [sys.executable, "-m", "wsicomp"]
"""Its process is what is tested: which streams it has."""
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")


def shell(line, *words):
    """A command line of `sh` in which "$@" is `wsicomp` with these words."""
    command = ["sh", "-c", line, "sh", *WSICOMP, *map(str, words)]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=buffered)


@pytest.mark.gate
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_conversion_whose_streams_are_closed_is_done_all_the_same(closed, tmp_path):
    source = tiffs.write_tiff(tmp_path / "a.svs", 400, 300)
    done = shell(f'"$@" {closed}', "convert", source, tmp_path / "b.svs", "--segmenter", "threshold")
    assert (done.returncode, done.stderr) == (0, "")
    assert shell('"$@"', "verify", tmp_path / "b.svs", "--against", source).returncode == 0


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path):
    code = """if 1:
        from wsicomp.cli.text import open_closed_streams
        open_closed_streams()
        print("into the void")
        print(open("mine", "w").fileno() > 2, file=open("told", "w"))
        import subprocess, sys
        subprocess.run([sys.executable, "-c", "print('a child too')"], check=True)"""
    line = f'cd "$1" && PYTHONPATH="$2" exec "{sys.executable}" -X dev -W error -c "$3" <&- >&- 2>err'
    done = subprocess.run(["sh", "-c", line, "sh", tmp_path, ROOT, code], capture_output=True, check=False)
    assert (done.returncode, done.stdout, (tmp_path / "mine").read_bytes()) == (0, b"", b"")
    assert (tmp_path / "told").read_text() == "True\n"


@needs_full
@pytest.mark.parametrize(
    "words", ["--version", "convert --help", "completion bash", "info a", "info a --json"]
)
def test_a_full_disk_below_stdout_is_said_in_one_line(words, tmp_path):
    source = tiffs.write_tiff(tmp_path / "a.svs", 400, 300)
    done = shell('"$@" >/dev/full', *(source if word == "a" else word for word in words.split()))
    expected = "wsicomp: stdout: cannot be written (No space left on device)\n"
    assert (done.returncode, done.stderr) == (1, expected)


@needs_full
def test_a_full_disk_below_stderr_changes_no_exit_code(tmp_path):
    assert shell('"$@" 2>/dev/full', "convrt").returncode == 2
    assert shell('"$@" 2>/dev/full', "info", tmp_path / "none").returncode == 1


@needs_full
def test_a_batch_that_reports_to_a_full_disk_says_so_in_one_line(tmp_path):
    (tmp_path / "source").mkdir()
    tiffs.write_tiff(tmp_path / "source/a.svs", 400, 300)
    words = ("batch", tmp_path / "source", tmp_path / "target", "--json", "--min-free", "0")
    done = shell('"$@" >/dev/full', *words)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        1,
        "wsicomp: stdout: cannot be written (No space left on device)",
    )


def test_a_reader_that_goes_away_is_no_error_message(tmp_path):
    assert shell('"$@" | true', "convert", "--help").stderr == ""
