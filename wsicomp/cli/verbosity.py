"""How much a command says: `--quiet` and `--verbose`, which every command takes."""

from __future__ import annotations

import enum
import logging
import platform
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from wsicomp.errors import ConfigError, WsicompError
from wsicomp.options import option
from wsicomp.text.escaping import printable
from wsicomp.version import SOFTWARE

_LOGGERS = ("wsicomp", "wsicomp.batch")
"""The library's loggers; a batch's own passes nothing on to the first."""


class Verbosity(enum.Enum):
    """How much a command says to a person."""

    QUIET = "errors only"
    NORMAL = "results and progress"
    VERBOSE = "results, and the log instead of progress"


@dataclass(frozen=True, kw_only=True)
class VerbosityOptions:
    """Options of every command."""

    GROUP = "any command"

    quiet: bool = option(
        False, "print errors only: neither results, except as JSON, nor progress", short="-q"
    )
    verbose: bool = option(
        False, "log each step on stderr, and show where in the code an internal error came up", short="-v"
    )

    @property
    def verbosity(self) -> Verbosity:
        """What was asked for.

        Raises:
            ConfigError: both were.
        """
        if self.quiet and self.verbose:
            raise ConfigError("`quiet` does not go with `verbose`; leave one of them out")
        if self.quiet:
            return Verbosity.QUIET
        return Verbosity.VERBOSE if self.verbose else Verbosity.NORMAL


class _Present:
    """The verbosity of the command that runs."""

    verbosity = Verbosity.NORMAL


def is_quiet() -> bool:
    """Return whether only errors are to be printed."""
    return _Present.verbosity is Verbosity.QUIET


def shows_progress() -> bool:
    """Return whether bars can be drawn: stderr is a terminal, and neither silence nor a log was asked for."""
    return _Present.verbosity is Verbosity.NORMAL and sys.stderr.isatty()


@contextmanager
def speaking(verbosity: Verbosity) -> Iterator[None]:
    """Let the block say so much."""
    _Present.verbosity = verbosity
    try:
        if verbosity is Verbosity.VERBOSE:
            with _logging(), _traces():
                yield
        else:
            yield
    finally:
        _Present.verbosity = Verbosity.NORMAL


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


@contextmanager
def _logging() -> Iterator[None]:
    """Write what the library logs to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(asctime)s %(name)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    try:
        loggers[0].debug("%s, Python %s, %s", SOFTWARE, platform.python_version(), platform.platform())
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)


@contextmanager
def _traces() -> Iterator[None]:
    """Print the traceback of an error that nobody foresaw, and pass it on."""
    try:
        yield
    except (WsicompError, BrokenPipeError):
        raise
    except Exception:
        traceback.print_exc(file=sys.stderr)
        raise
