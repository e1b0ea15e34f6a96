"""The drawing's modules under Node, and what they export read by those who take regions and masks."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from shapely.geometry import Polygon

from tests.regions.slides import info
from wsicomp.geometry import Size
from wsicomp.regions.reader import read_regions
from wsicomp.tissue.mask_reader import read_mask

HERE = Path(__file__).parent
GEOJSON_JS = HERE.parents[1] / "wsicomp/viewer/static/geojson.js"
OUTLINE = [(100, 100), (420, 60), (500, 380), (260, 300), (90, 390)]
HOLE = [(200, 150), (300, 150), (300, 250), (200, 250)]
RECTANGLE = [(600, 400), (800, 400), (800, 500), (600, 500)]
SHAPES = [
    {"name": "first", "className": "Tumor", "color": [200, 0, 0], "polygons": [[OUTLINE, HOLE]]},
    {"name": "", "className": "", "color": [255, 0, 0], "polygons": [[RECTANGLE]]},
    {"name": "two", "className": "A: B", "color": [1, 2, 3], "polygons": [[RECTANGLE], [OUTLINE]]},
]
SCRIPT = """
const [module, text] = process.argv.slice(1);
const { exportText } = await import(module);
process.stdout.write(exportText(JSON.parse(text)));
"""

pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="Node is not installed")


def run_node(*arguments):
    return subprocess.run(["node", *arguments], capture_output=True, text=True, timeout=60, check=False)


def export(path, shapes):
    """Write what the page exports of these shapes."""
    done = run_node(
        "--input-type=module", "--no-warnings", "-e", SCRIPT, GEOJSON_JS.as_uri(), json.dumps(shapes)
    )
    assert done.returncode == 0, done.stderr
    path.write_text(done.stdout, "utf-8")
    return path


@pytest.mark.parametrize("module", ["shapes", "geojson", "drawn_shapes"])
def test_the_tests_of_a_module_pass_under_node(module):
    done = run_node("--test", str(HERE / f"{module}.test.mjs"))
    assert done.returncode == 0, done.stdout
    assert "# pass 0" not in done.stdout


def test_exported_shapes_are_regions_of_their_class_and_area(tmp_path):
    regions = read_regions(export(tmp_path / "a.geojson", SHAPES), info(Size(1000, 600)))
    masks = {each.name: each.mask for each in regions.classes}
    wanted = {
        "Tumor": Polygon(OUTLINE, [HOLE]).area,
        "region": Polygon(RECTANGLE).area,
        "A: B": Polygon(OUTLINE).area + Polygon(RECTANGLE).area,
    }
    assert masks.keys() == wanted.keys()
    for name, area in wanted.items():
        pixels = masks[name].pixels.sum() * masks[name].scale_x * masks[name].scale_y
        # Whatever an outline passes through belongs to a region: up to a pixel and a half along it.
        assert area <= pixels <= area + 1.5 * 2200


def test_exported_shapes_are_a_mask_of_their_area(tmp_path):
    mask = read_mask(export(tmp_path / "a.geojson", SHAPES[:2]), Size(1000, 600))
    area = Polygon(OUTLINE, [HOLE]).area + Polygon(RECTANGLE).area
    assert np.isclose(mask.pixels.sum() * mask.scale_x * mask.scale_y, area, rtol=0.02)
    assert not mask.pixels[200, 250]
    assert mask.pixels[450, 700]


def test_a_rectangle_at_the_edges_of_the_slide_is_read_by_both(tmp_path):
    whole = [(0, 0), (1000, 0), (1000, 600), (0, 600)]
    shapes = [{"name": "", "className": "", "color": [255, 0, 0], "polygons": [[whole]]}]
    path = export(tmp_path / "a.geojson", shapes)
    assert read_mask(path, Size(1000, 600)).pixels.all()
    assert read_regions(path, info(Size(1000, 600))).classes[0].mask.pixels.all()
