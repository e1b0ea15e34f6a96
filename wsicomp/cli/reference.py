"""All commands with their arguments and options as plain data: for the man page and the docs' tables.

Examples:
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
    """How help shows it, with its value's name: `--[no-]lossless`, `--audit PICTURE`, `TARGET`."""
    flags: tuple[str, ...]
    """What the command line accepts, one by one: `--lossless` and `--no-lossless`; none for an argument."""
    kind: str
    """The kind of its value, such as "a whole number"."""
    help: str
    """What it does, without choices, range and default."""
    meaning: str
    """What it does, with choices, range and default, as help says it."""
    choices: tuple[str, ...]
    """The values that it takes; empty where any of its kind will do."""
    range: str
    """The numbers that it takes, such as "1 to 100"; "" where any will do or it is no number."""
    default: str
    """Its default in words; "" without one."""
    group: str
    """The heading that lists it; "arguments" for those."""
    is_required: bool
    """Whether it has to be given."""
    takes_many: bool
    """Whether it may be given several times, or stand for several words."""


@dataclass(frozen=True)
class CommandReference:
    """One command, in words."""

    name: str
    """Its words, such as "batch status"."""
    usage: str
    """How it is called, in one line."""
    summary: str
    """Its purpose in a few words."""
    description: str
    """Paragraphs with an empty line between."""
    options: tuple[OptionReference, ...]
    """Arguments first, then the options of each group together."""
    epilog: str
    """Examples and tables, line by line."""


def reference() -> tuple[CommandReference, ...]:
    """Return every command that can be run, in the order of the help page."""
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
