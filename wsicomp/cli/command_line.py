"""Run a command line; an error becomes one line on stderr and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType

from wsicomp.cli.commands import Command
from wsicomp.cli.signals import INTERRUPTED, stop_on_signals
from wsicomp.cli.text import drop_what_is_not_taken, open_closed_streams, say, show, show_every_letter
from wsicomp.concurrency.threads import let_idle_threads_sleep
from wsicomp.errors import ConfigError, WsicompError
from wsicomp.version import SOFTWARE

_HELP = ("-h", "--help")


def loaded_command(words: Sequence[str]) -> Callable[[], int]:
    """Return a function that does what a command line asks for and returns the exit code.

    It runs a command, or prints a page of help or an error.
    """
    shown = _page(words)
    if shown is not None:
        return partial(_show, shown)
    from wsicomp.cli.parser import named_command

    try:
        command, rest = named_command(words)
    except ConfigError as exc:
        return partial(_complain, f"wsicomp: {exc}")
    return partial(_parse_and_run, command, rest)


def _parse_and_run(command: Command, words: Sequence[str]) -> int:
    from wsicomp.cli.parser import parsed_command

    try:
        run = parsed_command(command, words)
    except ConfigError as exc:
        return _complain(f"wsicomp {command.name}: {exc}")
    return run()


def _page(words: Sequence[str]) -> str | None:
    """Return the version or the page of help that a command line asks for; None for neither."""
    options = words[: words.index("--")] if "--" in words else words
    if "--version" in options:
        return f"{SOFTWARE}\n"
    if not set(_HELP) & set(options):
        return None
    from wsicomp.cli import help_pages

    return help_pages.page_of(words, help_pages.terminal_width())


def _show(text: str) -> int:
    show(text)
    return 0


def _complain(text: str) -> int:
    say(text, file=sys.stderr)
    return 2


def run_command(command: Callable[[], int]) -> int:
    """Run one command and return its exit code.

    An error becomes one line on stderr and exit code 1, a `ConfigError` exit code 2, an interrupt 130.
    """
    code = _code_of(command)
    drop_what_is_not_taken()
    return code


def _code_of(command: Callable[[], int]) -> int:
    try:
        stop_on_signals()
        let_idle_threads_sleep()
        open_closed_streams()
        show_every_letter()
        code = command()
        show("")  # which writes what libraries printed
    except ConfigError as exc:
        say(f"wsicomp: {exc}", file=sys.stderr)
        return 2
    except WsicompError as exc:
        say(f"wsicomp: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say(INTERRUPTED, file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1
    except Exception as exc:  # the last of all places: one line, and no success
        say(f"wsicomp: {_unforeseen(exc)}", file=sys.stderr)
        return 1
    return code


def _unforeseen(error: Exception) -> str:
    """Return an unforeseen error in one line that helps to find it."""
    if isinstance(error, MemoryError):
        return "out of memory; close other programs, or take a machine with more"
    if isinstance(error, FileNotFoundError) and _is_working_folder_gone():
        return "the working folder was deleted; go to another one and run it again"
    trace: TracebackType | None = error.__traceback__
    place = ""
    while trace is not None:
        place = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    text = " ".join(str(error).split())
    return f"internal error, {type(error).__name__}{place}: {text}; please report it"


def _is_working_folder_gone() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False
