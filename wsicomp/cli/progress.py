"""Progress bars on stderr, only on a terminal, and not where silence or a log was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from wsicomp.cli.verbosity import shows_progress
from wsicomp.progress import Progress

_LABELS = {
    "compare": "Comparing",
    "draw": "Drawing slides",
    "cut": "Cutting patches",
    "measure": "Measuring",
    "identify": "Identifying",
    "overview": "Reading the overview",
    "segment": "Looking for tissue",
    "survey": "Checking the glass",
    "write": "Writing tiles",
    "verify": "Verifying",
    "values": "Looking at values",
    "region": "Finding the region",
    "slices": "Writing slices",
}


@contextmanager
def progress_bars() -> Iterator[Progress | None]:
    """Yield a progress callback that draws a bar for each stage; None where no bars are to be drawn."""
    if not shows_progress():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description:<20}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(_LABELS.get(stage, stage.capitalize()), total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield show
