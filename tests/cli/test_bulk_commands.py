"""Commands on many files: what they print, and their exit codes."""

import json

import pytest

from tests.batch.trees import CONFIG, RESTORABLE, files, run, write_slide, write_tree
from wsicomp.cli import main

JOBS = ("--jobs", "2", "--min-free", "0")


@pytest.fixture
def trees(tmp_path):
    source, archive = tmp_path / "source", tmp_path / "archive"
    write_tree(source, 3)
    run(source, archive, RESTORABLE)
    return source, archive, tmp_path / "again"


def command(capsys, *arguments):
    code = main([*map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_batch_restore_says_a_line_a_file_and_a_sum(capsys, trees):
    source, archive, again = trees
    code, out, err = command(capsys, "batch", "restore", archive, again, *JOBS)
    assert (code, len(err.splitlines())) == (0, 3)
    assert out.startswith(f"{again}: 3 restored, ")
    assert files(again) == files(source)
    code, out, err = command(capsys, "batch", "restore", archive, again, *JOBS)
    assert (code, err.count("found there")) == (0, 3)
    assert "3 found there already" in out


def test_batch_restore_names_what_does_not_come_back(capsys, trees):
    source, archive, again = trees
    write_slide(source / "lossy.svs")
    run(source, archive, CONFIG, include=("lossy.svs",))
    code, out, err = command(capsys, "batch", "restore", archive, again, *JOBS)
    assert code == 1
    assert "lossy.svs: skipped, not restorable: its source cannot be rebuilt" in err
    assert "without --restorable" in err
    assert "3 restored, 1 skipped" in out
    code, out, _ = command(capsys, "batch", "restore", archive, again, *JOBS, "--exclude", "lossy.svs")
    assert (code, "skipped" in out) == (0, False)


def test_batch_restore_tells_scripts_in_lines_of_json(capsys, trees):
    _, archive, again = trees
    code, out, err = command(capsys, "batch", "restore", archive, again, *JOBS, "--json")
    events = [json.loads(line) for line in out.splitlines()]
    slides = [event for event in events if event["event"] == "slide"]
    assert (code, err, events[-1]["event"], events[-1]["restored"]) == (0, "", "end", 3)
    assert {slide["source"] for slide in slides} == {f"{'abc'[n]}/slide {n}.svs" for n in range(3)}
    assert all((slide["state"], slide["found"]) == ("done", False) for slide in slides)


def test_verify_of_a_folder_prints_only_problems_and_a_sum(capsys, trees):
    source, archive, _ = trees
    for more in ((), ("--against", source)):
        code, out, _ = command(capsys, "verify", archive, "--jobs", "2", *more)
        assert (code, len(out.splitlines())) == (0, 1)
        assert out.startswith("3 files: 3 good; ")
    bad = archive / "a/slide 0.svs.tiff"
    bad.write_bytes(bytes(bad.stat().st_size))
    code, out, _ = command(capsys, "verify", archive, "--jobs", "2")
    assert code == 1
    assert out.splitlines()[0].startswith(f"{bad}: ")
    assert "3 files: 2 good, 1 with problems; " in out.splitlines()[-1]


def test_verify_of_several_files_gives_json_as_a_list(capsys, trees):
    _, archive, _ = trees
    paths = sorted(archive.glob("*/*.tiff"))
    code, out, _ = command(capsys, "verify", *paths, archive / "none.tiff", "--json", "--jobs", "2")
    found = {each["file"]: each for each in json.loads(out)}
    assert code == 1
    assert all(found[str(path)]["problems"] == [] and found[str(path)]["tiles"] for path in paths)
    assert "no such file" in found[str(archive / "none.tiff")]["error"]
    code, out, _ = command(capsys, "verify", paths[0], "--json")
    assert (code, json.loads(out)) == (0, found[str(paths[0])])


def test_info_of_several_slides_goes_on_after_a_bad_one(capsys, trees):
    source, archive, _ = trees
    good = source / "a/slide 0.svs"
    bad = source / "bad.svs"
    bad.write_bytes(b"no slide")
    made = archive / "a/slide 0.svs.tiff"
    code, out, err = command(capsys, "info", good, bad, made)
    assert code == 1
    assert [line.split(":")[0] for line in out.splitlines() if not line.startswith(" ")] == [
        str(good),
        str(made),
    ]
    assert err.startswith(f"wsicomp: {bad}: ")
    assert len(err.splitlines()) == 1
    code, out, _ = command(capsys, "info", good, bad, made, "--json")
    values = json.loads(out)
    assert (code, [each["path"] for each in values]) == (1, [str(good), str(bad), str(made)])
    assert values[1].keys() == {"path", "error"}
    code, out, _ = command(capsys, "info", good, "--json")
    assert (code, json.loads(out)) == (0, values[0])
    assert command(capsys, "info", good, made)[0] == 0
