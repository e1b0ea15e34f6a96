"""What the commands declare, and what is written from it: completion and the manual page."""

import re
import subprocess
import sys

import pytest

from tests.paths import ROOT
from wsicomp.cli import main
from wsicomp.cli.commands import SUMMARIES, all_commands
from wsicomp.codecs.registry import named_options
from wsicomp.config import all_options
from wsicomp.version import SOFTWARE

COMMANDS = {command.name: command for command in all_commands()}


def test_every_command_that_does_something_is_there():
    assert {*SUMMARIES} - {*COMMANDS} == {"dataset", "train", "evaluate", "study", "volume"}


def test_convert_and_batch_take_every_option_of_a_conversion():
    for name in ("convert", "batch"):
        command = COMMANDS[name]
        options = {option.name: option for option in command.options}
        assert options.keys() >= all_options().keys()
        assert options["margin_um"].range == "0 to 10000"
        assert options["margin_um"].stated_default == "50"
        assert command.spellings(options["lossless"]) == ("--lossless", "--no-lossless")
        assert command.spellings(options["label"]) == ("--no-label", "--label")
        assert command.meaning(options["label"]) == "do not keep the label image"
        assert options["codec"].kind_text == "a text"
        assert "he-compact" in options["codec"].choices


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_no_two_options_of_a_command_are_spelled_alike(command):
    flags = [flag for option in command.options for flag in command.spellings(option)]
    assert len(flags) == len({*flags})
    assert all(option.help and option.kind_text and option.group for option in command.options)


_COMPLETE = """
source {script}
COMP_WORDS=({words} "{last}"); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_LINE="${{COMP_WORDS[*]}}"
COMP_POINT=${{#COMP_LINE}}
$(complete -p wsicomp | sed 's/.*-F \\([^ ]*\\).*/\\1/') wsicomp "{last}" "${{COMP_WORDS[-2]}}"
echo "${{COMPREPLY[*]}}"
"""


@pytest.mark.parametrize(
    ("words", "last", "found"),
    [
        ("wsicomp", "c", "convert compare codecs completion"),
        ("wsicomp convert", "--qual", "--quality"),
        ("wsicomp convert a b --glass", "", "keep blank white empty"),
        ("wsicomp convert --codec", "he", "he-compact he-fine"),
        ("wsicomp batch", "--delete", "--delete-source-after-verify"),
        ("wsicomp batch", "stat", "status"),
        ("wsicomp evaluate tissue", "--bri", "--brightness"),
        ("wsicomp convert --preset", "archive-l", "archive-lossless"),
        ("wsicomp compare --codecs", "jpeg-", "jpeg-lossless"),
    ],
)
def test_bash_completes_commands_options_and_choices(words, last, found, tmp_path, capsys):
    assert main(["completion", "bash"]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    code = _COMPLETE.format(script=tmp_path / "script", words=words, last=last)
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == (found.split(), "")


@pytest.mark.parametrize("words", ["wsicomp convert", "wsicomp batch", "wsicomp verify a.svs --against"])
def test_bash_completes_names_with_spaces_and_brackets_whole(words, tmp_path, capsys, monkeypatch):
    assert main(["completion", "bash"]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    for name in ("zzz slide 1.svs", "zzz slide [1].svs"):  # the second, taken for a pattern, means the first
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    code = _COMPLETE.format(script="./script", words=words, last="zzz")
    line = f"""{code}printf '%s\\n' "${{COMPREPLY[@]}}\""""
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert sorted(done.stdout.splitlines()[1:]) == ["zzz slide 1.svs", "zzz slide [1].svs"]


def test_bash_completes_a_preset_of_ones_own_beside_those_that_ship(tmp_path, capsys, monkeypatch):
    assert main(["completion", "bash"]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    (tmp_path / "archive-mine.toml").touch()
    monkeypatch.chdir(tmp_path)
    code = _COMPLETE.format(script="./script", words="wsicomp convert --preset", last="archive-")
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert {"archive-mine.toml", "archive-lossless"} < {*done.stdout.split()}


@pytest.mark.parametrize(("shell", "beside"), [("zsh", "_files}"), ("fish", "-l preset -r -F -a '")])
def test_other_shells_offer_files_beside_the_presets(shell, beside, capsys):
    assert main(["completion", shell]) == 0
    assert beside in capsys.readouterr().out


def test_zsh_finds_the_function_in_the_file_that_help_names(capsys):
    assert main(["completion", "zsh"]) == 0
    script = capsys.readouterr().out
    (file,) = re.findall(r"completion zsh > \S+/(\w+)", COMMANDS["completion"].epilog)
    assert script.startswith("#compdef wsicomp\n")
    assert re.findall(r"^\w+(?=\(\) \{)", script, re.MULTILINE) == [file]


@pytest.mark.parametrize("words", ["", "convert ", "batch status ", "train ", "convert a b "])
def test_the_version_is_shown_wherever_completion_offers_it(words, capsys):
    assert main(f"{words}--version".split()) == 0
    assert capsys.readouterr().out == f"{SOFTWARE}\n"


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_told_every_option(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for command in COMMANDS.values():
        options = command.groups.items()
        named = [option for group, some in options if group != "arguments" for option in some]
        flags = [flag for option in named for flag in command.spellings(option)]
        assert all(flag.removeprefix("--") in script for flag in flags)


def test_the_manual_page_has_every_option(tmp_path):
    page = tmp_path / "wsicomp.1"
    subprocess.run([sys.executable, ROOT / "scripts/man.py", page], check=True, capture_output=True)
    text = page.read_text().replace("\\-", "-")
    for command in COMMANDS.values():
        part = text.split(f'.SS "wsicomp {command.name}"\n')[1].split(".SS")[0]
        assert all(f"\\fB{command.spelled(option)}\\fR" in part for option in command.options)


def test_every_number_has_a_range():
    """A codec's own options have theirs in the codec, and what is parsed in the function that parses it."""
    own = {option.name for option in named_options().values()}
    for command in COMMANDS.values():
        for option in command.options:
            if option.kind in (int, float) and option.name not in own:
                assert option.least is not None, f"{command.name} {option.flag}"
