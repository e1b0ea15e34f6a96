"""A checkout, an installed wheel and an editable install all find the models, presets and pages that ship."""

import json
import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.paths import ROOT

WHEEL = "from hatchling.build import build_wheel as build; import sys; build(sys.argv[1])"
EDITABLE = "from hatchling.build import build_editable as build; import sys; build(sys.argv[1])"
FOUND = """
import json, site, sys
from pathlib import Path
before = list(sys.path)
site.addsitedir(sys.argv[1])
sys.path[:] = [path for path in sys.path if path not in before] + before
import wsicomp
from wsicomp.codecs.neural import store
from wsicomp.config import load_preset, preset_names
from wsicomp.files.shipped import shipped_folder
from wsicomp.tissue.segmenters.weights import load_weights
folders = [shipped_folder(name) for name in ("models", "configs")]
files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
package = Path(wsicomp.__file__).parent
static = [path for path in (package / "viewer/static").rglob("*") if path.is_file()]
print(json.dumps({
    "package": wsicomp.__file__,
    "files": {path.relative_to(folders[0].parent).as_posix(): path.stat().st_size for path in files},
    "static": {path.relative_to(package).as_posix(): path.stat().st_size for path in static},
    "presets": [name for name in preset_names() if load_preset(name)],
    "network": len(load_weights().litert),
    "codecs": sorted(path.stem for path in store.SHIPPED.glob("*.safetensors")),
}))
"""


def build(code, folder):
    """Build a wheel without the network and unpack it, as pip does."""
    if not (find_spec("hatchling") and find_spec("editables")):
        pytest.skip("no wheel can be built: pip install hatchling editables")
    built, site = folder / "built", folder / "site"
    built.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code, built], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = built.iterdir()
    with zipfile.ZipFile(wheel) as file:
        file.extractall(site)
    return site


def found(site, folder):
    """What a program finds of wsicomp that is installed in `site`, started in another folder."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", FOUND, site],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_all_is_there(seen, root):
    assert Path(seen["package"]) == root / "wsicomp/__init__.py"
    assert seen["files"] == {
        path.relative_to(ROOT).as_posix(): path.stat().st_size
        for name in ("models", "configs")
        for path in (ROOT / name).rglob("*")
        if path.is_file()
    }
    assert seen["static"] == {
        path.relative_to(ROOT / "wsicomp").as_posix(): path.stat().st_size
        for path in (ROOT / "wsicomp/viewer/static").rglob("*")
        if path.is_file()
    }
    assert "viewer/static/vendor/openseadragon/LICENSE" in seen["static"]
    assert seen["presets"] == sorted(path.stem for path in (ROOT / "configs/presets").glob("*.toml"))
    assert seen["network"] == (ROOT / "models/tissue-unet.tflite").stat().st_size
    assert seen["codecs"] == ["he-compact", "he-fine"]


def test_a_checkout_finds_what_ships_beside_the_package(tmp_path):
    assert_all_is_there(found(ROOT, tmp_path), ROOT)


@pytest.mark.gate
def test_an_installed_wheel_brings_and_finds_what_ships(tmp_path):
    site = build(WHEEL, tmp_path)
    assert_all_is_there(found(site, tmp_path), site)


@pytest.mark.gate
def test_an_editable_install_finds_what_ships_in_the_checkout(tmp_path):
    site = build(EDITABLE, tmp_path)
    assert_all_is_there(found(site, tmp_path), ROOT)
