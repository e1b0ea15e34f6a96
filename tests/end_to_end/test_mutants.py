"""A few of the slides that scripts/mutants draws by the thousand, each by every road."""

import pytest

from tests.conftest import trial_size
from tests.mutants import try_mutant

pytestmark = pytest.mark.gate

SEEDS = range(trial_size(12, 48))
FOUND = (20, 35, 44, 49, 71, 95, 109, 123, 135, 162, 226, 277)
"""Seeds of which one or another fault was found."""


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("first", [*range(0, len(SEEDS), 12), "found"])
def test_others_see_in_the_target_what_they_see_in_the_source_or_it_is_refused_in_one_line(first, tmp_path):
    seeds = FOUND if first == "found" else SEEDS[first : first + 12]
    tried = [one for seed in seeds for one in try_mutant(seed, tmp_path)]
    assert [one for one in tried if not one.is_good] == []
    assert len(tried) == 3 * len(seeds)
