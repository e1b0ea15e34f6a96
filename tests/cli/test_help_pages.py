"""What `--help` shows: all of it, in the terminal's width."""

import pytest

from wsicomp.cli import main
from wsicomp.cli.commands import SUMMARIES, all_commands, load_commands
from wsicomp.cli.help_pages import page_of


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", SUMMARIES)
def test_a_page_keeps_to_its_width_and_cuts_no_word(name, width):
    lines = page_of(name.split(), width, shows_all=True).splitlines()
    assert max(map(len, lines)) <= width
    command = load_commands(name.split()[0]).get(name)
    if command is not None:
        text = " ".join(" ".join(lines).split())
        for option in command.options:
            assert " ".join(option.help.split()) in text


@pytest.mark.parametrize("command", all_commands(), ids=lambda command: command.name)
def test_every_option_of_a_command_stands_on_its_page_with_range_and_default(command):
    text = " ".join(page_of(command.name.split(), 80, shows_all=True).split())
    for option in command.options:
        assert f"{command.spelled(option)} {command.meaning(option)}" in text
        assert option.stated_default in command.meaning(option)
        assert option.range in command.meaning(option)


@pytest.mark.parametrize("width", [80, 120])
def test_examples_are_shown_line_by_line_as_they_are(width):
    for command in all_commands():
        page = page_of(command.name.split(), width)
        shown = [line for line in command.epilog.splitlines() if line.startswith("  wsicomp")]
        assert all(f"{line}\n" in page for line in shown)


def test_a_page_follows_the_terminal(monkeypatch, capsys):
    pages = []
    for columns in (60, 80, 120):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert main(["convert", "-h"]) == 0
        pages.append(capsys.readouterr().out)
    assert [len(page.splitlines()) for page in pages] == sorted(
        (len(page.splitlines()) for page in pages), reverse=True
    )
    assert len({*map(len, pages)}) == 3


def test_help_is_shown_wherever_it_stands_but_not_as_a_file(capsys):
    assert main(["batch", "status", "x", "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: wsicomp batch status [OPTIONS] TARGET_DIR\n")
    assert main(["info", "--", "--help"]) == 1
    assert "--help: no such file" in capsys.readouterr().err
