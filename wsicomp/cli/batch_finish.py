"""`wsicomp batch --on-finish`: run a command of the user's when a run has ended, however it did."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from wsicomp.batch.ledger_files import FOLDER, LOG, ledger_path
from wsicomp.cli.flags import with_flags
from wsicomp.cli.text import say
from wsicomp.errors import ConfigError, WsicompError

_PREFIX = "WSICOMP_"
_MOST_S = 3600
"""What a command may take: one that hangs would keep the run from its end."""


def end_of_error(source: Path, error: BaseException) -> dict[str, Any]:
    """Return the end of a run that could not go on, as the values of its line of JSON."""
    known = str(error) if isinstance(error, WsicompError) else f"{type(error).__name__}: {error}".rstrip(": ")
    said = with_flags(known)
    return {"event": "end", "why": "error", "error": said, "source": str(source.absolute())}


def exit_code_of(error: BaseException) -> int:
    """Return the exit code of a run that ends with an error."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    return 2 if isinstance(error, ConfigError) else 1


def run_on_finish(command: str | None, target: Path, end: Mapping[str, Any], code: int) -> None:
    """Run a shell command with the end of a run in its environment, and the end's line of JSON on its stdin.

    What it prints goes to stderr. If it fails, or is ended after an hour with all that it started, that is
    said in a line, and changes nothing else.
    """
    if command is None:
        return
    line = json.dumps(end) + "\n"
    environment = {**os.environ, **_environment(target, end, code)}
    with subprocess.Popen(  # noqa: S602 - the user's own command
        command, shell=True, stdin=subprocess.PIPE, stdout=2, env=environment, process_group=0
    ) as process:
        try:
            process.communicate(line.encode(), timeout=_MOST_S)
            how = _failure(process.returncode)
        except BaseException as exc:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(exc, subprocess.TimeoutExpired):
                raise
            how = "was ended after an hour"
    if how:
        say(f"wsicomp batch: the command of --on-finish {how}: {command}", file=sys.stderr)


def _failure(code: int) -> str:
    """Return how a command failed; "" if it did not."""
    if code < 0:
        return f"was killed by signal {-code}"
    return f"ended with exit code {code}" if code else ""


def _environment(target: Path, end: Mapping[str, Any], code: int) -> dict[str, str]:
    """Return the variables that a command gets: each value of the end by its name, and where to read more."""
    folder = target.absolute()
    values = {name: value for name, value in end.items() if name not in ("event", "why")}
    facts = {
        **values,
        "state": end["why"],
        "exit_code": code,
        "target": folder,
        "ledger": ledger_path(folder),
        "log": folder / FOLDER / LOG,
    }
    return {f"{_PREFIX}{name.upper()}": "" if value is None else str(value) for name, value in facts.items()}
