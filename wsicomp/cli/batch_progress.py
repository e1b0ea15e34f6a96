"""Show the progress of a batch: bars on a terminal, lines elsewhere, JSON for scripts."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from wsicomp.batch import BatchCallbacks, Entry, State
from wsicomp.batch.monitoring import Snapshot
from wsicomp.batch.report import entry_values, outdated_text
from wsicomp.cli.flags import with_flags
from wsicomp.cli.text import say, show
from wsicomp.cli.verbosity import is_quiet, shows_progress
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
    return f"{entry.source}: {look}{sizes}, {how}"


@dataclass(frozen=True)
class SlideTexts:
    """How a finished slide is shown."""

    line: Callable[[Entry], str]
    """Returns a line for a person; "" for none."""
    values: Callable[[Entry], Mapping[str, Any]]
    """Returns values for a line of JSON."""


_OF_CONVERSIONS = SlideTexts(_line, lambda entry: entry_values(vars(entry).items()))


@contextmanager
def batch_progress(as_json: bool, texts: SlideTexts = _OF_CONVERSIONS) -> Iterator[BatchCallbacks]:
    """Yield the callbacks that show a run: on stdout as JSON, else on stderr, with bars on a terminal."""
    if as_json:
        yield _JsonLines(texts)
    elif is_quiet():
        yield _Failures(texts)
    elif not shows_progress():
        yield _Lines(texts)
    else:
        with _bars(texts) as bars:
            yield bars


def _counts(snapshot: Snapshot) -> str:
    look = f"{snapshot.look} to look at, " if snapshot.look else ""
    return f"{look}{snapshot.done} done, {snapshot.failed} failed, {snapshot.waiting} waiting"


class _Lines:
    """Plain lines: one for each slide, and one a minute with the run's progress."""

    def __init__(self, texts: SlideTexts) -> None:
        self._texts = texts
        self._next = time.monotonic() + _SAY_EVERY_S
        self._is_begun = False

    def on_progress(self, snapshot: Snapshot) -> None:
        """Print the progress once a minute; at first, also the count of outdated slides."""
        if snapshot.outdated and not self._is_begun:
            say(outdated_text(snapshot.outdated), file=sys.stderr)
        self._is_begun = True
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

    def __init__(self, texts: SlideTexts) -> None:
        self._texts = texts
        self._next = 0.0

    def on_progress(self, snapshot: Snapshot) -> None:
        """Print the snapshot once a minute and at the end."""
        if snapshot.state == "running" and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _SAY_EVERY_S
        show(json.dumps({"event": "progress", **snapshot.to_json()}) + "\n")

    def on_slide_done(self, entry: Entry) -> None:
        """Print the slide's entry."""
        show(json.dumps({"event": "slide", **self._texts.values(entry)}) + "\n")


class _Bars:
    """A bar for all bytes, and one for each slide at work."""

    def __init__(self, bars: Any, texts: SlideTexts) -> None:
        self._bars, self._texts = bars, texts
        self._whole = bars.add_task("looking for slides", total=None, figures="")
        self._tasks: dict[str, Any] = {}
        self._is_begun = False

    def on_progress(self, snapshot: Snapshot) -> None:
        """Update the bars, below a line on outdated slides."""
        if snapshot.outdated and not self._is_begun:
            self._bars.console.print(
                with_flags(outdated_text(snapshot.outdated)), markup=False, highlight=False
            )
        self._is_begun = True
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
            self._bars.console.print(printable(with_flags(line)), markup=False, highlight=False)


@contextmanager
def _bars(texts: SlideTexts) -> Iterator[_Bars]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[figures]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield _Bars(bars, texts)
