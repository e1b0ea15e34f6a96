"""What stands on a command line, apart from defaults and presets; and what is said of a mistake."""

import json

import pytest

from tests import tiffs
from wsicomp.cli import main
from wsicomp.cli.parser import named_command, parsed_command
from wsicomp.errors import CodecUnavailableError


def parts(*words):
    """What the command of this line would be run with."""
    command, rest = named_command(words)
    return parsed_command(command, rest)[0].args


@pytest.fixture
def preset(tmp_path):
    path = tmp_path / "preset.toml"
    path.write_text('codec = "jpegxl"\nlossless = true\nlabel = false\nmin_saving = 40.0\nmin_free = 2\n')
    return str(path)


def test_a_preset_fills_what_was_not_given_and_what_was_given_overrides_it(preset):
    options, config = parts("convert", "a.svs", "b.tiff", "--preset", preset, "--codec", "jpeg")
    assert (str(options.source), str(options.target)) == ("a.svs", "b.tiff")
    assert (config.codec.name, config.codec.lossless, config.output.label) == ("jpeg", True, False)
    _, config = parts("convert", "a", "b", "--preset", preset, "--no-lossless", "--label", "--no-macro")
    assert (config.codec.lossless, config.output.label, config.output.macro) == (False, True, False)
    assert config.run.min_free == 2.0


def test_a_default_that_is_given_overrides_a_preset(preset):
    _, config = parts("convert", "a", "b", "--preset", preset, "--codec", "auto", "--no-lossless")
    assert (config.codec.name, config.codec.lossless) == ("auto", False)


def test_what_a_preset_says_of_a_batch_counts_there_alone(preset):
    _, batch, _ = parts("batch", "a", "b", "--preset", preset)
    assert (batch.min_saving, batch.min_free) == (40.0, 1.0)
    _, batch, _ = parts("batch", "a", "b", "--preset", preset, "--min-saving", "2.5 %")
    assert batch.min_saving == 2.5
    _, config = parts("convert", "a", "b", "--preset", preset)
    assert "min_saving" not in config.flat()


def test_a_batch_and_its_commands_stand_beside_each_other():
    options, batch, config = parts("batch", "a", "b", "--include", "x*", "--include", "y*", "--workers", "3")
    assert (str(options.source), batch.include, batch.workers) == ("a", ("x*", "y*"), 3)
    assert config.run.workers == 3
    (options,) = parts("batch", "status", "b", "--json")
    assert (str(options.target), options.json) == ("b", True)
    (options,) = parts("batch", "accept", "b", "1", "2")
    assert (options.target, options.slides) == ("b", ("1", "2"))
    assert str(parts("batch", "./status", "b")[0].source) == "status"


def test_arguments_and_options_come_in_any_order_and_the_last_of_two_counts():
    (options,) = parts("verify", "--json", "a.svs", "--against=b.svs", "--against", "c.svs")
    assert (list(map(str, options.files)), str(options.against), options.json) == (["a.svs"], "c.svs", True)
    (options,) = parts("evaluate", "codec", "a.h5", "b.h5", "--ssim", "0.9", "out", "--ssim", "0.95")
    assert [str(path) for path in options.patches] == ["a.h5", "b.h5"]
    assert (str(options.folder), options.ssims, options.models) == ("out", (0.9, 0.95), ("he-compact",))


def test_a_dash_is_a_file_and_what_stands_behind_two_is_one_too():
    assert str(parts("convert", "a", "b", "--json", "-")[0].json) == "-"
    assert str(parts("convert", "a", "b", "--json=-")[0].json) == "-"
    assert str(parts("convert", "a", "b", "--json")[0].json) == "-"
    assert str(parts("convert", "--json", "--dry-run", "a", "b")[0].json) == "-"
    assert parts("verify", "a", "--json", "-")[0].json is True
    assert str(parts("convert", "a", "--", "--json")[0].target) == "--json"
    assert list(map(str, parts("info", "--", "-")[0].files)) == ["-"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("convrt a b", "no command 'convrt'; see wsicomp --help; did you mean convert?"),
        ("dataset", "dataset what? one of build, draw"),
        ("dataset bild", "no command 'dataset bild'; see wsicomp dataset --help; did you mean build?"),
        (
            "convert a b --qualty=3",
            "no option '--qualty'; see wsicomp convert --help; did you mean --quality?",
        ),
        ("convert a b --no-embed-modl", "did you mean --no-embed-model?"),
        ("convert a b -x", "no option '-x'"),
        ("convert -- a b --dry-run", "no option '--dry-run'; see wsicomp convert --help; behind -- stands"),
        ("convert a b --over", "no option '--over'"),
        ("convert a", "TARGET is missing: the file to write"),
        ("convert a b c", "'c' is not expected here"),
        ("convert a b --audit", "--audit takes a path"),
        ("convert a b --quality high", "--quality is 'high', expected a whole number"),
        ("convert a b --quality 2.5", "--quality is '2.5', expected a whole number"),
        ("convert a b --glass whit", "expected one of keep, blank, white, empty; did you mean white?"),
        ("convert a b --codec jpegx", "did you mean jpegxl?"),
        ("convert a b --preset archive-lossles", "did you mean archive-lossless?"),
        ("convert a b --workers 0", "--workers is 0, expected 1 to 1024"),
        ("convert a b --preset archive-copy --quality 5", "(with preset archive-copy)"),
        ("compare a", "--out is missing: the folder of the results"),
        ("demo --seed -1", "--seed is -1, expected 0 or more"),
        ("batch report a --thumbnails -1", "--thumbnails is -1, expected 0 or more"),
        ("train tissue a b --folds 2", "--folds is 2, expected 3 or more"),
        ("train tissue a b --epochs 0", "--epochs is 0, expected 1 or more"),
        ("train codec a b --iterations -5", "--iterations is -5, expected 1 or more"),
        ("demo --size 5", "--size is 5, expected 256 to 65536"),
        ("batch a b --min-saving much", "--min-saving is 'much', expected a number"),
        ("evaluate tissue a b --weights x --folds y", "leave one of them out"),
        ("completion bsh", "SHELL is 'bsh', expected one of bash, zsh, fish; did you mean bash?"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(line, message, capsys):
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("wsicomp: ")
    assert message in err


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (["convert", "", "b"], "SOURCE"),
        (["convert", "a", ""], "TARGET"),
        (["convert", "a", "b", "--mask="], "--mask"),
        (["convert", "a", "b", "--json", ""], "--json"),
        (["convert", "a", "b", "--preset", ""], "--preset"),
        (["batch", "", "b"], "SOURCE_DIR"),
        (["batch", "status", ""], "TARGET_DIR"),
        (["compare", "a", "", "--out", "c"], "SLIDE"),
        (["compare", "a", "--out", ""], "--out"),
        (["demo", ""], "DIRECTORY"),
    ],
)
def test_an_empty_name_is_not_the_current_folder(words, flag, capsys):
    assert main(words) == 2
    assert capsys.readouterr().err.endswith(f": {flag} is '', expected a path\n")


def test_an_empty_name_of_a_tree_accepts_nothing(capsys):
    assert main(["batch", "accept", "", "1"]) == 2
    assert capsys.readouterr().err == "wsicomp: an empty path; name a file or a folder\n"


def test_a_switch_of_a_command_alone_has_no_opposite(capsys):
    assert main(["batch", "a", "b", "--no-recheck"]) == 2
    assert "no option '--no-recheck'" in capsys.readouterr().err


def test_a_codec_that_cannot_be_loaded_is_a_failure_and_no_mistake(monkeypatch, capsys):
    def missing(*_):
        raise CodecUnavailableError("codec jpegxl needs a library")

    monkeypatch.setattr("wsicomp.config.create_codec", missing)
    assert main(["convert", "a.svs", "b.tiff", "--codec", "jpegxl"]) == 1
    assert capsys.readouterr().err == "wsicomp: codec jpegxl needs a library\n"


def test_a_name_that_is_no_unicode_is_a_file_too(tmp_path, capsys):
    assert main(["info", str(tmp_path / "a\udcff.svs")]) == 1
    assert "a\\xff.svs: no such file" in capsys.readouterr().err


def test_json_on_stdout_is_json(tmp_path, capsys):
    source = tiffs.write_tiff(tmp_path / "a.svs", 400, 300)
    assert main(["convert", str(source), str(tmp_path / "b.svs"), "--dry-run", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["container"] == "svs"
