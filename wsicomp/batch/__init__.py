"""A tree of slides overnight: what is there, what became of each, and a report in the morning.

One coordinator (`run_batch`) keeps the ledger; the slides are converted by processes of their own, on this
machine or on a Dask cluster. This is the only place that survives a failed slide.
"""

from wsicomp.batch.acceptance import Look, accept_slides, slides_to_look_at
from wsicomp.batch.api import run_batch, survey_batch
from wsicomp.batch.ledger import Entry, Ledger, State
from wsicomp.batch.options import BatchChoices
from wsicomp.batch.rebuild import Rebuilt, rebuild_ledger
from wsicomp.batch.report import BatchReport, read_report, write_csv, write_html
from wsicomp.batch.runner import BatchResult
from wsicomp.batch.scheduler import Stop, Watcher

__all__ = [
    "BatchChoices",
    "BatchReport",
    "BatchResult",
    "Entry",
    "Ledger",
    "Look",
    "Rebuilt",
    "State",
    "Stop",
    "Watcher",
    "accept_slides",
    "read_report",
    "rebuild_ledger",
    "run_batch",
    "slides_to_look_at",
    "survey_batch",
    "write_csv",
    "write_html",
]
