"""Convert a tree of slides overnight, record what became of each slide, and report in the morning.

What was converted is checked and restored by the same worker processes.

One coordinator (`run_batch`) keeps the ledger. Worker processes convert the slides, on this machine or on a
Dask cluster. No other part of wsicomp goes on after a slide failed.
"""

from wsicomp.batch.acceptance import Review, accept_slides, slides_to_review
from wsicomp.batch.api import plan_batch, run_batch
from wsicomp.batch.bulk import BulkOptions
from wsicomp.batch.entry import Entry, State
from wsicomp.batch.ledger import Ledger
from wsicomp.batch.options import BatchOptions
from wsicomp.batch.rebuild import RebuiltLedger, rebuild_ledger
from wsicomp.batch.report import BatchReport, read_report, write_csv, write_html
from wsicomp.batch.restore import BatchRestoreOptions, RestoredTree, restore_batch
from wsicomp.batch.runner import BatchResult
from wsicomp.batch.scheduler import BatchCallbacks, Stop
from wsicomp.batch.verify import CheckedFile, CheckedFiles, verify_files

__all__ = [
    "BatchCallbacks",
    "BatchOptions",
    "BatchReport",
    "BatchRestoreOptions",
    "BatchResult",
    "BulkOptions",
    "CheckedFile",
    "CheckedFiles",
    "Entry",
    "Ledger",
    "RebuiltLedger",
    "RestoredTree",
    "Review",
    "State",
    "Stop",
    "accept_slides",
    "plan_batch",
    "read_report",
    "rebuild_ledger",
    "restore_batch",
    "run_batch",
    "slides_to_review",
    "verify_files",
    "write_csv",
    "write_html",
]
