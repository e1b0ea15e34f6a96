"""`wsicomp batch --on-finish`: run a command of the user's when a run has ended, however it did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wsicomp.batch.ledger_files import FOLDER, LOG, ledger_path
from wsicomp.cli.flags import with_flags
from wsicomp.cli.text import say
from wsicomp.errors import ConfigError, WsicompError

_PREFIX = "WSICOMP_"


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

    What it prints goes to stderr. If it fails, that is said in a line, and changes nothing else.
    """
    if command is None:
        return
    line = json.dumps(end) + "\n"
    environment = {**os.environ, **_environment(target, end, code)}
    done = subprocess.run(  # noqa: S602 - the user's own command
        command, shell=True, input=line.encode(), stdout=2, env=environment, check=False
    )
    if done.returncode:
        how = f"ended with exit code {done.returncode}"
        if done.returncode < 0:
            how = f"was killed by signal {-done.returncode}"
        say(f"wsicomp batch: the command of --on-finish {how}: {command}", file=sys.stderr)


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
