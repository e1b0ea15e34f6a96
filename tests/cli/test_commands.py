import json
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from tests import tiffs
from tests.cli.terminals import on_a_terminal
from wsicomp.cli import main
from wsicomp.tissue.audit import OUTLINE


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    text = tiffs.DESCRIPTION.format(400, 300) + "|User = Jane Doe"
    return tiffs.write_tiff(tmp_path_factory.mktemp("cli") / "source.svs", 400, 300, description=text)


def run(capsys, *arguments):
    """(exit code, stdout, stderr) of one command line."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as exc:
        code = exc.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(
    "command",
    [
        "",
        "convert",
        "info",
        "verify",
        "segment",
        "demo",
        "dataset",
        "dataset build",
        "train",
        "train tissue",
        "evaluate tissue",
    ],
)
def test_help_teaches(capsys, command):
    code, out, _ = run(capsys, *command.split(), "--help")
    assert code == 0
    assert "usage: wsicomp" in out
    assert len(out.splitlines()) > 8


def test_the_help_of_convert_gives_restore_both_its_files(capsys):
    _, out, _ = run(capsys, "convert", "--help")
    assert "`wsicomp restore a.tiff again.svs`" in " ".join(out.split())


def test_the_version_is_told(capsys):
    assert run(capsys, "--version")[1].startswith("wsicomp 0.")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["convert", "only-one"],
        ["convert", "a", "b", "--glass", "clear"],
        ["convert", "a", "b", "--quality", "high"],
        ["convert", "a", "b", "--quality", "0"],
        ["convert", "a", "b", "--background", "pink"],
        ["convert", "a", "b", "--segmenter", "none"],
        ["convert", "a", "b", "--margin-um", "-3"],
    ],
)
def test_wrong_usage_is_exit_code_2(capsys, arguments):
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert err


def test_converting_says_what_was_done(capsys, source, tmp_path):
    code, out, err = run(capsys, "convert", source, tmp_path / "t.svs", "--margin-um", 0)
    assert (code, err) == (0, "")
    assert "saved, format svs" in out
    assert "copied" in out
    assert "verified" in out
    assert "Jane" not in out


def test_converting_without_verify_says_so(capsys, source, tmp_path):
    assert "NOT verified" in run(capsys, "convert", source, tmp_path / "t.svs", "--no-verify")[1]


def test_a_report_as_json_is_the_report(capsys, source, tmp_path):
    code, out, _ = run(capsys, "convert", source, tmp_path / "t.svs", "--json", "-")
    assert code == 0
    assert json.loads(out)["target_bytes"] == (tmp_path / "t.svs").stat().st_size
    code, out, _ = run(capsys, "convert", source, tmp_path / "u.svs", "--json", tmp_path / "report.json")
    assert "u.svs: 40.5 kB -> " in out
    assert json.loads((tmp_path / "report.json").read_text())["codec"] == "copy"


def test_a_report_that_cannot_be_written_is_an_error(capsys, source, tmp_path):
    code, _, err = run(capsys, "convert", source, tmp_path / "t.svs", "--json", tmp_path / "gone/report.json")
    assert code == 1
    assert "does not exist; make it first" in err
    assert not (tmp_path / "t.svs").exists()


def test_a_dry_run_prints_the_plan_and_writes_nothing(capsys, source, tmp_path):
    code, out, _ = run(capsys, "convert", source, tmp_path / "t.svs", "--dry-run")
    assert code == 0
    assert "nothing was written" in out
    assert "blank" in out
    plan = json.loads(run(capsys, "convert", source, tmp_path / "t.svs", "--dry-run", "--json", "-")[1])
    assert plan["container"] == "svs"
    assert not list(tmp_path.iterdir())


def test_a_dry_run_refuses_what_the_run_would_refuse(capsys, source, tmp_path):
    (tmp_path / "t.svs").write_text("precious")
    code, _, err = run(capsys, "convert", source, tmp_path / "t.svs", "--dry-run")
    assert code == 1
    assert "exists already" in err


def test_options_override_a_preset(capsys, source, tmp_path):
    (tmp_path / "preset.toml").write_text('codec = "jpeg"\nquality = 50\nglass = "keep"\n')
    arguments = ["convert", source, tmp_path / "t.svs", "--preset", tmp_path / "preset.toml", "--quality", 70]
    plan = json.loads(run(capsys, *arguments, "--dry-run", "--json", "-")[1])
    assert (plan["config"]["quality"], plan["config"]["glass"], plan["codec"]) == (70, "keep", "jpeg")


def test_a_bad_preset_is_wrong_usage(capsys, source, tmp_path):
    (tmp_path / "preset.toml").write_text('colour = "blue"\n')
    code, _, err = run(capsys, "convert", source, tmp_path / "t.svs", "--preset", tmp_path / "preset.toml")
    assert code == 2
    assert "unknown option 'colour'" in err


def test_info_tells_what_a_slide_is_and_names_nobody(capsys, source):
    code, out, _ = run(capsys, "info", source)
    assert code == 0
    assert "400 x 300 px" in out
    assert "um per px: 0.5 x 0.5" in out
    assert "Jane" not in out
    values = json.loads(run(capsys, "info", source, "--json")[1])
    assert values["levels"][0]["tile_coding"] == "JPEG"
    assert "Jane" not in json.dumps(values)


def test_verify_is_0_for_a_good_file_and_1_for_a_bad_one(capsys, source, tmp_path):
    target = tmp_path / "t.svs"
    run(capsys, "convert", source, target)
    code, out, _ = run(capsys, "verify", target, "--against", source)
    assert code == 0
    assert "good, 35 tiles, as made from" in out
    assert "not written by wsicomp" in run(capsys, "verify", source)[1]
    target.write_bytes(target.read_bytes()[:-3000])
    code, out, _ = run(capsys, "verify", target)
    assert code == 1
    assert "unreadable" in out
    found = json.loads(run(capsys, "verify", target, "--json")[1])
    assert found["problems"][0]["code"] == "unreadable"


def test_verify_of_what_is_not_there_is_one_line(capsys, tmp_path):
    code, out, err = run(capsys, "verify", tmp_path / "gone.svs")
    assert code == 1
    assert (out + err).count("\n") == 1


def test_segment_writes_a_mask_that_convert_takes(capsys, source, tmp_path):
    mask, audit = tmp_path / "mask.png", tmp_path / "audit.png"
    code, out, _ = run(capsys, "segment", source, mask, "--audit", audit, "--segmenter", "threshold")
    assert code == 0
    assert "tissue" in out
    pixels = np.asarray(Image.open(mask).copy())
    assert set(np.unique(pixels)) == {0, 255}
    assert pixels[150, 200] == 255
    assert pixels[5, 5] == 0
    assert (np.asarray(Image.open(audit).copy()) == OUTLINE).all(axis=2).sum() > 100
    assert run(capsys, "convert", source, tmp_path / "t.svs", "--mask", mask)[0] == 0


def test_segment_overwrites_only_when_told(capsys, source, tmp_path):
    (tmp_path / "mask.png").write_text("precious")
    code, _, err = run(capsys, "segment", source, tmp_path / "mask.png")
    assert code == 1
    assert "exists already" in err
    assert (tmp_path / "mask.png").read_text() == "precious"
    assert run(capsys, "segment", source, tmp_path / "mask.png", "--overwrite")[0] == 0


def test_segment_into_no_directory_is_one_line(capsys, source, tmp_path):
    code, _, err = run(capsys, "segment", source, tmp_path / "gone/mask.png")
    assert code == 1
    assert err.count("\n") == 1


@pytest.mark.gate
def test_the_demo_shows_every_way(capsys, tmp_path):
    code, out, _ = run(capsys, "demo", tmp_path / "demo", "--size", 1024)
    assert code == 0
    for name in (
        "copy-keep.svs",
        "copy-blank.svs",
        "copy-empty.tiff",
        "jpeg-keep.svs",
        "jpeg-blank.svs",
        "jpeg-empty.tiff",
        "lossless.svs",
        "lossless.tiff",
        "restorable.tiff",
        *(["neural.tiff"] if find_spec("compressai") else []),
    ):
        assert name in out
        assert (tmp_path / "demo" / name).exists()
    assert "gave slide.svs back byte for byte" in out
    assert (tmp_path / "demo/restored.svs").read_bytes() == (tmp_path / "demo/slide.svs").read_bytes()
    code, _, err = run(capsys, "demo", tmp_path / "demo")
    assert code == 1
    assert "empty folder" in err


@pytest.mark.gate
def test_progress_is_shown_on_a_terminal_alone(source, tmp_path):
    code, shown = on_a_terminal("convert", source, tmp_path / "a.svs")
    assert code == 0
    assert b"Writing tiles" in shown
    command = [sys.executable, "-m", "wsicomp", "convert", str(source), str(tmp_path / "b.svs")]
    quiet = subprocess.run(command, capture_output=True, check=True)
    assert quiet.stderr == b""


def test_no_output_overwrites_an_input(capsys, source, tmp_path):
    copy = tmp_path / "source.svs"
    copy.write_bytes(source.read_bytes())
    before = copy.read_bytes()
    attempts = [
        ["convert", copy, tmp_path / "t.svs", "--json", copy, "--overwrite"],
        ["convert", copy, copy, "--overwrite"],
        ["convert", copy, tmp_path / "t.svs", "--audit", copy, "--overwrite"],
        ["convert", copy, tmp_path / "t.svs", "--audit", tmp_path / "t.svs"],
        ["segment", copy, copy, "--overwrite"],
        ["segment", copy, tmp_path / "m.png", "--audit", copy, "--overwrite"],
        ["segment", copy, tmp_path / "m.png", "--audit", tmp_path / "m.png"],
        ["convert", copy, tmp_path / "t.svs", "--json", tmp_path / "t.svs"],
        ["convert", copy, "."],
        ["convert", copy, "/", "--overwrite"],
        ["convert", copy, tmp_path / "t.svs", "--audit", tmp_path / "look.gif"],
        ["convert", copy, tmp_path / "t.svs", "--mask", copy],
        ["dataset", "draw", tmp_path / ("long" * 100)],
    ]
    for arguments in attempts:
        code, out, err = run(capsys, *arguments)
        assert code in (1, 2)
        assert (out, err.count("\n")) == ("", 1)
    assert copy.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["source.svs"]


def test_a_report_overwrites_only_when_told(capsys, source, tmp_path):
    (tmp_path / "report.json").write_text("precious")
    arguments = ["convert", source, tmp_path / "t.svs", "--json", tmp_path / "report.json"]
    assert run(capsys, *arguments)[0] == 1
    assert (tmp_path / "report.json").read_text() == "precious"
    assert not (tmp_path / "t.svs").exists()
    assert run(capsys, *arguments, "--overwrite")[0] == 0


def test_a_device_is_never_replaced(capsys, source, tmp_path):
    link = tmp_path / "device"
    link.symlink_to("/dev/null")
    code, _, err = run(capsys, "convert", source, link, "--overwrite")
    assert code == 1
    assert "not a regular file" in err
    assert link.is_symlink()
