"""All commands with their arguments and options as plain data: for the man page and the docs' tables.

Example:
    >>> verify = next(command for command in reference() if command.name == "verify")
    >>> [option.spelling for option in verify.options][:2]
    ['FILE', '--against SOURCE']
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wsicomp.cli.commands import SUMMARIES, Command, first_words, load_commands
from wsicomp.cli.help_pages import meaning, spelled, usage
from wsicomp.options import Option


@dataclass(frozen=True)
class OptionReference:
    """One argument or option, in words."""

    name: str
    """Its name in a preset and in Python."""
    spelling: str
    """How help shows it, with what stands for its value: `--[no-]lossless`, `--audit PICTURE`, `TARGET`."""
    flags: tuple[str, ...]
    """What the command line takes, each alone: `--lossless` and `--no-lossless`; none for an argument."""
    kind: str
    """What its value is: "a whole number"."""
    help: str
    """What it does, without choices, range and default."""
    meaning: str
    """What it does, with them, as help says it."""
    choices: tuple[str, ...]
    range: str
    """The numbers that it takes: "1 to 100"; empty where any will do, or its kind is none."""
    default: str
    """Its default in words; empty where it has none."""
    group: str
    """The heading that it stands below; "arguments" for those."""
    is_required: bool
    takes_many: bool


@dataclass(frozen=True)
class CommandReference:
    """One command, in words."""

    name: str
    """Its words, as "batch status"."""
    usage: str
    summary: str
    description: str
    """Paragraphs with an empty line between."""
    options: tuple[OptionReference, ...]
    """Arguments first, then the options of each group together."""
    epilog: str
    """Examples and tables, line by line."""


def reference() -> tuple[CommandReference, ...]:
    """Return every command that does something, in the order of the help page."""
    return tuple(_command(command) for command in _all_commands())


def _all_commands() -> Iterator[Command]:
    for word in first_words():
        commands = load_commands(word)
        yield from (commands[name] for name in SUMMARIES if name in commands)


def _command(command: Command) -> CommandReference:
    return CommandReference(
        command.name,
        usage(command),
        command.summary,
        command.description,
        tuple(_option(command, each) for each in command.options),
        command.epilog,
    )


def _option(command: Command, option: Option) -> OptionReference:
    return OptionReference(
        option.name,
        spelled(command, option),
        () if option.is_argument else command.spellings(option),
        option.kind_text,
        option.help,
        meaning(command, option),
        option.choices,
        option.range,
        option.stated_default,
        "arguments" if option.is_argument else option.group,
        option.is_required,
        option.takes_many,
    )
