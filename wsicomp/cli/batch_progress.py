"""Show the progress of a batch: bars on a terminal, lines elsewhere, JSON for scripts."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from wsicomp.batch import BatchCallbacks, Entry, State
from wsicomp.batch.monitoring import Snapshot
from wsicomp.batch.report import entry_values, outdated_text
from wsicomp.batch.scheduler import STOPPING
from wsicomp.cli.flags import with_flags
from wsicomp.cli.stopping import stopping_text
from wsicomp.cli.text import say, show
from wsicomp.cli.verbosity import is_quiet, shows_progress
from wsicomp.conversion.outcome import Tissue
from wsicomp.text.escaping import printable
from wsicomp.text.figures import as_bytes, as_duration, as_saving

_SAY_EVERY_S = 60.0
_MOST_BARS = 16


def _line(entry: Entry) -> str:
    if not entry.is_converted:
        return f"{entry.shown}: {entry.state}, {entry.cause}: {entry.error}"
    sizes = f"{as_bytes(entry.source_bytes)} -> {as_bytes(entry.target_bytes)}, {as_saving(entry.saved)}"
    how = "found done" if entry.adopted else f"in {as_duration(entry.elapsed_s)}"
    look = f"look at it: {entry.look}; " if entry.state is State.LOOK else ""
    lossy = "LOSSY, " if entry.tissue == Tissue.LOSSY else ""
    return f"{entry.source}: {look}{lossy}{sizes}, {how}"


@dataclass(frozen=True)
class SlideTexts:
    """How a finished slide is shown."""

    line: Callable[[Entry], str]
    """Returns a line for a person; "" for none."""
    values: Callable[[Entry], Mapping[str, Any]]
    """Returns values for a line of JSON."""
    thing: str = "slide"
    """What is worked on, in a word."""


_OF_CONVERSIONS = SlideTexts(_line, lambda entry: entry_values(vars(entry).items()))


@contextmanager
def batch_progress(
    as_json: bool, texts: SlideTexts = _OF_CONVERSIONS, opening: Sequence[str] = ()
) -> Iterator[BatchCallbacks]:
    """Yield the callbacks that show a run: on stdout as JSON, else on stderr, with bars on a terminal.

    The lines of `opening` are printed on stderr before work starts.
    """
    if as_json:
        yield _JsonLines(texts, opening)
    elif is_quiet():
        yield _Failures(texts, ())
    elif not shows_progress():
        yield _Lines(texts, opening)
    else:
        with _bars(texts, opening) as bars:
            yield bars


def _counts(snapshot: Snapshot) -> str:
    look = f"{snapshot.look} to look at, " if snapshot.look else ""
    stopping = "stopping: " if snapshot.state == STOPPING else ""
    return f"{stopping}{look}{snapshot.done} done, {snapshot.failed} failed, {snapshot.waiting} waiting"


class _Opening:
    """The lines that are printed once, before work starts."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._is_said = False

    def lines(self, snapshot: Snapshot) -> list[str]:
        """Return the lines at the first call, with one on outdated slides; none later."""
        if self._is_said:
            return []
        self._is_said = True
        return [*self._lines, *([outdated_text(snapshot.outdated)] if snapshot.outdated else [])]


class _Lines:
    """Plain lines: one for each slide, and one a minute with the run's progress."""

    def __init__(self, texts: SlideTexts, opening: Sequence[str]) -> None:
        self._texts = texts
        self._next = time.monotonic() + _SAY_EVERY_S
        self._opening = _Opening(opening)

    def on_progress(self, snapshot: Snapshot) -> None:
        """Print the progress once a minute; at first, also the opening lines."""
        say(*self._opening.lines(snapshot), file=sys.stderr)
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _SAY_EVERY_S
        eta = "" if snapshot.eta_s is None else f", about {as_duration(snapshot.eta_s)} to go"
        size = f"{as_bytes(snapshot.done_bytes)} of {as_bytes(snapshot.total_bytes)}"
        say(f"{_counts(snapshot)}; {size}{eta}", file=sys.stderr)

    def on_slide_done(self, entry: Entry) -> None:
        """Print what became of the slide."""
        if line := self._texts.line(entry):
            say(line, file=sys.stderr)


class _Failures(_Lines):
    """A line for each slide that failed, and no progress."""

    def on_progress(self, snapshot: Snapshot) -> None:
        """Print nothing."""

    def on_slide_done(self, entry: Entry) -> None:
        """Print what went wrong with the slide."""
        if not entry.is_converted:
            super().on_slide_done(entry)


class _JsonLines:
    """Progress as one JSON object a line: `slide` for each slide, `progress` once a minute and at the end."""

    def __init__(self, texts: SlideTexts, opening: Sequence[str]) -> None:
        self._texts = texts
        self._next = 0.0
        self._state = ""
        self._opening = opening

    def on_progress(self, snapshot: Snapshot) -> None:
        """Print the snapshot once a minute, and when the run's state changes."""
        say(*self._opening, file=sys.stderr)
        self._opening = ()
        if snapshot.state == self._state and time.monotonic() < self._next:
            return
        self._state = snapshot.state
        self._next = time.monotonic() + _SAY_EVERY_S
        show(json.dumps({"event": "progress", **snapshot.to_json()}) + "\n")

    def on_slide_done(self, entry: Entry) -> None:
        """Print the slide's entry."""
        show(json.dumps({"event": "slide", **self._texts.values(entry)}) + "\n")


class _Bars:
    """A bar for all bytes, and one for each slide at work."""

    def __init__(self, bars: Any, texts: SlideTexts, opening: Sequence[str]) -> None:
        self._bars, self._texts = bars, texts
        self._opening = _Opening(opening)
        self._whole = bars.add_task("looking for slides", total=None, figures="")
        self._tasks: dict[str, Any] = {}
        self._is_stopping = False

    def on_progress(self, snapshot: Snapshot) -> None:
        """Update the bars, below the opening lines."""
        for line in self._opening.lines(snapshot):
            self._print(line)
        if snapshot.state == STOPPING and not self._is_stopping:  # the bars cover what the signal printed
            self._is_stopping = True
            self._print(stopping_text(self._texts.thing, len(snapshot.running), 1))
        eta = "" if snapshot.eta_s is None else f", {as_duration(snapshot.eta_s)} to go"
        size = f"{as_bytes(snapshot.done_bytes)} of {as_bytes(snapshot.total_bytes)}{eta}"
        text = _counts(snapshot)
        total = max(snapshot.total_bytes, 1)
        self._bars.update(
            self._whole, description=text, completed=snapshot.done_bytes, total=total, figures=size
        )
        for name in [name for name in self._tasks if name not in snapshot.running]:
            self._bars.remove_task(self._tasks.pop(name))
        for name, (stage, done, total) in list(snapshot.running.items())[:_MOST_BARS]:
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task("", figures="")
            shown = printable(name)
            short = shown if len(shown) <= 40 else f"...{shown[-37:]}"
            self._bars.update(
                self._tasks[name], description=short, completed=done, total=total, figures=stage
            )

    def on_slide_done(self, entry: Entry) -> None:
        """Print slides that failed or need a look above the bars."""
        line = "" if entry.state is State.DONE else self._texts.line(entry)
        if line:
            self._print(line)

    def _print(self, line: str) -> None:
        self._bars.console.print(printable(with_flags(line)), markup=False, highlight=False)


@contextmanager
def _bars(texts: SlideTexts, opening: Sequence[str]) -> Iterator[_Bars]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[figures]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield _Bars(bars, texts, opening)
