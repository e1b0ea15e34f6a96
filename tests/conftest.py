"""How much is tried, and the real slides, where the machine has them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from itertools import combinations, product
from pathlib import Path

import pytest
from hypothesis import settings

from tests.forked_workers import ForkSource, forking
from tests.paths import SHARED

for threads in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(threads, "1")  # each core has a process of pytest, and small networks gain nothing

settings.register_profile("full", deadline=None, derandomize=True)
settings.register_profile("gate", settings.get_profile("full"), max_examples=25)

SLIDES = Path(os.environ.get("WSICOMP_SLIDES", SHARED / "data/slides"))
REAL_SLIDES = (
    sorted(p for p in SLIDES.glob("*") if p.suffix in {".svs", ".tif", ".dcm"}) if SLIDES.is_dir() else []
)
CASES_AT_QUICK = 2
"""With `--quick`, a parametrised test runs with its first case and one from the middle."""
SIZE = "gate"
"""How much is tried: quick, gate or full. Set before any test is imported."""


def pytest_addoption(parser):
    group = parser.getgroup("sizes", "how much is tried")
    group.addoption("--quick", action="store_true", help="leave out tests marked gate, and most parameters")
    group.addoption("--full", action="store_true", help="run tests marked slow too, and every trial in full")


def pytest_configure(config):
    global SIZE  # noqa: PLW0603 - parameters are listed while modules are imported, before fixtures
    if config.option.quick and config.option.full:
        raise pytest.UsageError("--quick and --full exclude each other")
    SIZE = "quick" if config.option.quick else "full" if config.option.full else "gate"
    settings.load_profile("full" if SIZE == "full" else "gate")
    if SIZE != "full":
        os.fsync = os.fstat  # no test cuts the power, and a disk takes its 10 ms for each file
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # What a shell starts in the background ignores Ctrl-C, and so would all that tests start in turn.
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def kept_folder(tmp_path_factory):
    """What takes long to make is made once a run, and kept in this folder; None with `--full`."""
    if SIZE == "full":
        yield None
        return
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # which the processes of a run share
    folder = folder / "kept"
    folder.mkdir(exist_ok=True)
    from tests.drawn.kept import keep_in

    with pytest.MonkeyPatch.context() as patch:
        keep_in(folder, patch.setattr)
        yield folder


@pytest.fixture(scope="session", autouse=True)
def warm_workers(kept_folder):
    """Worker processes of a batch are forked from one that has imported everything; not with `--full`."""
    if SIZE == "full" or not hasattr(socket, "send_fds"):
        yield
        return
    with pytest.MonkeyPatch.context() as patch, contextlib.closing(ForkSource(kept_folder)) as source:
        patch.setattr("wsicomp.batch.worker_process.subprocess", forking(source))
        yield


def trial_size(gate, full):
    """The size of a long trial: `gate` as a rule, `full` with `--full`."""
    return full if SIZE == "full" else gate


def slow_unless(is_quick, values):
    """Parameters for a test: those that are not quick run with `--full` alone."""
    return [value if is_quick(value) else pytest.param(value, marks=pytest.mark.slow) for value in values]


def is_small(slide):
    """Whether a real slide is converted in some seconds."""
    return slide.stat().st_size < 3e6


def pairs_of(*lists):
    """Parameters for a test: all combinations of values; at the gate, so few that each pair still meets.

    Next comes the combination with most pairs that have not met yet.
    """
    rows = list(product(*(range(len(values)) for values in lists)))
    pairs = {row: {(a, row[a], b, row[b]) for a, b in combinations(range(len(row)), 2)} for row in rows}
    missing, chosen = set().union(*pairs.values()), set()
    while missing:
        best = max(rows, key=lambda row: len(pairs[row] & missing))
        chosen.add(best)
        missing -= pairs[best]
    return _combinations(lists, rows, chosen)


def each_of(*lists):
    """Parameters for a test: all combinations of values; at the gate, so few that each value comes once."""
    rows = list(product(*(range(len(values)) for values in lists)))
    longest = max(map(len, lists))
    return _combinations(lists, rows, {tuple(n % len(values) for values in lists) for n in range(longest)})


def _combinations(lists, rows, chosen):
    found = []
    for row in rows:
        marks = () if row in chosen else pytest.mark.slow
        found.append(pytest.param(*(values[n] for n, values in zip(row, lists, strict=True)), marks=marks))
    return found


def pytest_collection_modifyitems(config, items):
    reason = f"no real slides in {SLIDES}; name their folder in WSICOMP_SLIDES"
    for item in items:
        if item.get_closest_marker("slides") and not REAL_SLIDES:
            item.add_marker(pytest.mark.skip(reason=reason))
    left_out = {"quick": ("slow", "gate"), "gate": ("slow",), "full": ()}[SIZE]
    kept = [item for item in items if not any(map(item.get_closest_marker, left_out))]
    if SIZE == "quick":
        kept = _few_cases(kept)
    if len(kept) < len(items):
        taken = set(kept)
        config.hook.pytest_deselected(items=[item for item in items if item not in taken])
        items[:] = kept


def _few_cases(items):
    """The first case of each parametrised test, and one from the middle."""
    cases = {}
    for item in items:
        cases.setdefault((item.parent, getattr(item, "originalname", item.name)), []).append(item)
    taken = {one for each in cases.values() for one in each[:: max(1, -(-len(each) // CASES_AT_QUICK))]}
    return [item for item in items if item in taken]
