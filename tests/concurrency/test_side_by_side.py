"""Small pieces of work, done by the caller and by threads that all callers share."""

import os
import threading
import time

import pytest

from wsicomp.concurrency import side_by_side
from wsicomp.concurrency.side_by_side import for_each

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no processes")


@pytest.fixture(autouse=True)
def cores(monkeypatch):
    monkeypatch.setattr(side_by_side, "available_cores", lambda: 4)
    monkeypatch.setattr(side_by_side, "_threads", side_by_side._SharedThreads())


def test_every_item_is_taken_once_by_several_threads_the_callers_among_them():
    gate = threading.Barrier(4, timeout=20)
    found = []

    def take(item):
        if item < 4:
            gate.wait()  # four of them run at once
        found.append((item, threading.get_ident()))

    for_each(take, range(50))
    assert sorted(item for item, _ in found) == list(range(50))
    assert len({thread for _, thread in found}) == 4
    assert threading.get_ident() in {thread for _, thread in found}


@pytest.mark.parametrize(("items", "workers"), [(1, None), (9, 1), (0, None)])
def test_one_item_or_one_worker_is_the_callers_alone(items, workers):
    found = []
    for_each(lambda _: found.append(threading.get_ident()), range(items), workers)
    assert found == [threading.get_ident()] * items
    assert side_by_side._threads._executor is None


def test_of_several_errors_the_first_items_is_raised_when_nothing_runs_any_more():
    running, begun = [], threading.Barrier(3, timeout=20)

    def fail(item):
        running.append(item)
        if item < 3:
            begun.wait()
        time.sleep(0.05 * (3 - item) if item < 3 else 0)
        running.remove(item)
        if item in (1, 2):
            raise ValueError(item)

    with pytest.raises(ValueError, match=r"^1$"):
        for_each(fail, range(1000))
    assert not running


def test_a_caller_goes_on_alone_while_all_threads_are_taken():
    release, inside = threading.Event(), threading.Barrier(5, timeout=20)

    def hold(_):
        inside.wait()
        release.wait(20)

    holder = threading.Thread(target=for_each, args=(hold, range(4)))
    holder.start()
    inside.wait()
    found = []
    for_each(found.append, range(20))
    release.set()
    holder.join()
    assert sorted(found) == list(range(20))


def test_where_no_thread_can_begin_the_caller_does_it_alone(monkeypatch):
    def refuse(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(side_by_side.ThreadPoolExecutor, "submit", refuse)
    found = []
    for_each(found.append, range(5))
    assert found == list(range(5))


def test_a_thread_that_could_not_start_leaves_no_work_behind(monkeypatch):
    start, starts = side_by_side.ThreadPoolExecutor._adjust_thread_count, iter([True, False])

    def start_once(executor):
        if not next(starts):
            raise RuntimeError("can't start new thread")  # the call is queued already
        start(executor)

    def take(item):
        taken.append(item)
        if item == 0:
            raise ValueError(item)
        running.wait(20)

    monkeypatch.setattr(side_by_side.ThreadPoolExecutor, "_adjust_thread_count", start_once)
    taken, running = [], threading.Event()
    threading.Timer(0.2, running.set).start()
    with pytest.raises(ValueError, match=r"^0$"):
        for_each(take, range(1000))
    ended = len(taken)
    side_by_side._threads._executor.shutdown()
    assert len(taken) == ended


def test_work_within_work_ends():
    found = []
    for_each(lambda outer: for_each(lambda inner: found.append((outer, inner)), range(5)), range(5))
    assert len(set(found)) == 25


@needs_fork
def test_a_child_has_threads_of_its_own():
    for_each(str, range(20))
    child = os.fork()
    if not child:
        code = 1
        try:
            found = []
            for_each(found.append, range(20))
            code = 0 if sorted(found) == list(range(20)) else 1
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
