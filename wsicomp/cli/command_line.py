"""Run a command line; an error becomes one line on stderr and an exit code."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from itertools import takewhile
from pathlib import Path
from types import TracebackType

from wsicomp.cli.advice import advising, with_advice
from wsicomp.cli.commands import SUMMARIES, Command
from wsicomp.cli.signals import INTERRUPTED, ServingEndedError, ending_soon, stop_on_signals
from wsicomp.cli.text import drop_what_is_not_taken, open_closed_streams, say, show, show_every_letter
from wsicomp.cli.verbosity import VerbosityOptions, speaking
from wsicomp.concurrency.threads import let_idle_threads_sleep
from wsicomp.errors import ConfigError, WsicompError
from wsicomp.files.inputs import is_file
from wsicomp.options import options_of
from wsicomp.version import SOFTWARE

_WORD = Path("help")
_HELP = ("-h", "--help")
_HELP_ALL = "--help-all"
_BROKEN_PIPE = 128 + 13
"""The exit code of a program that SIGPIPE ends: nobody reads its output any longer."""


def loaded_command(words: Sequence[str]) -> Callable[[], int]:
    """Return a function that does what a command line asks for and returns the exit code.

    It runs a command, or prints a page of help or an error.
    """
    words = _with_common_options_last(words)
    shown = _page(words)
    if shown is not None:
        return partial(_show, shown)
    from wsicomp.cli.parser import named_command

    try:
        command, rest = named_command(words)
    except ConfigError as exc:
        return partial(_complain, exc)
    return partial(_parse_and_run, command, rest)


def _with_common_options_last(words: Sequence[str]) -> list[str]:
    """Return the words with options that stand before the command behind it, as `wsicomp -q info` has."""
    common = {name for each in options_of(VerbosityOptions).values() for name in (each.flag, each.short)}
    leading = list(takewhile(common.__contains__, words))
    command = list(takewhile(lambda word: not word.startswith("-"), words[len(leading) :]))[:2]
    known = 2 if " ".join(command) in SUMMARIES else 1
    rest = list(words[len(leading) :])
    return [*rest[:known], *leading, *rest[known:]] if rest else leading


def _parse_and_run(command: Command, words: Sequence[str]) -> int:
    from wsicomp.cli.parser import parsed_command, positional_words

    first = next(iter(positional_words(words, command)), "")
    with advising(command.name, first):
        run, verbosity = parsed_command(command, words)
        with speaking(verbosity), ending_soon():
            return run()


def _page(words: Sequence[str]) -> str | None:
    """Return the version or the page of help that a command line asks for; None for neither."""
    options = words[: words.index("--")] if "--" in words else words
    if "--version" in options:
        return f"{SOFTWARE}\n"
    shows_all = _HELP_ALL in options
    if not shows_all and not set(_HELP) & set(options) and not _asks_by_word(words):
        return None
    from wsicomp.cli import help_pages

    return help_pages.page_of(words, help_pages.terminal_width(), shows_all)


def _asks_by_word(words: Sequence[str]) -> bool:
    """Return whether the one word after a command is "help", and no file of that name is there."""
    return len(words) > 1 and words[-1] == "help" and " ".join(words[:-1]) in SUMMARIES and not is_file(_WORD)


def _show(text: str) -> int:
    show(text)
    return 0


def _complain(error: ConfigError) -> int:
    raise error


def run_command(command: Callable[[], int], is_process: bool = False) -> int:
    """Run one command and return its exit code.

    An error becomes one line on stderr and exit code 1, a `ConfigError` exit code 2, an interrupt 130, a
    reader of stdout that is gone 141. An interrupt ends the process at once if this run is all that
    `is_process`, and so do threads that nobody waits for: to leave Python would wait for the calls into
    libraries that threads are still in, or take those libraries away from them.
    """
    code, is_interrupted = _code_of(command)
    drop_what_is_not_taken()
    if is_process and (is_interrupted or any(thread.daemon for thread in threading.enumerate())):
        os._exit(code)
    return code


def _code_of(command: Callable[[], int]) -> tuple[int, bool]:
    """Return the exit code, and whether the command was interrupted."""
    try:
        stop_on_signals()
        let_idle_threads_sleep()
        open_closed_streams()
        show_every_letter()
        code = command()
        show("")  # which writes what libraries printed
    except WsicompError as exc:
        say(f"wsicomp: {with_advice(exc)}", file=sys.stderr)
        return (2 if isinstance(exc, ConfigError) else 1), False
    except ServingEndedError as exc:
        return exc.code, True
    except KeyboardInterrupt:
        say(INTERRUPTED, file=sys.stderr)
        return 130, True
    except BrokenPipeError:
        return _BROKEN_PIPE, False
    except Exception as exc:  # the last of all places: one line, and no success
        say(f"wsicomp: {_unforeseen(exc)}", file=sys.stderr)
        return 1, False
    return code, False


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
