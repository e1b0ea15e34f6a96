"""The codes of tiles count what the report counts, and their colours are told apart by everyone."""

import json
from contextlib import closing
from dataclasses import replace
from itertools import combinations

import cv2
import numpy as np
import pytest

import wsicomp
from tests.drawn import forged
from tests.regions.slides import box, feature, qupath
from wsicomp.formats.opening import open_converted
from wsicomp.geometry import TileIndex
from wsicomp.plan.level_plan import TileAction
from wsicomp.plan.provenance import Guarded
from wsicomp.viewer.layers.outcomes import LEGEND, LevelOutcomes, SlideOutcomes, TileCode

CONFIGS = {
    "copied.svs": forged.COPIED.changed(glass="white"),
    "emptied.tiff": forged.EMPTIED,
    "guarded.svs": forged.GUARDED,
    "packed.tiff": forged.PACKED,
    "exact.tiff": forged.EXACT,
    "painted.svs": forged.WHITE,
    "glass.svs": forged.KEPT,
}
REPORTED = ("copied", "transcoded", "kept", "lost", "encoded", "whitened", "blank", "empty")
_BLINDNESS = {
    "none": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "red": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "green": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "blue": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
"""What people see who lack a kind of cones, in linear RGB (Machado, Oliveira and Fernandes 2009)."""
STAINED = ((232, 180, 210), (205, 130, 180), (150, 90, 160), (95, 60, 130))
"""Colours of tissue in haematoxylin and eosin."""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("outcomes") / "slide.svs"
    forged.draw_tissue(path)
    return path


@pytest.fixture(scope="module")
def regions(source):
    """A conversion that keeps a region exact and another by a finer codec than the rest."""
    folder = source.parent
    outlines = qupath(
        folder / "roi.geojson",
        feature("Tumor", box(20, 150, 100, 250)),
        feature("Stroma", box(150, 260, 250, 380)),
    )
    table = folder / "classes.toml"
    table.write_text('[classes]\nTumor = "copy"\nStroma = "jpeg:80"\n')
    config = wsicomp.ConversionConfig.of(
        roi=outlines, roi_classes=table, tissue_codec="jpeg:20", segmenter="threshold", margin_um=0
    )
    report = wsicomp.convert(source, folder / "regions.svs", config)
    return folder / "regions.svs", report


def converted(source, name):
    """A conversion by one of the configs, and its report as JSON values."""
    target, kept = source.parent / name, source.parent / f"{name}.json"
    if not kept.exists():
        kept.write_text(json.dumps(wsicomp.convert(source, target, CONFIGS[name]).to_json()))
    return target, json.loads(kept.read_text())


def provenance_of(path):
    with closing(open_converted(path)) as slide:
        return slide.provenance


def check_counts(path, levels):
    outcomes = SlideOutcomes(provenance_of(path))
    found = outcomes.to_json()
    assert len(found["levels"]) == len(levels)
    for shown, stated in zip(found["levels"], levels, strict=True):
        fell_back = (stated["guarded"] or {"fell_back": 0})["fell_back"]
        assert shown["reported"] == {name: stated[name] for name in REPORTED} | {"fell back": fell_back}
        assert sum(shown["counts"].values()) == shown["columns"] * shown["rows"]
        assert len(outcomes.codes(shown["level"])) == shown["columns"] * shown["rows"]
        assert shown["counts"].get("fell back", 0) == fell_back
    return found["levels"]


@pytest.mark.parametrize("name", CONFIGS)
def test_counts_are_the_reports(source, name):
    path, report = converted(source, name)
    check_counts(path, report["levels"])


def test_where_all_is_told_apart_by_the_report_too_the_codes_count_the_same(source):
    path, report = converted(source, "painted.svs")
    for shown, stated in zip(check_counts(path, report["levels"]), report["levels"], strict=True):
        named = {"encoded": "encoded", "painted": "whitened", "blank glass": "blank"}
        assert shown["counts"] == {name: stated[of] for name, of in named.items() if stated[of]}
    assert shown["counts"]["painted"] > 0


def test_tiles_of_a_region_are_told_from_others_by_what_became_of_them(regions):
    path, report = regions
    levels = check_counts(path, report.to_json()["levels"])
    plan = provenance_of(path).plan.levels[0]
    by_recipe = {recipe.region: number for number, recipe in enumerate(plan.recipes[:3])}
    codes = np.frombuffer(SlideOutcomes(provenance_of(path)).codes(0), np.uint8).reshape(plan.actions.shape)
    encoded = plan.actions == TileAction.ENCODE.value
    assert set(codes[plan.takes(by_recipe["Tumor"])]) == {TileCode.REGION_EXACT}
    stroma = plan.takes(by_recipe["Stroma"]) & encoded
    assert stroma.any()
    assert set(codes[stroma]) == {TileCode.REGION_ENCODED}
    assert set(codes[plan.takes(by_recipe[""]) & encoded]) == {TileCode.ENCODED}
    assert levels[0]["counts"]["exact for a region"] == int(plan.takes(by_recipe["Tumor"]).sum())


def test_tiles_by_a_lossless_codec_are_told_from_lossy_ones(source):
    path, _ = converted(source, "exact.tiff")
    counts = SlideOutcomes(provenance_of(path)).counts(0)
    assert counts["encoded without loss"] > 0
    assert "encoded" not in counts


def recorded(source, **numbers):
    """The outcomes of the copied slide's largest level, with other numbers in its record."""
    provenance = provenance_of(converted(source, "packed.tiff")[0])
    return provenance.plan.levels[0], replace(provenance.levels[0], **numbers)


def test_lost_flawed_kept_and_renewed_tiles_have_codes_of_their_own(source):
    plan, record = recorded(source, kept=(0, 1, 2), renewed=(2, 4), lost=(5,), flawed=(6,))
    found = LevelOutcomes.of(plan, record)
    codes = found.codes.reshape(-1)
    assert (codes[[0, 1]] == TileCode.KEPT).all()
    assert (codes[[2, 4]] == TileCode.ENCODED).all()
    assert (codes[5], codes[6]) == (TileCode.LOST, TileCode.FLAWED)
    packed = int((plan.actions == TileAction.TRANSCODE.value).sum())
    assert (found.reported["kept"], found.reported["lost"], found.reported["encoded"]) == (2, 1, 2)
    assert found.reported["transcoded"] == packed - 5


def test_a_tile_that_fell_back_has_a_code_of_its_own_and_counts_as_encoded(source):
    guarded = Guarded(2, 0, 0, 0, 1.0, 1.0, None, None, 0.0, fell_back=(1, 5))
    provenance = provenance_of(converted(source, "glass.svs")[0])
    plan = provenance.plan.levels[0]
    found = LevelOutcomes.of(plan, replace(provenance.levels[0], guarded=guarded, flawed=(5,)))
    codes = found.codes.reshape(-1)
    assert (codes[1], codes[5], codes[0]) == (TileCode.FELL_BACK, TileCode.FLAWED, TileCode.ENCODED)
    assert (found.reported["fell back"], found.reported["encoded"]) == (2, plan.grid.count)


def test_a_damaged_tile_is_shown_as_such_unless_it_has_no_bytes(source):
    path, _ = converted(source, "painted.svs")
    outcomes, plan = SlideOutcomes(provenance_of(path)), provenance_of(path).plan.levels[0]
    before = outcomes.counts(0)
    for action in (TileAction.ENCODE, TileAction.BLANK):
        row, column = np.argwhere(plan.actions == action.value)[0].tolist()
        outcomes.note_damaged(TileIndex(0, column, row))
    assert outcomes.counts(0) == before | {"encoded": before["encoded"] - 1, "damaged": 1}
    assert outcomes.codes(0).count(TileCode.DAMAGED) == 1


@pytest.mark.parametrize("level", [-1, 2, 1 << 40])
def test_a_level_that_is_not_there_is_refused(source, level):
    with pytest.raises(IndexError, match="expected one of 0 to 1"):
        SlideOutcomes(provenance_of(converted(source, "painted.svs")[0])).codes(level)


def test_the_legend_names_every_code_once():
    assert sorted(entry.code for entry in LEGEND) == sorted(TileCode)
    assert len({entry.name for entry in LEGEND}) == len({entry.color for entry in LEGEND}) == len(TileCode)


def seen(colors, blindness):
    """CIE L*a*b* of sRGB colours as people see them."""
    encoded = np.array(colors, float) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.array(_BLINDNESS[blindness]).T, 0, 1)
    back = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return cv2.cvtColor(back.astype(np.float32)[None], cv2.COLOR_RGB2LAB)[0]


@pytest.mark.parametrize("blindness", _BLINDNESS)
def test_colours_are_told_from_each_other_and_from_tissue_whatever_cones_somebody_lacks(blindness):
    colors = seen([[*bytes.fromhex(entry.color[1:])] for entry in LEGEND], blindness)
    tissue = seen(STAINED, blindness)
    assert min(np.linalg.norm(one - other) for one, other in combinations(colors, 2)) > 20
    assert min(np.linalg.norm(one - other) for one in colors for other in tissue) > 12
