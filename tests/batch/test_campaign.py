"""Rounds of `scripts/campaign`: a batch that takes sources away is killed and edited, and nothing is lost."""

import pytest

from tests.campaign import edited, killed
from tests.conftest import slow_unless

pytestmark = pytest.mark.gate


@pytest.mark.slow
def test_kills_lose_no_source_and_touch_nothing_outside(tmp_path):
    seen = killed(tmp_path, 1, kills=3)
    assert seen.faults == []
    assert (seen.kills, seen.ends[-1], seen.stayed) == (3, 0, 0)


@pytest.mark.parametrize("seed", slow_unless(lambda seed: seed == 2, range(10)))
def test_edits_lose_no_source_and_touch_nothing_outside(seed, tmp_path):
    seen = edited(tmp_path, seed)
    assert seen.edits
    assert seen.faults == []
    assert (seen.ends[0], seen.taken + seen.stayed) == (0, 3)
