"""The time that a source has been in quarantine: days that runs have counted, not one reading of a clock.

Each run adds the time since the run before it, at most a day. A clock that leaps ahead, or that was wrong
when a source was moved, therefore deletes nothing by itself. A clock that goes back adds nothing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from wsicomp.batch.entry import Entry
from wsicomp.progress import utc_now

QUARANTINED, DELETED = "quarantined", "deleted"
"""Where a source went, as `Entry.removal` says it."""

_MOST_A_RUN = 1.0
"""The most days that one run adds."""
_LEAST_RUNS = 2
"""Runs after the one that moved a source, before any may delete it: a single one may have a wrong clock."""


def enter_quarantine(entry: Entry) -> Entry:
    """Return the entry of a slide whose source has just been moved into quarantine."""
    return replace(restart_quarantine_time(entry), removal=QUARANTINED, removed=utc_now())


def restart_quarantine_time(entry: Entry) -> Entry:
    """Return the entry of a source in quarantine whose days are counted from now."""
    return replace(entry, quarantine_age=0.0, quarantine_runs=0, quarantine_seen=utc_now())


def count_run_in_quarantine(entry: Entry, days: float) -> Entry:
    """Return the entry after one more run has seen its source in quarantine.

    The source is to stay there for `days`; one run adds at most half of them.
    """
    now = utc_now()
    since = datetime.fromisoformat(now) - datetime.fromisoformat(entry.quarantine_seen or now)
    more = min(max(since / timedelta(days=1), 0.0), _MOST_A_RUN, days / 2)
    return replace(
        entry,
        quarantine_age=entry.quarantine_age + more,
        quarantine_runs=entry.quarantine_runs + 1,
        quarantine_seen=now,
    )


def is_overdue(entry: Entry, days: float) -> bool:
    """Return whether a source has been in quarantine for `days`, and may be deleted."""
    return days == 0 or (entry.quarantine_runs >= _LEAST_RUNS and entry.quarantine_age >= days)


def days_left(entry: Entry, days: float) -> float:
    """Return the days that a source has yet to stay in quarantine, 0 or more."""
    return max(0.0, days - entry.quarantine_age)


def earliest_deletion_day(left: float) -> str:
    """Return the first date on which a source can be deleted, `left` days of quarantine from now.

    It assumes a run on every day.
    """
    return (datetime.fromisoformat(utc_now()) + timedelta(days=left)).date().isoformat()
