"""A provenance that was changed is refused or read for what it says; nothing else comes of it."""

import base64
import json
import random
from functools import reduce

import pytest

from tests.end_to_end.test_files_of_050 import FOLDER, provenance_text
from wsicomp.errors import SlideReadError
from wsicomp.plan.provenance import Provenance

NAMES = ("jpeg.svs", "jpegxl-restorable.tiff", "neural-embedded.tiff", "jpeg-full.tiff")
MIXED = "several recipes"
SHA256 = "0123456789abcdef" * 4


def _text(name):
    if name != MIXED:
        return provenance_text(FOLDER / name)
    values = json.loads(provenance_text(FOLDER / "jpeg.svs"))
    level, record = values["plan"]["levels"][0], values["levels"][0]
    columns, rows = (-(-side // tile) for side, tile in zip(level["size"], level["tile"], strict=True))
    recipe = {name: level[name] for name in ("codec", "options", "encoding", "shown")}
    level |= {"further_recipes": [recipe], "recipe_rows": [f"1a{columns - 1}b"] * rows}
    record["guarded_by_recipe"] = [_guarded(), None]
    return json.dumps(values)


def _guarded():
    counts = dict.fromkeys(("tiles", "refined", "sparse", "repacked"), 1)
    figures = dict.fromkeys(("mean_ssim", "least_ssim", "mean_psnr", "most_color_shift"), 0.5)
    return counts | figures | {"least_psnr": None, "fell_back": [0]}


TEXTS = {name: _text(name) for name in (*NAMES, MIXED)}


def changed(name, path, value):
    """The text with another value at a path; without the value if it is `...`."""
    values = json.loads(TEXTS[name])
    *inner, last = (int(part) if part.isdigit() else part for part in path.split("/"))
    place = reduce(lambda found, part: found[part], inner, values)
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(values)


@pytest.mark.parametrize("name", TEXTS)
def test_it_is_read_and_written_as_it_was(name):
    found = Provenance.from_text(TEXTS[name])
    again = Provenance.from_text(found.to_text())
    assert again.to_text() == found.to_text()
    assert json.loads(found.to_text())["plan"]["levels"] == json.loads(TEXTS[name])["plan"]["levels"]


NO_TEXT = [None, True, 1, 1.5, [], ["a"], {}]
NO_FLAG = [None, 0, 1, "true", []]
NO_NATURAL = [None, True, -1, 2**32, 10**400, 1.5, "1", [], {}]
NO_FIGURE = [True, -1001, 1000.5, 10**400, float("nan"), float("inf"), "1", [], {}]
NO_SHA256 = [True, 1, "", SHA256[1:], SHA256 + "0", SHA256.upper(), SHA256 + "\n", [SHA256]]
NO_SIZE = [None, 1, [], [1], [0, 1], [1, 0], [1, -1], [1, 2**32], [1.5, 1], ["1", "1"], [1, 1, 1], {}]
NO_BYTES = [1, "A", "A===", "AA\n==", "AAAA\u00e9", ["AAAA"], {}]
LEVEL, RECORD = "plan/levels/0", "levels/0"
FALSE = {
    "plan": [None, [], "", {}, 1],
    "plan/unknown": [1, None],
    "plan/software": NO_TEXT,
    "plan/digest": NO_TEXT,
    "plan/codec": NO_TEXT,
    "plan/description": [*NO_TEXT, {"text": 0}, {"text": -1}, {"text": "0"}],
    "plan/container": [None, 1, "", "png", "svs\n", ["svs"]],
    "plan/overview": NO_FLAG,
    "plan/background": [None, 1, [], [1, 2], [1, 2, 3, 4], [1, 2, 256], [1, 2, -1], [1, 2, True], "abc"],
    "plan/mpp": [1, [], [1], [0, 1], [-1, 1], [float("inf"), 1], [True, 1], [10**400, 1], [1, 1, 1], "ab"],
    "plan/objective_power": [0, -1, True, float("nan"), float("inf"), 10**400, "40", []],
    "plan/levels": [None, [], {}, "", [None], [{}]],
    "plan/images": [None, 1, [1], [None]],
    "plan/dropped": [None, 1, [1], [None]],
    "plan/notes": [None, 1, [1], [None]],
    "plan/config": [None, [], {}, "x"],
    "plan/config/glass": [None, 1, "", "black", ["keep"]],
    "plan/config/lossless": NO_FLAG,
    "plan/config/deidentify": NO_FLAG,
    "plan/source": [None, [], {}, "x"],
    "plan/source/bytes": [None, True, 0, -1, 1.5, 2**62, 2**64, 10**400, "1"],
    "plan/source/sha256": [None, *NO_SHA256],
    "plan/source/origin_sha256": [..., *NO_SHA256],
    f"{LEVEL}/number": [*NO_NATURAL, 1],
    f"{LEVEL}/size": NO_SIZE,
    f"{LEVEL}/tile": NO_SIZE,
    f"{LEVEL}/source_level": NO_NATURAL,
    f"{LEVEL}/reduction": NO_NATURAL,
    f"{LEVEL}/codec": NO_TEXT,
    f"{LEVEL}/options": [None, [], "x", {"quality": "x"}, {"quality": True}, {"quality": 1001}, {"a": [1]}],
    f"{LEVEL}/encoding": [None, [], {}, "x"],
    f"{LEVEL}/encoding/compression": NO_NATURAL,
    f"{LEVEL}/encoding/photometric": NO_NATURAL,
    f"{LEVEL}/encoding/predictor": [*NO_NATURAL, ...],
    f"{LEVEL}/encoding/subsampling": [None, [], [1], [0, 1], [1, 5], [1, True], [1, 1, 1], ...],
    f"{LEVEL}/encoding/jpeg_tables": [*NO_BYTES, ...],
    f"{LEVEL}/shown": [[], {}, "x", ...],
    f"{LEVEL}/actions": [None, [], ["1C"], "x", [1], {}],
    f"{LEVEL}/actions/0": [None, 1, "", "1Q", "0C", "99999C", "1C" * 10_000],
    f"{LEVEL}/recipe_rows": [None, [], ["1a"], "a"],
    "mask": [[], "x", 1],
    "mask/tissue_fraction_with_margin": [None, *NO_FIGURE],
    "mask/rescued_tiles": NO_NATURAL,
    "properties": [None, [], "x", {"a": {"text": 0}}, {"a": {"text": True}}],
    "levels": [None, [], {}, [None], [{}]],
    f"{RECORD}/digests": [None, *NO_BYTES, "AAAA"],
    f"{RECORD}/kept": [None, 1, [-1], [2**32], [10**400], ["x"], [None]],
    f"{RECORD}/flawed": [None, 1, [-1], [2**32], ["x"]],
    f"{RECORD}/lost": [None, 1, [-1], [2**32], ["x"], [0]],
    f"{RECORD}/renewed": [None, 1, [-1], [2**32], ["x"]],
    f"{RECORD}/guarded": [1, [], {}, "x", _guarded() | {"fell_back": [2**32]}, _guarded() | {"fell_back": 1}],
    f"{RECORD}/guarded_by_recipe": [None, 1, [None], [_guarded()]],
    "restoration": [1, [], {}, "x", ...],
    "texts": [1, [1], ["x"], ["AAAA"], ["A==="], [base64.b64encode(b"cut").decode()]],
}
MIXED_FALSE = {
    f"{LEVEL}/recipe_rows": [None, [], "a", [1], ["1a"]],
    f"{LEVEL}/further_recipes": [None, [], {}, "x", [{}], [None], ...],
    f"{RECORD}/guarded_by_recipe": [[], [None], [None] * 3, ...],
    **{f"{RECORD}/guarded_by_recipe/0/{name}": NO_NATURAL for name in ("tiles", "refined", "sparse")},
    **{f"{RECORD}/guarded_by_recipe/0/{name}": [None, *NO_FIGURE] for name in ("mean_ssim", "least_ssim")},
    **{f"{RECORD}/guarded_by_recipe/0/{name}": NO_FIGURE for name in ("mean_psnr", "least_psnr")},
    f"{RECORD}/guarded_by_recipe/0/most_color_shift": [None, *NO_FIGURE],
    f"{RECORD}/guarded_by_recipe/0/fell_back": [None, [-1], [2**32], ["x"], {}],
}
PLACE_FALSE = {
    f"restoration/{name}": [None, True, -1, 2**61, 2**64, 10**400, 1.5, "1"] for name in ("offset", "bytes")
}
MODEL_FALSE = {
    "plan/model": [None, {}, [], "x", ...],
    "plan/model/name": NO_TEXT,
    "plan/model/architecture": [*NO_TEXT, "jpeg", "none"],
    "plan/model/sha256": [None, *NO_SHA256],
    "plan/model/embedded": NO_FLAG,
    f"{LEVEL}/options/min_ssim": [None, *NO_FIGURE, ...],
}


@pytest.mark.parametrize(
    ("name", "path", "values"),
    [("jpeg.svs", path, values) for path, values in FALSE.items()]
    + [(MIXED, path, values) for path, values in MIXED_FALSE.items()]
    + [("jpegxl-restorable.tiff", path, values) for path, values in PLACE_FALSE.items()]
    + [("neural-embedded.tiff", path, values) for path, values in MODEL_FALSE.items()],
)
def test_a_value_that_no_conversion_writes_is_refused(name, path, values):
    for value in values:
        with pytest.raises(SlideReadError, match="damaged provenance") as caught:
            Provenance.from_text(changed(name, path, value))
        assert len(str(caught.value)) < 200, "it quotes little of what it found"


def test_a_level_and_a_slide_of_too_many_tiles_are_refused_before_their_rows_are_read():
    text = changed("jpeg.svs", f"{LEVEL}/size", [2**31, 2**31])
    with pytest.raises(SlideReadError, match="levels, expected some, with at most"):
        Provenance.from_text(text)
    with pytest.raises(SlideReadError, match="levels, expected some, with at most 1 tiles"):
        Provenance.from_text(TEXTS["jpeg.svs"], 1)


VALUES = [None, True, 0, -1, 1, 2**32, 10**400, 0.5, float("nan"), "", "x", SHA256, "AAAA", "\ud800", [], {}]


def _mutant(text, seed):
    """The text with a few values gone, or others in their place."""
    chance, values = random.Random(seed), json.loads(text)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        place = values
        while True:
            key = chance.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if isinstance(place[key], dict | list) and place[key] and chance.random() < 0.8:
                place = place[key]
                continue
            if isinstance(place[key], int) and chance.random() < 0.5:
                place[key] += chance.choice((-1, 1))
            elif chance.random() < 0.2:
                del place[key]
            else:
                place[key] = chance.choice(VALUES)
            break
        if not values:
            break
    return json.dumps(values)


@pytest.mark.parametrize("name", TEXTS)
def test_a_mutant_is_refused_or_written_again_as_it_is_read(name):
    refused = 0
    for seed in range(120):
        text = _mutant(TEXTS[name], seed)
        try:
            found = Provenance.from_text(text, 1 << 20)
        except SlideReadError:
            refused += 1
            continue
        assert Provenance.from_text(found.to_text(), 1 << 20).to_text() == found.to_text()
    assert 40 < refused < 120
