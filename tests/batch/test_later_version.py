"""A version that is to come, with another default, option, network and number, redoes no archive of this one.

It is a copy of this checkout with these things changed, so that its worker processes have them, too.
"""

import hashlib
import json
import re
import shutil

import pytest

from tests.batch.trees import entries, files, run
from tests.command_line import command_process
from tests.drawn import forged
from tests.paths import ROOT
from wsicomp.config import ConversionConfig

pytestmark = pytest.mark.gate

CONFIG = ConversionConfig.of(codec="jpeg", quality=80)
OPTIONS = ("--codec", "jpeg", "--quality", "80", "--jobs", "1", "--min-free", "0")
TAKING = ("--delete-source-after-verify", "--even-if-lossy", "--quarantine-days", "0", "--min-saving", "0")
HALO = """
    halo_um: float = option(0.0, "an option that is new", least=0, most=9, metavar="F")
"""


def changed(path, pattern, text):
    """Replace the one place of a file that a pattern fits."""
    new, count = re.subn(pattern, text, path.read_text())
    assert count == 1, (path, pattern)
    path.write_text(new)


def other_network(models):
    """Have the tissue network be another file, which finds the same."""
    manifest = json.loads((models / "tissue-unet.json").read_text())
    entry = manifest["files"]["litert"]
    data = (models / entry["name"]).read_bytes() + bytes(16)
    (models / entry["name"]).write_bytes(data)
    entry["sha256"] = hashlib.sha256(data).hexdigest()
    (models / "tissue-unet.json").write_text(json.dumps(manifest))


@pytest.fixture(scope="module")
def later(tmp_path_factory):
    """The later version, as a function that runs a command of it."""
    folder = tmp_path_factory.mktemp("later")
    for name in ("wsicomp", "models", "configs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    config = folder / "wsicomp/config.py"
    changed(config, r"(margin_um: float = option\()50\.0", r"\g<1>60.0")
    changed(config, r"(?=    margin_um: float = option\()", HALO.lstrip("\n"))
    changed(folder / "wsicomp/version.py", r'__version__ = "[^"]*"', '__version__ = "9.9.9"')
    other_network(folder / "models")

    with command_process("import wsicomp\nassert wsicomp.__version__ == '9.9.9'\n", folder) as run_later:

        def command(*arguments):
            done = run_later("batch", *arguments)
            assert done.returncode == 0, done.stderr
            return done.stdout + done.stderr

        yield command


@pytest.fixture
def trees(tmp_path):
    """A tree that this version finished."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for number in range(2):
        forged.draw_tissue(source / f"{number}.svs", number)
    assert run(source, target, CONFIG, jobs=1).converted == 2
    return source, target


def test_a_later_version_redoes_nothing_until_it_is_asked_to(trees, later):
    source, target = trees
    before = files(target)
    outdated = "2 finished slides were made with other defaults or an older version; --redo-outdated"
    assert outdated in later("status", target)
    assert json.loads(later("status", target, "--json"))["outdated"] == 2
    for more in (("--dry-run",), (), ("--margin-um", "50")):
        said = later(source, target, *OPTIONS, *more)
        assert outdated in said
        assert "nothing was to be done" in said or "would convert 0 of 2" in said
    assert files(target) == before
    assert "2 converted" in later(source, target, *OPTIONS, "--redo-outdated")
    assert "outdated" not in later("status", target)
    assert "nothing was to be done" in later(source, target, *OPTIONS, "--redo-outdated")
    assert not files(target).items() & before.items()


def test_what_is_chosen_of_a_later_version_makes_a_slide_due(trees, later):
    source, target = trees
    for more in (("--margin-um", "70"), ("--halo-um", "3"), ("--quality", "60")):
        assert "would convert 2 of 2" in later(source, target, *OPTIONS, *more, "--dry-run")


def test_a_later_version_proves_and_takes_on_what_this_one_wrote(trees, later):
    source, target = trees
    before = files(target)
    shutil.rmtree(target / ".wsicomp")
    assert "2 found done" in later(source, target, *OPTIONS)
    assert "2 finished slides were made with other defaults" in later("status", target)
    assert "2 sources deleted" in later(source, target, *OPTIONS, *TAKING)
    assert files(target) == before
    assert not list(source.glob("*.svs"))
    assert {entry.removal for entry in entries(target).values()} == {"deleted"}
