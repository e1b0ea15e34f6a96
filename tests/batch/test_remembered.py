"""A target tree remembers its options: the same batch without them, and no archive replaced by chance."""

import tomllib

import pytest

from tests.batch.trees import CONFIG, RESTORABLE, assert_agrees, entries, files, run, write_slide, write_tree
from wsicomp.batch import BatchOptions, Stop, plan_batch, read_report, rebuild_ledger, run_batch
from wsicomp.batch.options import REMEMBERED
from wsicomp.batch.remembered import (
    chosen_options,
    options_text,
    preset_of,
    remember_options,
    remembered_options,
)
from wsicomp.cli import commands, main
from wsicomp.config import ConversionConfig, all_options, load_preset, preset_names
from wsicomp.errors import ConfigError, WsicompError

FAST = ("--segmenter", "threshold", "--margin-um", "0", "--jobs", "1", "--min-free", "0")


@pytest.fixture
def trees(tmp_path):
    write_tree(tmp_path / "source", 3)
    return tmp_path / "source", tmp_path / "target"


def batch(capsys, *arguments):
    code = main(["batch", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_run_without_options_has_those_of_the_first(trees, capsys):
    source, target = trees
    assert (
        batch(capsys, source, target, "--preset", "archive-lossless", "--exclude", "c/*", "--jobs", "1")[0]
        == 0
    )
    made = files(target)
    write_slide(source / "b/new.svs", 7)
    code, out, err = batch(capsys, source, target)
    assert (code, "1 converted" in out) == (0, True)
    assert err.splitlines()[0] == f"options of {target}/wsicomp.toml: preset archive-lossless, exclude c/*"
    assert made.items() <= files(target).items()
    assert len(files(target)) == 3, "c/slide 2.svs is excluded still"
    assert all(entry.restorable for entry in entries(target).values())
    assert read_report(target).options == "preset archive-lossless, exclude c/*"


def test_the_file_holds_what_makes_the_batch_and_nothing_of_one_run(trees):
    source, target = trees
    run(source, target, RESTORABLE, exclude=("c/*",), retry_failed=True, delete_source=True, until=None)
    values = tomllib.loads((target / "wsicomp.toml").read_text())
    assert values == {
        "codec": "jpegxl",
        "lossless": True,
        "restorable": True,
        "glass": "keep",
        "exclude": ["c/*"],
    }


def test_options_survive_the_file_whatever_they_are(tmp_path):
    weights = tmp_path / 'a "b" ü\\.json'
    weights.write_text("{}")
    config = ConversionConfig.of(
        codec="jpeg", quality=77, margin_um=12.5, weights=weights, label=False, background="#ffEEdd"
    )
    options = BatchOptions(include=("*.svs", 'x"\\y\x7f'), min_saving=9.5, quarantine_days=3)
    remember_options(tmp_path, config, options)
    assert chosen_options(*remembered_options(tmp_path)) == chosen_options(config, options)
    before = (tmp_path / "wsicomp.toml").stat().st_mtime_ns
    remember_options(tmp_path, config, options)
    assert (tmp_path / "wsicomp.toml").stat().st_mtime_ns == before, "a file that says the same stays"


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_known_by_its_options(name):
    values = {**load_preset(name), "exclude": ["*.dcm"]}
    assert preset_of(values) == name
    assert options_text(values) == f"preset {name}, exclude *.dcm"


def test_a_preset_may_hold_what_a_tree_remembers():
    assert commands._OF_BATCH == REMEMBERED
    assert not set(REMEMBERED) & all_options().keys()


def test_python_takes_the_options_where_none_are_given(trees):
    source, target = trees
    run(source, target)
    assert run_batch(source, target).converted == 0
    worklist, _ = plan_batch(source, target)
    assert (worklist.due, worklist.replaced) == ((), ())


def test_other_options_replace_nothing_that_is_finished(trees, capsys):
    source, target = trees
    run(source, target, RESTORABLE)
    before, said = files(target), (target / "wsicomp.toml").read_text()
    code, out, err = batch(capsys, source, target, *FAST, "--preset", "paper-jpeg")
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert "3 finished slides were converted with other options: " in line
    assert "codec is jpeg, was jpegxl" in line
    assert "--reconvert" in line
    assert (files(target), (target / "wsicomp.toml").read_text()) == (before, said)
    code, out, _ = batch(capsys, source, target, *FAST, "--preset", "paper-jpeg", "--dry-run")
    assert (code, "3 of these were made by other options" in out) == (0, True)
    code, out, err = batch(capsys, source, target, *FAST, "--preset", "paper-jpeg", "--reconvert")
    assert (code, "3 converted" in out) == (0, True)
    assert err.startswith(f"other options than in {target}/wsicomp.toml: ")
    assert "codec is jpeg, was jpegxl" in err
    assert_agrees(target)
    code, out, err = batch(capsys, source, target, "--jobs", "1")
    assert "nothing was to be done" in out
    assert "preset paper-jpeg" in err, "the new options are remembered"


def test_options_beside_the_remembered_ones_win_for_what_they_name(trees, capsys):
    source, target = trees
    assert batch(capsys, source, target, *FAST, "--codec", "jpeg", "--quality", "80")[0] == 0
    code, _, err = batch(capsys, source, target, "--quality", "60", "--reconvert", "--jobs", "1")
    assert code == 0
    assert err.splitlines()[0] == f"other options than in {target}/wsicomp.toml: quality is 60, was 80"
    assert {"codec": "jpeg", "quality": 60, "segmenter": "threshold"}.items() <= tomllib.loads(
        (target / "wsicomp.toml").read_text()
    ).items()


KEPT = ("--exclude", "c/*", "--min-saving", "10", "--quarantine-days", "30", "--carry-others")


@pytest.mark.parametrize("more", [(), ("--reconvert",)])
def test_a_preset_replaces_how_slides_are_converted_and_no_bound_on_what_may_go(trees, capsys, more):
    source, target = trees
    preset = ("--preset", "archive-lossless", *FAST)
    assert batch(capsys, source, target, *preset, *KEPT)[0] == 0
    before = tomllib.loads((target / "wsicomp.toml").read_text())
    code, _, err = batch(capsys, source, target, *preset, "--delete-source-after-verify", *more)
    assert (code, tomllib.loads((target / "wsicomp.toml").read_text())) == (0, before)
    kept = "exclude c/*, carry_others on, quarantine_days 30.0, min_saving 10.0"
    assert err.splitlines()[0] == f"as in {target}/wsicomp.toml: {kept}"
    assert entries(target).keys() == {"a/slide 0.svs", "b/slide 1.svs"}


def test_what_a_run_changes_of_the_remembered_options_is_said(trees, capsys):
    source, target = trees
    preset = ("--preset", "archive-lossless", *FAST)
    batch(capsys, source, target, *preset, *KEPT)
    changed = ("--min-saving", "3", "--no-carry-others", "--include", "*.svs")
    said = [
        f"other options than in {target}/wsicomp.toml: include is *.svs, was not given, "
        "carry_others is off, was on, min_saving is 3.0, was 10.0",
        "these are remembered for later runs; give others, or edit that file, to take them back",
        f"as in {target}/wsicomp.toml: exclude c/*, quarantine_days 30.0",
    ]
    _, _, err = batch(capsys, source, target, *preset, *changed, "--dry-run")
    assert [line for line in err.splitlines() if line in said] == [said[0], said[2]]
    assert "carry_others = true" in (target / "wsicomp.toml").read_text()
    code, _, err = batch(capsys, source, target, *preset, *changed)
    assert (code, err.splitlines()[:3]) == (0, said)
    values = tomllib.loads((target / "wsicomp.toml").read_text())
    assert values["include"] == ["*.svs"]
    assert not {"carry_others", "min_saving"} & values.keys()


def test_a_preset_that_holds_options_of_a_tree_gives_them(trees, tmp_path, capsys):
    source, target = trees
    run(source, target, RESTORABLE, min_saving=10.0, exclude=("c/*",))
    preset = tmp_path / "mine.toml"
    preset.write_text((target / "wsicomp.toml").read_text().replace("min_saving = 10.0", "min_saving = 5"))
    code, _, err = batch(capsys, source, target, "--jobs", "1", "--preset", preset)
    assert code == 0
    assert "min_saving is 5.0, was 10.0" in err.splitlines()[0]


def test_a_slide_that_changed_is_no_reason_to_take_other_options(trees):
    source, target = trees
    run(source, target, RESTORABLE)
    write_slide(source / "a/slide 0.svs", 99)
    with pytest.raises(ConfigError, match="3 finished slides"):
        run(source, target)
    assert run(source, target, RESTORABLE).converted == 1


def test_a_stopped_reconversion_goes_on_without_being_told_again(trees):
    source, target = trees
    run(source, target, CONFIG.changed(codec="jpeg", quality=80))
    stop = Stop()
    stop.request()
    other = CONFIG.changed(codec="jpeg", quality=60)
    assert run(source, target, other, reconvert=True, stop=stop).waiting == 3
    assert run(source, target, other).converted == 3
    assert_agrees(target)


def test_a_ledger_that_was_made_anew_lets_no_other_options_replace_its_targets(trees):
    source, target = trees
    run(source, target, CONFIG.changed(codec="jpeg", quality=80))
    before = files(target)
    for path in (target / ".wsicomp").glob("ledger*"):
        path.unlink()
    rebuild_ledger(target)
    other = CONFIG.changed(codec="jpeg", quality=60)
    result = run(source, target, other)
    assert (result.converted, result.failed, files(target)) == (0, 3, before)
    assert "by other options; `reconvert=True`" in next(iter(entries(target).values())).error
    assert run(source, target, other, reconvert=True).converted == 3


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("quality = 200", "line 5: quality is 200, expected 1 to 100"),
        ("qualty = 80", "line 5: unknown option 'qualty'; did you mean quality?"),
        ('exclude = "*.dcm"', "line 5: exclude is '*.dcm', expected several"),
        ("on_finish = 'rm -r /'", "line 5: unknown option 'on_finish'"),
        ("jobs = 3", "line 5: unknown option 'jobs'"),
        ("glass = ", "not a TOML file (Invalid value (at line 5,"),
    ],
)
def test_a_bad_line_is_told_with_its_place(trees, capsys, line, said):
    source, target = trees
    run(source, target, CONFIG.changed(codec="jpeg", margin_um=50.0))
    path = target / "wsicomp.toml"
    text = path.read_text().rstrip("\n").splitlines()
    path.write_text("\n".join([*text[:4], line, ""]))
    code, _, err = batch(capsys, source, target)
    assert (code, len(err.splitlines())) == (2, 1)
    assert f"{path}: {said}" in err
    with pytest.raises(WsicompError):
        run_batch(source, target)


def test_a_planted_file_is_not_followed(trees, tmp_path, capsys):
    source, target = trees
    target.mkdir()
    secret = tmp_path / "secret"
    secret.write_text('codec = "jpeg"\n')
    (target / "wsicomp.toml").symlink_to(secret)
    code, _, err = batch(capsys, source, target, "--jobs", "1")
    assert (code, "is a link, which is not ours" in err) == (1, True)
    assert secret.read_text() == 'codec = "jpeg"\n'
