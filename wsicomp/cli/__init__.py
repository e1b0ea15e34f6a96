"""The command line: a short module for each command, which declares its options and runs it.

A module is imported when its command is asked for; `wsicomp.cli.commands` knows all commands by name.

Only this package prints and exits. A `WsicompError` becomes one line on stderr and exit code 1. A mistake in
the command line, or options that contradict each other or the slide, end with exit code 2.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from wsicomp.cli.signals import ending_at_once


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    with ending_at_once(), _keeping_all():
        from wsicomp.cli.command_line import loaded_command, run_command

        command = loaded_command(sys.argv[1:] if arguments is None else arguments)
        if arguments is None:
            gc.freeze()  # before garbage is looked for again, which would be at once, and in all of it
    return run_command(command, is_process=arguments is None)


@contextmanager
def _keeping_all() -> Iterator[None]:
    """Look for no garbage while modules load: they leave none, and looking takes an eighth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
