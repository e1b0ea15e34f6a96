"""COCO's run lengths and polygons, and masks of Segment Anything; held against pycocotools where it is."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.regions.slides import info, table
from wsicomp import MaskError
from wsicomp.geometry import Size
from wsicomp.regions.reader import read_regions
from wsicomp.regions.reading import RegionReading
from wsicomp.regions.runs import RunRows, bounds_of, box_of

MASKS = arrays(np.bool_, st.tuples(st.integers(1, 30), st.integers(1, 30)))
DISC = np.hypot(*np.ogrid[-30:30, -50:50]) < 12
DISC[40:44, 3:9] = True


def runs(pixels):
    """Uncompressed run lengths as COCO's own code makes them: down the columns, 0 first."""
    flat = pixels.T.ravel()
    ends = np.flatnonzero(np.diff(flat.astype(int), prepend=0)).tolist()
    return {"size": list(pixels.shape), "counts": np.diff([0, *ends, flat.size]).tolist()}


def packed(counts):
    """The text of run lengths, as cocoapi's rleToString writes it."""
    text = ""
    for at, count in enumerate(counts):
        rest = count - counts[at - 2] if at > 2 else count
        more = True
        while more:
            code, rest = rest & 0x1F, rest >> 5
            more = rest != -1 if code & 0x10 else rest != 0
            text += chr((code | 0x20 if more else code) + 48)
    return text


def decoded(segmentation):
    bounds, size = bounds_of(segmentation)
    return RunRows([bounds], size).rows(0, size.width).T


@given(MASKS)
def test_runs_in_lists_texts_and_rows_are_the_mask(pixels):
    found = runs(pixels)
    assert (decoded(found) == pixels).all()
    assert (decoded(found | {"counts": packed(found["counts"])}) == pixels).all()
    assert (decoded(pixels.tolist()) == pixels).all()
    assert (decoded(pixels.astype(int).tolist()) == pixels).all()
    bounds, size = bounds_of(found)
    parts = [RunRows([bounds], size).rows(at, at + 1) for at in range(size.width)]
    assert (pixels == np.concatenate(parts).T).all()
    where = np.argwhere(pixels)
    expected = (*where.min(axis=0)[::-1], *(where.max(axis=0)[::-1] + 1)) if len(where) else None
    left, top, right, bottom = box_of(bounds, size.height) or (0, 0, 0, 0)
    if expected is None:
        assert (left, top, right, bottom) == (0, 0, 0, 0)
    else:
        assert (left, right) == (expected[0], expected[2])
        assert top <= expected[1]
        assert bottom >= expected[3]


@given(MASKS)
def test_texts_are_those_of_pycocotools(pixels):
    mask = pytest.importorskip("pycocotools.mask")
    found = mask.encode(np.asfortranarray(pixels.astype(np.uint8)))
    assert (decoded({"size": list(found["size"]), "counts": found["counts"].decode()}) == pixels).all()


def test_a_known_text_of_cocoapi_is_read():
    assert decoded({"size": [2, 3], "counts": "123"}).T.ravel().tolist() == [0, 1, 1, 0, 0, 0]


def written(path, content):
    path.write_text(json.dumps(content))
    return path


def coco(*annotations, size=(100, 60)):
    return {
        "images": [{"id": 7, "file_name": "slide.png", "width": size[0], "height": size[1]}],
        "categories": [{"id": 1, "name": "Tumor"}, {"id": 2, "name": "Stroma"}],
        "annotations": [{"id": at, "image_id": 7, **each} for at, each in enumerate(annotations)],
    }


def pixels_of(regions):
    return {each.name: each.mask.pixels for each in regions.classes}


def test_annotations_are_read_by_category(tmp_path):
    left = np.zeros((60, 100), bool)
    left[10:20, 5:9] = True
    content = coco(
        {"category_id": 2, "segmentation": runs(DISC), "bbox": [3, 18, 60, 27], "iscrowd": 1},
        {"category_id": 1, "segmentation": {"size": [60, 100], "counts": packed(runs(left)["counts"])}},
        {"category_id": 1, "segmentation": [[50, 2, 60, 2, 60, 7, 50, 7], [70, 2, 72, 2, 72, 4]]},
    )
    found = pixels_of(read_regions(written(tmp_path / "a.json", content), info()))
    assert list(found) == ["Stroma", "Tumor"]
    assert (found["Stroma"] == DISC).all()
    expected = left.copy()
    expected[2:7, 50:60] = True
    expected[2, 70:72] = expected[3, 71:72] = True
    assert (found["Tumor"] == expected).all()
    codecs = table(tmp_path / "t.toml", '[classes]\nTumor = "copy"\n"*" = "jpeg:80"\n')
    regions = read_regions(tmp_path / "a.json", info(), RegionReading(classes=codecs))
    assert [(each.name, each.codec) for each in regions.classes] == [("Tumor", "copy"), ("other", "jpeg:80")]


def test_of_many_images_the_one_named_as_the_slide_is_taken(tmp_path):
    content = coco({"category_id": 1, "segmentation": runs(DISC)})
    content["images"] += [{"id": 8, "file_name": "another.png", "width": 60, "height": 60}]
    content["annotations"] += [{"image_id": 8, "category_id": 2, "segmentation": runs(DISC[:, :60])}]
    assert list(pixels_of(read_regions(written(tmp_path / "a.json", content), info()))) == ["Tumor"]
    content["images"][0]["file_name"] = "neither.png"
    with pytest.raises(MaskError, match="2 images, of which 0 are named as the slide is"):
        read_regions(written(tmp_path / "a.json", content), info())


def test_masks_of_segment_anything_are_one_region(tmp_path):
    other = np.zeros((60, 100), bool)
    other[50:55, 80:90] = True
    masks = [
        {
            "segmentation": DISC.tolist(),
            "area": int(DISC.sum()),
            "bbox": [3, 18, 60, 27],
            "predicted_iou": 0.9,
        },
        {"segmentation": runs(other), "area": 50, "bbox": [80, 50, 9, 4], "stability_score": 0.97},
    ]
    found = pixels_of(read_regions(written(tmp_path / "a.json", masks), info()))
    assert (found["region"] == (DISC | other)).all()
    for alone in (masks[1], runs(other)):
        assert (pixels_of(read_regions(written(tmp_path / "a.json", alone), info()))["region"] == other).all()


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 3))
def test_masks_of_a_part_lie_where_the_same_array_lies(tmp_path_factory, seed, by):
    from wsicomp.regions.regions import Regions

    pixels = np.random.default_rng(seed).random((20, 30)) < 0.05
    pixels[0, 0] = True
    path = written(tmp_path_factory.mktemp("part") / "a.json", [{"segmentation": runs(pixels)}])
    given_ = {"offset": (123.0, 77.0), "mpp": 0.5 * by}
    found = read_regions(path, info(), RegionReading(**given_))
    expected = Regions.of_arrays({"region": pixels}, info(), **given_)
    assert (found.classes[0].mask.pixels == expected.classes[0].mask.pixels).all()


def test_a_mask_of_a_gigapixel_is_read_without_its_pixels(tmp_path, monkeypatch):
    import tracemalloc

    side = 30_000
    counts = [side * 5 + 7, side * 2, side * side - side * 7 - 7]
    path = written(tmp_path / "a.json", {"size": [side, side], "counts": counts})
    monkeypatch.setattr("wsicomp.regions.placement.MOST_RASTER_PX", 1 << 20)
    tracemalloc.start()
    mask = read_regions(path, info(Size(side, side))).classes[0].mask
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()
    assert mask.pixels[:, 0].all()
    assert not mask.pixels[:, 2:].any()


def test_runs_counted_along_the_rows_are_told_so(tmp_path):
    along = {"size": [60, 100], "counts": runs(DISC.T)["counts"]}
    content = coco({"category_id": 1, "segmentation": along, "bbox": [3, 18, 60, 27]})
    with pytest.raises(MaskError, match="COCO's runs go down the columns, and these go along the rows"):
        read_regions(written(tmp_path / "a.json", content), info())


SOUND = runs(DISC)


@pytest.mark.parametrize(
    ("segmentation", "told"),
    [
        (
            SOUND | {"counts": [*SOUND["counts"][:-1], 5]},
            r"the counts sum up to \d+, expected 60 x 100 = 6000",
        ),
        (SOUND | {"counts": [-5, *SOUND["counts"]]}, "a run of -5"),
        (SOUND | {"counts": [10**30]}, "a run of over"),
        (SOUND | {"counts": [5.5]}, "no whole numbers"),
        (SOUND | {"counts": packed(SOUND["counts"])[:-4]}, "sum up to|cut off"),
        (SOUND | {"counts": "o" * 50}, "cut off"),
        (SOUND | {"counts": "oooooooooooooooo0"}, "a run of over"),
        (SOUND | {"counts": "\u20ac\n"}, "none of COCO's"),
        (SOUND | {"counts": ""}, "cut off"),
        (SOUND | {"counts": []}, "sum up to 0"),
        (
            SOUND | {"size": [100, 60]},
            r"a mask of 60 x 100 px, expected the image's 100 x 60; its size is to be",
        ),
        (SOUND | {"size": [6000, 1]}, "expected the image's"),
        (SOUND | {"size": [10**9, 10**9]}, "a mask without a sound size"),
        (SOUND | {"size": "60"}, "a mask without a sound size"),
        (SOUND | {"size": [True, 6000]}, "a mask without a sound size"),
        ({"size": [60, 100]}, "not regions"),
        ("text", "not regions"),
        ([[1, 0], [1]], "not regions|a mask of shape"),
        ([[float("nan")] * 4], "NaN"),
        ([[0, 0, 500, 0, 500, 500]], "leave the slide"),
        (None, "not regions"),
    ],
)
def test_masks_that_lie_are_refused_in_one_line(tmp_path, segmentation, told):
    path = written(tmp_path / "a.json", coco({"category_id": 1, "segmentation": segmentation}))
    with pytest.raises(MaskError, match=told) as caught:
        read_regions(path, info())
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (coco(), "no region"),
        (coco({"category_id": 1, "segmentation": runs(np.zeros((60, 100), bool))}), "no region"),
        (coco({"category_id": 1, "segmentation": runs(DISC[:, :60])}, size=(60, 60)), "proportions"),
        ({"annotations": [{"segmentation": [[0, 0, 9, 0, 9, 9]]}]}, "without the size of their image"),
        ({"annotations": 5}, "not regions"),
        ([{"segmentation": runs(DISC)}, 7], "not regions"),
        (coco({"category_id": [1], "segmentation": runs(DISC)}), "not regions"),
    ],
)
def test_files_without_masks_of_the_slide_are_refused(tmp_path, content, told):
    with pytest.raises(MaskError, match=told):
        read_regions(written(tmp_path / "a.json", content), info())


def test_polygons_of_coco_lie_as_those_of_qupath_do(tmp_path):
    from tests.regions.slides import feature, qupath

    ring = [[101, 205], [433, 222], [300, 418]]
    flat = [value / 10 for point in ring for value in point]
    first = read_regions(qupath(tmp_path / "a.geojson", feature("a", ring)), info())
    second = read_regions(
        written(tmp_path / "a.json", coco({"category_id": 1, "segmentation": [flat]})), info()
    )
    coarse = first.classes[0].mask.pixels.reshape(60, 10, 100, 10).any(axis=(1, 3))
    assert (second.classes[0].mask.pixels == coarse).all()
