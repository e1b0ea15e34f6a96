import subprocess
import sys
import time

import wsicomp


def seconds(code):
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def test_importing_loads_no_library_of_training_or_of_the_command_line():
    code = "import sys, wsicomp; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert {"tensorflow", "torch", "ai_edge_litert", "rich", "keras", "cyclopts"}.isdisjoint(output.split())


def test_importing_adds_little_to_numpy_and_tifffile():
    # The fastest of three, so that a busy machine does not decide; half a second is the stated bound.
    own = min(seconds("import wsicomp") for _ in range(3))
    base = min(seconds("import numpy, tifffile") for _ in range(3))
    assert own - base < 0.5


def test_every_public_name_is_there_and_documented():
    for name in wsicomp.__all__:
        assert getattr(wsicomp, name) is not None
        assert name == "__version__" or getattr(wsicomp, name).__doc__
