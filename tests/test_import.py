"""What is loaded when: nothing slow before it is used."""

import subprocess
import sys

import pytest

import wsicomp
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticSlide, write_slide

_TRAINING = ("tensorflow", "torch", "keras", "compressai", "constriction")
_PAGES = ("rich", "jinja2", "matplotlib")
_FEW_SLIDES = ("pydicom", "psutil", "wsicomp.codecs.neural.codec")
_OTHER_COMMANDS = (
    "sqlite3",
    "wsicomp.batch",
    "wsicomp.comparison",
    "wsicomp.openslide_api",
    "wsicomp.training",
)
_OF_A_CONVERSION = (*_TRAINING, *_PAGES, *_FEW_SLIDES, *_OTHER_COMMANDS)

_LOADED = """
import sys
from wsicomp.cli import main
main(sys.argv[1:])
print(*sorted(sys.modules), file=sys.stderr)
"""


def modules_after(*words):
    """The names of the modules that a command line has loaded when it ends, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", _LOADED, *words], capture_output=True, text=True, check=True)
    return set(done.stderr.splitlines()[-1].split())


def test_importing_loads_no_library_of_training_or_of_the_command_line():
    code = "import sys, wsicomp; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert {*_TRAINING, *_PAGES, "ai_edge_litert", "cyclopts", "numpy", "cv2"}.isdisjoint(output.split())


@pytest.mark.parametrize(
    ("words", "modules"),
    [
        (["--help"], ["numpy", "rich", "cyclopts", "wsicomp.config"]),
        (["--version"], ["numpy", "rich", "cyclopts", "wsicomp.config"]),
        (["convert", "--help"], ["rich", "cyclopts", "wsicomp.batch", "wsicomp.comparison", "jinja2"]),
        (["info", "nowhere.svs"], ["rich", "wsicomp.batch", "wsicomp.comparison", "jinja2"]),
    ],
)
def test_a_command_loads_no_other(words, modules):
    assert not modules_after(*words).intersection(modules)


def test_a_conversion_by_default_loads_nothing_that_it_does_not_use(tmp_path):
    write_slide(tmp_path / "a.svs", SyntheticSlide(Size(600, 500), seed=2))
    loaded = modules_after("convert", str(tmp_path / "a.svs"), str(tmp_path / "b.svs"))
    assert {"tifffile", "openslide", "ai_edge_litert"} <= loaded
    assert not loaded.intersection(_OF_A_CONVERSION)


def test_every_public_name_is_there_and_documented():
    for name in wsicomp.__all__:
        assert getattr(wsicomp, name) is not None
        assert name == "__version__" or getattr(wsicomp, name).__doc__


_LOOKED = """
import gc, sys
from wsicomp.cli import main
sys.argv = ["wsicomp", "info", "nowhere.svs"]
gc.collect()
gc.callbacks.append(lambda phase, _: print(f"frozen={gc.get_freeze_count() > 0}"))
print(f"code={main()}")
"""


def test_no_garbage_is_looked_for_in_what_modules_left():
    done = subprocess.run([sys.executable, "-c", _LOOKED], capture_output=True, text=True, check=True)
    assert "code=1" in done.stdout
    assert "frozen=False" not in done.stdout
