"""What is remembered while a setting is sought, and that it ends."""

import threading

from wsicomp.codecs.memory import remembered, remembering


def made(item):
    """How many items were made anew, of one that is asked for once more."""
    calls = []
    remembered([item], abs, lambda left: [calls.append(each) or each for each in left])
    return len(calls)


def test_the_outermost_block_ends_it():
    with remembering():
        with remembering():
            assert made(3) == 1
        assert made(3) == 0
    assert made(3) == 1


def test_blocks_of_two_threads_that_overlap_leave_nothing_on():
    first_left, second_entered = threading.Event(), threading.Event()
    found = []

    def second():
        with remembering():
            second_entered.set()
            assert first_left.wait(30)
            found.append(made(3))

    thread = threading.Thread(target=second)
    with remembering():
        thread.start()
        assert second_entered.wait(30)
        made(3)
    first_left.set()
    thread.join()
    assert found == [0]  # the second block is still open, so that nothing was forgotten
    assert (made(3), made(3)) == (1, 1)
