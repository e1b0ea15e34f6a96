"""The command line as data, for the docs: every command with its options, as its parser declares them.

`commands` is the one place that knows how the command line is built.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

from wsicomp.cli import batch, command_line
from wsicomp.cli.parsers import Parser

_MODULES = (
    "convert",
    "batch",
    "compare",
    "verify",
    "restore",
    "info",
    "segment",
    "demo",
    "dataset",
    "train",
    "evaluate",
)


@dataclass(frozen=True)
class Argument:
    """An option, or what stands without one."""

    spelling: str
    """As it is given: `--quality N`, or `SOURCE`."""
    meaning: str


@dataclass(frozen=True)
class Group:
    """Arguments under one title."""

    title: str
    arguments: tuple[Argument, ...]


@dataclass(frozen=True)
class Command:
    """One command."""

    name: str
    """Without `wsicomp`: `batch status`."""
    summary: str
    description: str
    groups: tuple[Group, ...]
    epilog: str


def commands() -> tuple[Command, ...]:
    """Return every command, in the order of `wsicomp --help`."""
    parser = Parser("wsicomp")
    subparsers = parser.add_subparsers()
    for name in _MODULES:
        getattr(command_line, name).register(subparsers)
    return tuple(_below("", subparsers))


def spelled(words: list[str]) -> list[str]:
    """Return a command line with each command of two words in one."""
    return batch.spelled(words)


def _below(prefix: str, subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> Iterator[Command]:
    summaries = {each.dest: each.help or "" for each in subparsers._choices_actions}
    for name, parser in subparsers.choices.items():
        inner = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
        if inner:
            yield from _below(f"{prefix}{name} ", inner[0])
        else:
            yield _command(f"{prefix}{name}", summaries.get(name, ""), parser)


def _command(name: str, summary: str, parser: argparse.ArgumentParser) -> Command:
    groups = (
        Group(
            group.title or "",
            tuple(_argument(each) for each in group._group_actions if each.help and each.dest != "help"),
        )
        for group in parser._action_groups
    )
    return Command(
        name,
        summary,
        parser.description or "",
        tuple(group for group in groups if group.arguments),
        parser.epilog or "",
    )


def _argument(action: argparse.Action) -> Argument:
    value = ""
    if action.nargs != 0 and not isinstance(action, argparse.BooleanOptionalAction):
        value = "|".join(map(str, action.choices)) if action.choices else str(action.metavar or "")
        value = value or action.dest.upper()
    if not action.option_strings:
        return Argument(value, _text(action))
    return Argument(" ".join(filter(None, (", ".join(action.option_strings), value))), _text(action))


def _text(action: argparse.Action) -> str:
    return (action.help or "").replace("%%", "%")
