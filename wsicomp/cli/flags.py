"""Translate the library's messages for the command line: they name parameters as Python spells them.

Only what is printed for a person is translated. JSON, reports, pages, tables, logs and the ledger are read by
both audiences, and keep the library's spelling.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from functools import cache

from wsicomp.cli.commands import SUMMARIES, Command, first_words, load_commands
from wsicomp.options import Option, options_of

_PARAMETER = re.compile(r"""(?<![^\s(])`(\w+)(?:=(?:"([^"`]*)"|([\w.+-]+)))?`(?![\w/'"`]|\.\w)""")
"""A parameter, alone or with a text or a bare value; not inside the name of a file without spaces."""
_FUNCTION = re.compile(r"`wsicomp\.(\w+)`")
_FUNCTIONS: Mapping[str, str] = {"plan_slide": "convert --dry-run"}
"""Functions that are no command of the same name."""


def with_flags(text: str) -> str:
    """Return a message of the library with options as the command line spells them; other words stay.

    >>> with_flags('exists already; choose another name or `overwrite=True`')
    'exists already; choose another name or --overwrite'
    >>> with_flags('take `codec="jpeg"`, leave `verify=False` out, or call `wsicomp.restore`')
    'take --codec jpeg, leave --no-verify out, or call `wsicomp restore`'
    """
    if "`" not in text:
        return text
    return _FUNCTION.sub(_command, _PARAMETER.sub(_flag, text))


def _flag(found: re.Match[str]) -> str:
    name, quoted, bare = found.groups()
    flag, opposite = _spellings(name)
    if bare == "False":
        return opposite or found[0]
    if not flag:
        return found[0]
    if quoted is not None:
        return f"{flag} {shlex.quote(quoted)}"
    return flag if bare in (None, "True") else f"{flag} {bare}"


def _command(found: re.Match[str]) -> str:
    name = _FUNCTIONS.get(found[1], found[1])
    return f"`wsicomp {name}`" if name.split()[0] in SUMMARIES else found[0]


@cache
def _spellings(name: str) -> tuple[str, str]:
    """Return the flag of a parameter and its opposite; "" for none.

    The command that runs is asked first: it knows the name mostly, and loading others takes a moment.
    """
    for word in sorted(first_words(), key=lambda word: f"wsicomp.cli.{word}" not in sys.modules):
        for command in load_commands(word).values():
            option = _option(command, name)
            if option is not None:
                others = [
                    flag for flag in command.spellings(option) if flag not in (option.flag, option.short)
                ]
                return option.flag, "".join(others)
    return "", ""


def _option(command: Command, name: str) -> Option | None:
    """Return a command's option by its own name, else by that of the field that declares it."""
    fields = {field: each for part in command.parts for field, each in options_of(part).items()}
    named = {**fields, **{each.name: each for each in command.options}}
    found = named.get(name)
    return None if found is None or found.is_argument else found
