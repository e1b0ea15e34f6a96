"""What all commands' parsers have in common."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn, TypeAlias

from wsicomp.escaping import printable

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


class Parser(argparse.ArgumentParser):
    """A parser that quotes what was given to it on one line: a shell may have put a file's name there."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2 and the message."""
        super().error(printable(message))


def add_command(commands: Subparsers, name: str, summary: str, description: str, **options: Any) -> Any:
    """A parser whose description and epilog keep their line breaks; `options` go to `ArgumentParser`."""
    return commands.add_parser(
        name,
        help=summary,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **options,
    )
