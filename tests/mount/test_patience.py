"""Calls that never end are given up, and hold up nobody else."""

import errno
import threading

import pytest

from tests.mount.conftest import errno_of, until
from wsicomp.mount.patience import Patience


def fail():
    raise TimeoutError("of its own")


def test_a_call_gives_what_the_function_gives():
    patience = Patience()
    assert patience.call(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        patience.call(divmod, 7, 0)
    with pytest.raises(TimeoutError, match="of its own"):
        patience.call(fail)
    assert patience.lost == 0
    patience.close()


def test_calls_that_do_not_end_are_given_up_and_soon_refused():
    patience, goes_on = Patience(0.2, 16), threading.Event()
    for _ in range(4):
        assert patience.call(len, "abc") == 3
        assert errno_of(patience.call, goes_on.wait) == errno.ETIMEDOUT
    assert patience.lost == 4
    assert errno_of(patience.call, len, "abc") == errno.ETIMEDOUT
    goes_on.set()
    assert until(lambda: patience.lost == 0)
    assert patience.call(len, "abc") == 3
    patience.close()


def test_many_threads_may_call():
    patience = Patience(60, 4)
    found = []
    threads = [threading.Thread(target=lambda: found.append(patience.call(sum, [1, 2]))) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [3] * 50
    patience.close()
