"""The pages of `--help`: plain text in the terminal's width, made from what the commands declare."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap

from wsicomp.cli.commands import SUMMARIES, Command, actions_of, first_words, load_commands
from wsicomp.cli.verbosity import VerbosityOptions

PURPOSE = "Makes whole-slide images smaller, keeps their tissue, and checks every tile."
EXAMPLES = """\
begin with:
  wsicomp demo
      see it work on a slide that it draws
  wsicomp convert slide.svs small.svs
      take the glass out, keep tissue byte for byte
  wsicomp verify small.svs --against slide.svs
      check every tile against the source
  wsicomp compare slide.svs --out look/
      see what each codec would save and change
  wsicomp batch slides/ archive/
      convert a tree of slides

exit codes:
  0    done
  1    failed: one line on stderr says why
  2    wrong usage
  130  interrupted
  141  nobody read its output any longer
"""
_NARROWEST, _WIDEST = 40, 120
_TEXT_COLUMN = 26
"""The column where an option's text begins; a longer spelling has a line of its own."""
_HELP = ("-h, --help", "show this page")
_HELP_ALL = ("--help-all", "show every option")


def terminal_width() -> int:
    """Return the columns of a page: those of the terminal, within what is easy to read."""
    return min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)


def page_of(words: Sequence[str], width: int, shows_all: bool = False) -> str:
    """Return the page of the command with which these words begin, else the program's page.

    `width` is in columns of the terminal. Without `shows_all` a page leaves out what few need.
    """
    if not words or words[0] not in first_words():
        return _main_page(width)
    commands = load_commands(words[0])
    command = commands.get(" ".join(words[:2])) or commands.get(words[0])
    return _group_page(words[0], width) if command is None else command_page(command, width, shows_all)


def _main_page(width: int) -> str:
    """Return the page of the program."""
    rows = [(word, SUMMARIES[word]) for word in first_words()]
    version = ("--version", "show the version")
    return _page(
        "wsicomp COMMAND ...", PURPOSE, {"commands": rows, "options": [_HELP, version]}, EXAMPLES, width
    )


def _group_page(word: str, width: int) -> str:
    """Return the page of a word that only holds commands."""
    rows = [(name.split()[1], text) for name, text in actions_of(word).items()]
    purpose = f"{SUMMARIES[word].capitalize()}."
    return _page(f"wsicomp {word} COMMAND ...", purpose, {"commands": rows, "options": [_HELP]}, "", width)


def command_page(command: Command, width: int, shows_all: bool = False) -> str:
    """Return the page of one command, with all of its options or with those of every day."""
    left_out = 0 if shows_all else sum(each.is_rare for each in command.options)
    tables = {
        group: [
            (command.spelled(each), command.meaning(each))
            for each in options
            if shows_all or not each.is_rare
        ]
        for group, options in command.groups.items()
    }
    tables[VerbosityOptions.GROUP] += [_HELP]
    if left_out:
        tables[VerbosityOptions.GROUP] += [(_HELP_ALL[0], f"{_HELP_ALL[1]}: {left_out} more")]
    actions = [(name.split()[1], text) for name, text in actions_of(command.name).items()]
    tables |= {"commands of their own": actions} if actions else {}
    return _page(command.usage, command.description, tables, command.epilog, width)


def _page(usage: str, purpose: str, tables: dict[str, list[tuple[str, str]]], epilog: str, width: int) -> str:
    lines = [*wrap(f"usage: {usage}", width, subsequent_indent=" " * 9, break_on_hyphens=False)]
    for paragraph in purpose.strip().split("\n\n"):
        lines += ["", *wrap(paragraph, width, break_on_hyphens=False)]
    for title, rows in tables.items():
        if rows:
            lines += ["", *wrap(f"{title}:", width), *_rows(rows, width)]
    if epilog:
        lines += ["", *_verbatim(epilog.rstrip().split("\n"), width)]
    return "\n".join(lines) + "\n"


def _rows(rows: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    for name, text in rows:
        first, *others = wrap(text, width - _TEXT_COLUMN, break_on_hyphens=False) or [""]
        if len(name) + 4 > _TEXT_COLUMN:
            yield f"  {name}"
            others.insert(0, first)
        else:
            yield f"  {name:<{_TEXT_COLUMN - 2}}{first}".rstrip()
        yield from (" " * _TEXT_COLUMN + other for other in others)


def _verbatim(lines: Iterable[str], width: int) -> Iterator[str]:
    """Yield lines unchanged; one that is longer than the page continues below its last column."""
    for line in lines:
        column = re.match(r" *(?:\S+ )*\S+ {2,}(?=\S)| *", line)
        assert column is not None, "the second form always fits"
        indent = column.end()
        if len(line) <= width or indent > width // 2:
            yield line
        else:
            yield from (
                line[:indent] + text if not n else " " * indent + text
                for n, text in enumerate(wrap(line[indent:], width - indent, break_on_hyphens=False))
            )
