"""Files that a command was given."""

import json
import shutil

import numpy as np
import pytest

from wsicomp.errors import ConfigError, SlideReadError, SlideWriteError
from wsicomp.files.inputs import given_path, read_toml
from wsicomp.geometry import Size
from wsicomp.tissue.mask_reader import read_mask
from wsicomp.tissue.segmenters.weights import SHIPPED, load_weights

MARK = b"\xef\xbb\xbf"
"""What Windows' editors put before UTF-8."""


def test_an_empty_path_is_refused_and_a_dot_is_not(tmp_path):
    assert given_path(tmp_path) == tmp_path
    assert str(given_path(".")) == "."
    with pytest.raises(SlideReadError, match="an empty path"):
        given_path("")
    with pytest.raises(SlideWriteError, match="an empty path"):
        given_path("", SlideWriteError)


def test_a_byte_order_mark_before_toml_is_no_mistake(tmp_path):
    (tmp_path / "a.toml").write_bytes(MARK + b'codec = "jpeg"\r\nquality = 80\r\n')
    assert read_toml(tmp_path / "a.toml", ConfigError) == {"codec": "jpeg", "quality": 80}


def test_a_byte_order_mark_before_outlines_is_no_mistake(tmp_path):
    ring = [[0, 0], [40, 0], [40, 40], [0, 40], [0, 0]]
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {}}
    text = json.dumps({"type": "FeatureCollection", "features": [feature]})
    (tmp_path / "plain.geojson").write_text(text)
    (tmp_path / "marked.geojson").write_bytes(MARK + text.encode())
    plain, marked = (read_mask(tmp_path / f"{name}.geojson", Size(80, 60)) for name in ("plain", "marked"))
    assert plain.pixels.any()
    assert np.array_equal(plain.pixels, marked.pixels)


def test_a_byte_order_mark_before_a_manifest_is_no_mistake(tmp_path):
    shipped = load_weights()
    network = json.loads(SHIPPED.read_text())["files"]["litert"]["name"]
    shutil.copy(SHIPPED.parent / network, tmp_path)
    (tmp_path / "network.json").write_bytes(MARK + SHIPPED.read_bytes())
    assert load_weights(tmp_path / "network.json").sha256 == shipped.sha256
