import threading
import time

import pytest

from wsicomp.concurrency.threads import in_background, ordered_map


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_results_come_in_the_order_of_the_items(workers):
    def slow_when_even(number):
        time.sleep(0.002 * (number % 2 == 0))
        return number * number

    assert list(ordered_map(slow_when_even, range(40), workers)) == [n * n for n in range(40)]


@pytest.mark.parametrize("workers", [2, 3])
def test_no_more_items_are_taken_than_the_stated_bound(workers):
    taken = 0

    def items():
        nonlocal taken
        for number in range(100):
            taken += 1
            yield number

    for consumed, _ in enumerate(ordered_map(lambda number: number, items(), workers), 1):
        assert taken <= consumed + 2 * workers


def test_the_first_exception_ends_the_map_and_its_threads():
    before = threading.active_count()

    def fail_at_five(number):
        if number == 5:
            raise ValueError("five")
        return number

    seen = []
    with pytest.raises(ValueError, match="five"):
        seen.extend(ordered_map(fail_at_five, range(1000), 2))
    assert threading.active_count() == before


def test_a_consumer_that_stops_early_leaves_no_thread_behind():
    before = set(threading.enumerate())
    results = ordered_map(lambda number: number, range(1000), 2)
    assert next(results) == 0
    results.close()
    assert set(threading.enumerate()) <= before  # one of another test may end meanwhile


def test_nothing_to_do_gives_nothing():
    assert list(ordered_map(str, [], 4)) == []


@pytest.mark.parametrize("has_thread", [True, False])
def test_what_runs_in_the_background_ends_with_its_result_or_its_error(monkeypatch, has_thread):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    if not has_thread:
        monkeypatch.setattr(threading.Thread, "start", refuse)
    assert in_background(lambda: 7).result(20) == 7
    with pytest.raises(ZeroDivisionError):
        in_background(lambda: 1 / 0).result(20)
