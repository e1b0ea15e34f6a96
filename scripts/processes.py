"""Whole processes beside each other: wall and CPU seconds, peak memory, bytes written.

A small interpreter starts each command and waits for it, since a command that a large process starts counts
that one's memory to its own peak.
"""

import ast
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

WSICOMP = (sys.executable, "-m", "wsicomp")

_LAUNCHER = """
import os, sys, time
start = time.perf_counter()
process = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(process, 0)
wall = time.perf_counter() - start
with open(sys.argv[1], "w") as file:
    figures = wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status)
    file.write(repr(figures))
"""


@dataclass(frozen=True)
class Command:
    """A command line, and the file that it writes."""

    words: tuple[str, ...]
    target: Path


@dataclass(frozen=True)
class Run:
    """What a process took."""

    wall_s: float
    cpu_s: float
    """Of all its threads and processes, in user and system."""
    peak_mb: float
    """The largest resident memory of one process."""
    written: int
    """Bytes of the target."""
    said: str
    """Its standard output."""


def conversion(source: Path, target: Path, *options: str) -> Command:
    """Return the command that converts a slide and prints its report as JSON."""
    return Command((*WSICOMP, "convert", str(source), str(target), "--overwrite", "--json", *options), target)


def run(command: Command) -> Run:
    """Run a command, whose target is removed before.

    Raises:
        SystemExit: it failed.
    """
    command.target.unlink(missing_ok=True)
    with tempfile.NamedTemporaryFile("r") as figures:
        launcher = (sys.executable, "-I", "-S", "-c", _LAUNCHER, figures.name, *command.words)
        done = subprocess.run(launcher, stdout=subprocess.PIPE, text=True, check=True)
        wall, cpu, peak, status = ast.literal_eval(figures.read())
    if status:
        sys.exit(f"bench: {' '.join(command.words)} failed with status {status}")
    return Run(wall, cpu, peak, command.target.stat().st_size, done.stdout)


def alternating(commands: Mapping[str, Command], rounds: int) -> dict[str, Run]:
    """Run all commands in turn, `rounds` times; return the fastest run of each with its largest peak."""
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            runs[name].append(run(command))
    return {name: fastest(found) for name, found in runs.items()}


def fastest(runs: list[Run]) -> Run:
    """Return the fastest run, with the least CPU seconds and the largest peak of all."""
    best = min(runs, key=lambda one: one.wall_s)
    cpu, peak = min(one.cpu_s for one in runs), max(one.peak_mb for one in runs)
    return Run(best.wall_s, cpu, peak, best.written, best.said)
