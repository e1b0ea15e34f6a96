"""What stands on the command line, and what becomes of an error: one line on stderr, and an exit code."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from wsicomp.cli import (
    INTERRUPTED,
    batch,
    compare,
    convert,
    dataset,
    demo,
    evaluate,
    info,
    restore,
    segment,
    train,
    verify,
)
from wsicomp.cli.parsers import Parser
from wsicomp.cli.text import say, show_every_letter
from wsicomp.concurrency import let_idle_threads_sleep
from wsicomp.errors import ConfigError, WsicompError
from wsicomp.version import SOFTWARE

_EPILOG = """\
begin with:
  wsicomp demo                             see it work on a slide that it draws itself
  wsicomp convert slide.svs smaller.svs    glass out, tissue byte for byte
  wsicomp verify smaller.svs --against slide.svs
  wsicomp compare slide.svs --out look/    what each codec would save of it, and do to it
  wsicomp batch slides/ archive/           a whole tree, overnight

exit codes: 0 done, 1 failed (one line on stderr says why), 2 wrong usage, 130 interrupted
"""


def parsed_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What stands on the command line, or in its place; `run` of it is the command."""
    parser = Parser(
        "wsicomp",
        description="Makes whole-slide images small without anyone losing a diagnosis.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=SOFTWARE)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (convert, batch, compare, verify, restore, info, segment, demo, dataset, train, evaluate):
        command.register(commands)
    return parser.parse_args(batch.spelled(sys.argv[1:] if arguments is None else arguments))


def run_command(options: argparse.Namespace) -> int:
    """Run one command and return its exit code."""
    try:
        _stop_on_signals()
        let_idle_threads_sleep()
        show_every_letter()
        code: int = options.run(options)
        sys.stdout.flush()
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
        sys.stderr.close()
        return 1
    except Exception as exc:  # the last of all places: one line, and no success
        say(f"wsicomp: {_unforeseen(exc)}", file=sys.stderr)
        return 1
    return code


def _unforeseen(error: Exception) -> str:
    """An error that nobody foresaw, in one line that helps to find it."""
    if isinstance(error, MemoryError):
        return "out of memory; close other programs, or take a machine with more"
    trace: TracebackType | None = error.__traceback__
    place = ""
    while trace is not None:
        place = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    text = " ".join(str(error).split())
    return f"internal error, {type(error).__name__}{place}: {text}; please report it"


def _stop_on_signals() -> None:
    """Let SIGTERM and a closed terminal end a run as Ctrl-C does, with nothing half-written.

    A signal that was to be ignored, as by nohup, still is.
    """
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN:
                signal.signal(getattr(signal, name), signal.default_int_handler)
