"""A cache of units: bounded, each unpacked once, and never more begun than can be kept."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from wsicomp.formats.originals import unit_cache
from wsicomp.formats.originals.unit_cache import UnitCache


def test_threads_that_want_a_unit_at_once_unpack_it_once():
    cache, barrier, calls = UnitCache(), Barrier(8), []

    def unpack():
        calls.append(1)
        return b"unit"

    def wanted(_):
        barrier.wait()
        return cache.get("key", unpack)

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(wanted, range(8))) == {b"unit"}
    assert len(calls) == 1


def test_it_keeps_no_more_than_its_capacity():
    cache = UnitCache(1000)
    for number in range(50):
        cache.get((1, number), lambda: bytes(100))
    assert cache.kept_bytes == 1000
    assert len(cache.get((1, "large"), lambda: bytes(5000))) == 5000
    assert cache.kept_bytes <= 1000
    cache.forget(1)
    assert cache.kept_bytes == 0


def test_an_error_is_raised_and_not_kept():
    cache = UnitCache()

    def fails():
        raise ValueError("damaged")

    for _ in range(2):
        with pytest.raises(ValueError, match="damaged"):
            cache.get("key", fails)
    assert cache.get("key", lambda: b"sound") == b"sound"


def test_a_unit_that_waits_is_not_begun_again_and_no_more_wait_than_may(monkeypatch):
    monkeypatch.setattr(unit_cache, "_MOST_BEGUN", 5)
    monkeypatch.setattr(unit_cache, "available_cores", lambda: 1)
    cache, gate, begun = UnitCache(), Event(), []

    def unpack(number):
        gate.wait(10)
        begun.append(number)
        return b"unit"

    for _ in range(3):
        for number in range(20):
            cache.begin(number, lambda number=number: unpack(number))
    gate.set()
    cache._executor.shutdown()
    assert len(begun) == len(set(begun)) <= 7
