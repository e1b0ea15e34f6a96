"""A few of the mutants that scripts/fuzz makes by the thousand, for each command."""

import pytest

from tests.conftest import trial_size
from tests.fuzzing import COMMANDS, sound_files, try_fuzzed, try_sound

MAIN = {
    "info": trial_size(5, 15),
    "verify": trial_size(6, 20),
    "open_slide": trial_size(20, 60),
    "convert": trial_size(5, 15),
    "restore": trial_size(6, 20),
}
OTHERS = trial_size(2, 4)
SLOW = {"compare": 1, "segment --weights": trial_size(1, 2)}
FOUND = {"convert": (16,), "verify": (200005,), "open_slide": (101279, 102841), "dataset build": (0,)}
"""Seeds of which a fault was found."""
SOUND = ("info", "open_slide", "restore", "convert --mask", "batch --preset", "dataset build")

pytestmark = [pytest.mark.gate, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return sound_files(tmp_path_factory.mktemp("sound"))


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "train tissue"])  # loads Keras
def test_a_mutant_is_read_or_refused_in_one_line(command, sound, tmp_path):
    count = MAIN.get(command, SLOW.get(command, OTHERS))
    tried = [try_fuzzed(command, seed, sound, tmp_path) for seed in (*range(count), *FOUND.get(command, ()))]
    assert [one for one in tried if not one.is_good] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", SOUND)
def test_what_is_sound_is_read(command, sound, tmp_path):
    tried = try_sound(command, sound, tmp_path)
    assert {one.facts for one in tried if one.outcome != "read"} <= {"picture.png"}, (
        "which is no slide to info"
    )
