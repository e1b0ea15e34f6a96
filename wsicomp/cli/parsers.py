"""What all commands' parsers have in common."""

from __future__ import annotations

import argparse
from typing import Any, TypeAlias

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(commands: Subparsers, name: str, summary: str, description: str, **options: Any) -> Any:
    """A parser whose description and epilog keep their line breaks; `options` go to `ArgumentParser`."""
    return commands.add_parser(
        name,
        help=summary,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **options,
    )
