"""The command line: one thin module a command, which declares what it takes and runs it.

A module is imported when its command is asked for; `wsicomp.cli.commands` knows them all by name.

This is the only place that prints and exits. A `WsicompError` becomes one line on stderr and exit code 1;
a mistake in the command line, or options that do not go together or with the slide, are exit code 2.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from wsicomp.cli.signals import ending_at_once


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    with ending_at_once():
        from wsicomp.cli.command_line import loaded_command, run_command

        command = loaded_command(sys.argv[1:] if arguments is None else arguments)
    return run_command(command)
