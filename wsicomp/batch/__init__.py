"""A tree of slides overnight: what is there, what became of each, and a report in the morning.

One coordinator (`run_batch`) keeps the ledger; the slides are converted by processes of their own, on this
machine or on a Dask cluster. This is the only place that survives a failed slide.
"""

from wsicomp.batch.acceptance import Review, accept_slides, slides_to_review
from wsicomp.batch.api import plan_batch, run_batch
from wsicomp.batch.ledger import Entry, Ledger, State
from wsicomp.batch.options import BatchOptions
from wsicomp.batch.rebuild import RebuiltLedger, rebuild_ledger
from wsicomp.batch.report import BatchReport, read_report, write_csv, write_html
from wsicomp.batch.runner import BatchResult
from wsicomp.batch.scheduler import BatchCallbacks, Stop

__all__ = [
    "BatchCallbacks",
    "BatchOptions",
    "BatchReport",
    "BatchResult",
    "Entry",
    "Ledger",
    "RebuiltLedger",
    "Review",
    "State",
    "Stop",
    "accept_slides",
    "plan_batch",
    "read_report",
    "rebuild_ledger",
    "run_batch",
    "slides_to_review",
    "write_csv",
    "write_html",
]
