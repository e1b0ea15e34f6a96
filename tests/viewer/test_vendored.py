"""OpenSeadragon is the file that npm brings, and what its licence asks for lies beside it."""

import hashlib
import re

import pytest

from tests.paths import ROOT
from tests.viewer.browser import INSTALLED

VENDORED = ROOT / "wsicomp/viewer/static/vendor/openseadragon"
SCRIPT = VENDORED / "openseadragon.min.js"
VERSION = "6.1.1"


def test_openseadragon_has_the_version_and_the_hash_that_stand_beside_it():
    said = (VENDORED / "README.md").read_text()
    assert hashlib.sha256(SCRIPT.read_bytes()).hexdigest() in said
    assert f"OpenSeadragon {VERSION}," in said
    assert SCRIPT.read_text().startswith(f"//! openseadragon {VERSION}\n")


def test_its_types_are_those_of_the_same_version():
    assert f"openseadragon@{VERSION} " in (ROOT / "scripts/browser").read_text()


def test_it_is_the_file_of_npm():
    of_npm = INSTALLED / "openseadragon/build/openseadragon/openseadragon.min.js"
    if not of_npm.exists():
        pytest.skip("npm's OpenSeadragon is not installed: scripts/browser")
    assert SCRIPT.read_bytes() == of_npm.read_bytes()
    assert (VENDORED / "LICENSE").read_bytes() == (INSTALLED / "openseadragon/LICENSE.txt").read_bytes()


def test_its_licence_is_told_with_the_package():
    config = (ROOT / "pyproject.toml").read_text()
    (files,) = re.findall(r"^license-files = \[(.*)\]", config, re.MULTILINE)
    assert f'"{(VENDORED / "LICENSE").relative_to(ROOT).as_posix()}"' in files
    assert "CodePlex Foundation" in (VENDORED / "LICENSE").read_text()
