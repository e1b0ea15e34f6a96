"""Messages of the library, as the command line prints them."""

import json

import pytest

from wsicomp.cli import main
from wsicomp.cli.flags import with_flags
from wsicomp.cli.text import say, write_json


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("choose another name or `overwrite=True`", "choose another name or --overwrite"),
        ('`codec="jpeg"` encodes them anew', "--codec jpeg encodes them anew"),
        ('`restorable=True` and `glass="keep"` does', "--restorable and --glass keep does"),
        ("`min_free` keeps 2 GB", "--min-free keeps 2 GB"),
        ("take `min_free=2.5`, or (`z`)", "take --min-free 2.5, or (--z)"),
        ("leave `verify=False` out", "leave --no-verify out"),
        ("leave `label=False` and `macro=False` out", "leave --no-label and --no-macro out"),
        ("it needs `delete_source=True`", "it needs --delete-source-after-verify"),
        ("it needs `ssims`", "it needs --ssim"),
        ('`audit="my look.png"`', "--audit 'my look.png'"),
        ("`even_if_sound=True` rebuilds it", "--even-if-sound rebuilds it"),
    ],
)
def test_a_parameter_becomes_its_flag(text, printed):
    assert with_flags(text) == printed


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("`wsicomp.restore` takes it", "`wsicomp restore` takes it"),
        (
            'look at it with `wsicomp.plan_slide` and `audit="look.png"`',
            "look at it with `wsicomp convert --dry-run` and --audit look.png",
        ),
        ("`wsicomp.open_slide` reads it", "`wsicomp.open_slide` reads it"),
    ],
)
def test_a_function_becomes_its_command(text, printed):
    assert with_flags(text) == printed


@pytest.mark.parametrize(
    "text",
    [
        "overwrite=True",
        "`colour` is no option",
        "`trust=False` has no flag",
        "`file` is an argument",
        "`wsicomp batch rebuild out` makes it anew",
        "/slides/`z`/a.svs: cut off",
        "/slides/a `z`.svs: cut off",
        "`codec=",
        "```",
        "",
    ],
)
def test_other_words_stay(text):
    assert with_flags(text) == text


def test_an_error_names_the_flag(tmp_path, capsys):
    there = tmp_path / "there.svs"
    there.touch()
    assert main(["restore", str(tmp_path / "a.tiff"), str(there)]) == 1
    assert capsys.readouterr().err == (
        f"wsicomp: {there}: exists already; choose another name or --overwrite\n"
    )
    assert main(["convert", "a.svs", "b.tiff", "--codec", "jpeg", "--embed-model"]) == 2
    assert capsys.readouterr().err == ("wsicomp: codec jpeg has no model to embed; leave --embed-model out\n")


def test_a_line_for_a_person_is_translated_and_json_is_not(capsys):
    text = 'tiles are copied; `codec="jpeg"` encodes them anew'
    say(text)
    assert capsys.readouterr().out == "tiles are copied; --codec jpeg encodes them anew\n"
    write_json([text], None)
    assert json.loads(capsys.readouterr().out) == [text]
