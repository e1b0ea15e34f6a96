"""`wsicomp batch` on the command line: what it prints, its exit codes, and its refusals."""

import io
import json
import subprocess
from datetime import datetime

import pytest

from tests.batch.trees import entries, write_slide, write_tree
from tests.cli.terminals import on_a_terminal
from wsicomp.batch.options import next_time
from wsicomp.cli import batch_finish, main
from wsicomp.errors import ConfigError

FAST = ("--segmenter", "threshold", "--margin-um", "0", "--jobs", "1", "--min-free", "0")


@pytest.fixture
def trees(tmp_path):
    write_tree(tmp_path / "source", 3)
    return tmp_path / "source", tmp_path / "target"


def run(capsys, *arguments):
    code = main(["batch", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_run_says_a_line_a_slide_and_a_sum(capsys, trees):
    source, target = trees
    code, out, err = run(capsys, source, target, *FAST)
    assert code == 0
    assert out.startswith(f"{target}: 3 converted in ")
    lines = err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["a/slide 0.svs", "b/slide 1.svs", "c/slide 2.svs"]
    assert all("saved, in" in line or "larger, in" in line for line in lines)
    code, out, err = run(capsys, source, target, *FAST)
    assert (code, err) == (0, "")
    assert "nothing was to be done" in out


def test_a_failure_is_exit_code_1_also_the_night_after(capsys, trees):
    source, target = trees
    (source / "bad.svs").write_bytes(b"no slide")
    for failed in ("3 converted, 1 failed", "nothing was to be done"):
        code, out, _ = run(capsys, source, target, *FAST)
        assert code == 1
        assert failed in out
        assert "1 failed, 0 waiting" in out
        assert ("--retry-failed" in out) == (failed == "nothing was to be done")
    code, out, _ = run(capsys, "report", target)
    assert code == 0
    assert "failed, unreadable: 1\n    bad.svs: not a whole-slide image" in out


@pytest.mark.gate
def test_a_slide_whose_name_is_taken_is_shown_by_the_run_and_called_by_its_name(capsys, trees, tmp_path):
    source, target = trees
    options = (*FAST, "--preset", "archive-lossless")
    removal = ("--delete-source-after-verify", "--quarantine-days", "0", "--min-saving", "30")
    write_slide(source / "a/slide 0.svs", side=1200)
    _, out, _ = run(capsys, source, target, *options, *removal)
    assert ", 1 source deleted, 2 sources that were to go and stay in " in out
    assert not (source / "a/slide 0.svs").exists()
    write_slide(source / "a/slide 0.svs", 90)
    code, out, err = run(capsys, source, target, *options)
    told = "a/slide 0.svs: failed, name taken: another slide of this name was converted"
    assert (code, told in err, "1 failed, 0 waiting" in out) == (1, True, True)
    _, out, _ = run(capsys, "report", target, "--html", tmp_path / "page.html")
    assert "    a/slide 0.svs: another slide of this name" in out
    assert "a/slide 0.svs/" not in (tmp_path / "page.html").read_text()


def test_json_lines_are_for_scripts(capsys, trees):
    source, target = trees
    code, out, err = run(capsys, source, target, *FAST, "--json")
    events = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert [event["source"] for event in events if event["event"] == "slide"] == sorted(entries(target))
    assert events[-1]["event"] == "end"
    assert events[-1]["converted"] == 3
    progress = [event for event in events if event["event"] == "progress"]
    assert progress[-1]["done_bytes"] == progress[-1]["total_bytes"] > 0


def test_a_dry_run_lists_what_would_be_done(capsys, trees):
    source, target = trees
    code, out, _ = run(capsys, source, target, "--dry-run", "--codec", "jpegxl")
    assert code == 0
    assert "a/slide 0.svs -> a/slide 0.svs.tiff, " in out
    assert "would convert 3 of 3 slides" in out
    code, out, _ = run(capsys, source, target, "--dry-run", "--json")
    assert [due["source"] for due in json.loads(out)["due"]] == [
        "a/slide 0.svs",
        "b/slide 1.svs",
        "c/slide 2.svs",
    ]
    assert not target.exists()


def test_status_and_report_need_a_ledger_and_write_files_only_when_told(capsys, trees, tmp_path):
    source, target = trees
    for command in ("status", "report"):
        code, _, err = run(capsys, command, tmp_path)
        assert code == 1
        assert "no batch has written here" in err
    run(capsys, source, target, *FAST)
    code, out, _ = run(capsys, "status", target)
    assert code == 0
    assert "3 done" in out
    assert "no batch is running on this machine" in out
    assert json.loads(run(capsys, "status", target, "--json")[1])["states"]["done"] == 3
    page, table = tmp_path / "r.html", tmp_path / "r.csv"
    code, out, _ = run(capsys, "report", target, "--html", page, "--csv", table, "--json", "-")
    assert code == 0
    assert json.loads(out)["states"]["done"] == 3
    assert page.stat().st_size > 1000
    assert len(table.read_text("utf-8").splitlines()) == 4
    code, _, err = run(capsys, "report", target, "--html", page)
    assert code == 1
    assert "exists already" in err


def test_a_folder_called_status_is_converted_by_its_path(trees, monkeypatch, capsys, tmp_path):
    source, target = trees
    monkeypatch.chdir(tmp_path)
    source.rename("status")
    assert run(capsys, "./status", target, *FAST)[0] == 0
    assert len(entries(target)) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--jobs", "0"], "--jobs is 0, expected 1 to 1024"),
        (["--until", "25:00"], "is '25:00', expected a time of day such as 06:30"),
        (["--codec", "jpeg", "--delete-source-after-verify"], "cannot restore their sources"),
        (["--quality", "0", "--codec", "jpeg"], "quality is 0"),
        (["--preset", "no-such"], "no such file"),
    ],
)
def test_wrong_choices_are_exit_code_2_and_touch_nothing(capsys, trees, options, message):
    source, target = trees
    code, _, err = run(capsys, source, target, *options)
    assert code == 2
    assert message in err
    assert not target.exists()


def test_a_target_inside_the_source_is_refused(capsys, trees):
    source, _ = trees
    code, _, err = run(capsys, source, source / "out")
    assert code == 2
    assert "overlap" in err
    assert not (source / "out").exists()


def test_until_is_the_next_time_a_clock_shows_it():
    now = datetime(2026, 3, 1, 22, 15)
    assert next_time("06:30", now) == datetime(2026, 3, 2, 6, 30).astimezone()
    assert next_time("22:16", now) == datetime(2026, 3, 1, 22, 16).astimezone()
    assert next_time("22:15", now) == datetime(2026, 3, 2, 22, 15).astimezone()
    with pytest.raises(ConfigError):
        next_time("soon", now)


@pytest.mark.gate
def test_a_terminal_gets_bars_and_hears_of_failures(trees):
    source, target = trees
    write_slide(source / "d.svs", side=900)
    (source / "bad.svs").write_bytes(b"no slide")
    code, shown = on_a_terminal("batch", source, target, *FAST)
    assert code == 1
    assert b"bad.svs: failed, unreadable" in shown
    assert b"waiting" in shown
    assert b"slide 0.svs: " not in shown


@pytest.mark.parametrize(
    ("listing", "said"),
    [
        (b"a/slide 0.svs\n{source}/c/slide 2.svs\r\n\n", "2 converted"),
        (b"a/slide 0.svs\0./c/../c/slide 2.svs\0", "2 converted"),
        (b"\xef\xbb\xbfa/slide 0.svs", "1 converted"),
    ],
)
def test_a_list_names_the_slides(capsys, trees, tmp_path, listing, said):
    source, target = trees
    (tmp_path / "list").write_bytes(listing.replace(b"{source}", str(source).encode()))
    code, out, _ = run(capsys, source, target, *FAST, "--files-from", tmp_path / "list")
    assert (code, said in out) == (0, True)
    assert "b/slide 1.svs" not in entries(target)


def test_a_list_comes_from_stdin_too(capsys, trees, monkeypatch):
    source, target = trees
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"b/slide 1.svs\n")))
    code, out, _ = run(capsys, source, target, *FAST, "--files-from", "-")
    assert (code, "1 converted" in out, list(entries(target))) == (0, True, ["b/slide 1.svs"])


def test_a_listed_file_that_is_not_there_is_one_failure_by_its_name(capsys, trees, tmp_path):
    source, target = trees
    (tmp_path / "list").write_text("a/slide 0.svs\ngone/slide.svs\n.hidden.svs\n")
    (source / ".hidden.svs").write_bytes(b"")
    for count in (1, 0):
        code, out, err = run(capsys, source, target, *FAST, "--files-from", tmp_path / "list")
        assert (code, "2 failed, 0 waiting" in out) == (1, True)
        assert "gone/slide.svs: failed, not found: no such file" in err
        assert ".hidden.svs: failed, not found: is hidden" in err
        assert ("1 converted" in out) == (count == 1)
    code, out, _ = run(capsys, source, target, *FAST)
    assert (code, "2 converted" in out) == (0, True)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/etc/passwd", "line 2: '/etc/passwd' is outside"),
        ("../source2/x.svs", "line 2: '../source2/x.svs' is outside"),
        (".", "line 2: '.' is outside"),
    ],
)
def test_a_list_of_files_outside_is_refused(capsys, trees, tmp_path, line, said):
    source, target = trees
    (tmp_path / "list").write_text(f"a/slide 0.svs\n{line}\n")
    code, _, err = run(capsys, source, target, *FAST, "--files-from", tmp_path / "list")
    assert (code, said in err, len(err.splitlines())) == (2, True, 1)
    assert not target.exists()


@pytest.mark.parametrize(
    ("content", "more", "said"),
    [
        (None, (), "no such file"),
        (b"\n\n", (), "lists no slide"),
        (b"a", ("--include", "*.svs"), "--files-from lists the slides; leave --include out"),
    ],
)
def test_a_list_that_is_none_is_refused(capsys, trees, tmp_path, content, more, said):
    source, target = trees
    if content is not None:
        (tmp_path / "list").write_bytes(content)
    code, _, err = run(capsys, source, target, *FAST, "--files-from", tmp_path / "list", *more)
    assert (code, said in err) == (2, True)


def test_a_command_at_the_end_gets_the_outcome(capfd, trees, tmp_path):
    source, target = trees
    (source / "bad.svs").write_bytes(b"no slide")
    told = tmp_path / "told"
    hook = f'cat > "{told}"; echo "$WSICOMP_STATE $WSICOMP_EXIT_CODE $WSICOMP_FAILED $WSICOMP_TARGET"'
    code, out, err = run(capfd, source, target, *FAST, "--on-finish", hook, "--json")
    assert code == 1
    assert err.splitlines()[-1] == f"finished 1 1 {target}"
    assert json.loads(told.read_text()) == json.loads(out.splitlines()[-1])


def test_a_command_at_the_end_that_fails_is_a_line_and_no_failure(capfd, trees):
    source, target = trees
    code, _, err = run(capfd, source, target, *FAST, "--on-finish", "exit 7")
    assert code == 0
    assert err.splitlines()[-1] == "wsicomp batch: the command of --on-finish ended with exit code 7: exit 7"


def test_a_command_at_the_end_that_hangs_is_ended_with_what_it_started(capfd, trees, monkeypatch, tmp_path):
    monkeypatch.setattr(batch_finish, "_MOST_S", 0.5)
    hook = f"sleep 600 & echo $! > {tmp_path}/child; wait"
    code, _, err = run(capfd, *trees, *FAST, "--on-finish", hook)
    assert code == 0
    assert err.splitlines()[-1].startswith(
        "wsicomp batch: the command of --on-finish was ended after an hour"
    )
    child = (tmp_path / "child").read_text().strip()
    state = subprocess.run(["ps", "-o", "stat=", "-p", child], capture_output=True, text=True, check=False)
    assert state.stdout.strip()[:1] in ("", "Z")


def test_a_command_at_the_end_hears_why_a_run_could_not_go_on(capfd, trees, tmp_path):
    source, target = trees
    (target / ".wsicomp").mkdir(parents=True)
    (target / ".wsicomp/ledger.sqlite").write_bytes(b"no ledger")
    hook = 'echo "$WSICOMP_STATE $WSICOMP_EXIT_CODE $WSICOMP_ERROR" >&2'
    code, out, err = run(capfd, source, target, *FAST, "--on-finish", hook)
    assert (code, out) == (1, "")
    first, second = err.splitlines()
    assert first.startswith(f"error 1 {target}/.wsicomp/ledger.sqlite: the ledger cannot be read")
    assert second == f"wsicomp: {first.removeprefix('error 1 ')}"


@pytest.mark.parametrize("error", [MemoryError("no room"), KeyboardInterrupt()])
def test_a_command_at_the_end_hears_of_unforeseen_errors_too(capfd, trees, monkeypatch, tmp_path, error):
    def failing(*_):
        raise error

    monkeypatch.setattr("wsicomp.cli.batch.run_batch", failing)
    told = tmp_path / "told"
    hook = f'echo "$WSICOMP_STATE $WSICOMP_EXIT_CODE $WSICOMP_ERROR" > "{told}"'
    code = run(capfd, *trees, *FAST, "--on-finish", hook)[0]
    name = type(error).__name__
    assert told.read_text() == f"error {code} {name}{': no room' * (name == 'MemoryError')}\n"


def test_the_last_lines_say_what_was_kept_and_where_the_quarantine_is(capsys, trees):
    source, target = trees
    options = ("--preset", "archive-lossless", "--jobs", "1", "--min-free", "0")
    _, out, _ = run(capsys, source, target, *options)
    assert f"kept: every source, as it was, in {source}; 3 whole targets in {target}\n" in out
    assert "quarantine" not in out
    _, out, _ = run(capsys, source, target, *options, "--delete-source-after-verify", "--min-saving", "60")
    assert "quarantine" not in out, "small slides save less, and stay"


def test_a_command_that_was_meant_is_named(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in (["statsu"], ["statsu", "archive"], ["reprot", "archive"]):
        code, _, err = run(capsys, *words)
        assert code == 2
        assert "did you mean " in err
    (tmp_path / "statsu").mkdir()
    assert run(capsys, "statsu", "archive")[0] == 0


def test_a_working_folder_that_is_gone_is_one_line(capsys, tmp_path, monkeypatch):
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    code, _, err = run(capsys, ".", "x")
    assert (code, err) == (1, "wsicomp: the working folder was deleted; go to another one and run it again\n")
