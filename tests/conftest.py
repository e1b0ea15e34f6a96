"""Slides for the tests: drawn ones that are always there, and real ones where the machine has them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.paths import SHARED

with contextlib.suppress(ImportError):
    import torch  # noqa: F401 - in one process with TensorFlow, it must come first

settings.register_profile("tests", deadline=None, derandomize=True)
settings.load_profile("tests")

SLIDES = Path(os.environ.get("WSICOMP_SLIDES", SHARED / "data/slides"))
REAL_SLIDES = (
    sorted(p for p in SLIDES.glob("*") if p.suffix in {".svs", ".tif", ".dcm"}) if SLIDES.is_dir() else []
)


def slow_unless(is_quick, values):
    """Parameters for a test: those that are not quick are left out by `scripts/test`, not by `--all`."""
    return [value if is_quick(value) else pytest.param(value, marks=pytest.mark.slow) for value in values]


def is_small(slide):
    """Whether a real slide is converted in some seconds."""
    return slide.stat().st_size < 3e6


def pytest_collection_modifyitems(items):
    reason = f"no real slides in {SLIDES}; name their folder in WSICOMP_SLIDES"
    for item in items:
        if item.get_closest_marker("slides") and not REAL_SLIDES:
            item.add_marker(pytest.mark.skip(reason=reason))
