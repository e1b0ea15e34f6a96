"""Outlines as QuPath writes them: classes, holes, lines; drawn so that nothing of them is lost."""

import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from shapely import Polygon, union_all
from shapely import box as rectangle

from tests.regions.slides import box, feature, info, qupath, table
from wsicomp import MaskError
from wsicomp.geometry import Size
from wsicomp.regions.drawing import HOLE, OUTER, Outline, draw
from wsicomp.regions.reader import drawn_regions, read_regions
from wsicomp.regions.reading import RegionReading

ROWS, COLUMNS = 14, 20
POINTS = st.tuples(st.floats(-3, COLUMNS + 3, width=16), st.floats(-3, ROWS + 3, width=16))


def around(points):
    """The points in order around their middle: a ring that does not cross itself, as a rule."""
    middle = np.mean(points, axis=0)
    return sorted(points, key=lambda point: np.arctan2(*(np.array(point) - middle)))


RINGS = st.lists(POINTS, min_size=3, max_size=7, unique=True).map(around)
CELLS = [[rectangle(x, y, x + 1, y + 1) for x in range(COLUMNS)] for y in range(ROWS)]


def overlaps(polygon):
    """The area of each raster pixel that a polygon takes, by shapely."""
    return np.array([[cell.intersection(polygon).area for cell in row] for row in CELLS])


def drawn(*shapes):
    arrays = [Outline([np.array(ring, float) for ring in rings], kinds) for rings, kinds in shapes]
    return draw(arrays, ROWS, COLUMNS)


@settings(max_examples=60)
@given(st.lists(RINGS, min_size=1, max_size=3))
def test_every_pixel_that_a_polygon_takes_is_drawn_and_none_beside_it(rings):
    polygons = [Polygon(ring) for ring in rings]
    assume(all(polygon.is_valid for polygon in polygons))
    pixels = drawn(*(([ring], [OUTER]) for ring in rings)).pixels
    area = overlaps(union_all(polygons))
    assert pixels[area > 1e-6].all()
    touching = np.array(
        [[cell.buffer(1e-6).intersects(union_all(polygons)) for cell in row] for row in CELLS]
    )
    assert not pixels[~touching].any()


@settings(max_examples=60)
@given(RINGS, RINGS)
def test_holes_stay_holes_except_where_a_pixel_is_partly_taken(ring, hole):
    outer, inner = Polygon(ring), Polygon(hole)
    assume(outer.is_valid and inner.is_valid)
    pixels = drawn(([ring, hole], [OUTER, HOLE])).pixels
    left = outer.difference(inner)
    assert pixels[overlaps(left) > 1e-6].all()
    whole_inside = np.array([[inner.buffer(-1e-6).contains(cell) for cell in row] for row in CELLS])
    crossed = np.array([[cell.intersects(outer.boundary) for cell in row] for row in CELLS])
    assert not pixels[whole_inside & ~crossed].any()


@settings(max_examples=40)
@given(st.lists(POINTS, min_size=4, max_size=9))
def test_a_ring_that_crosses_itself_counts_at_least_where_even_odd_filling_would(ring):
    found = drawn(([ring], [OUTER]))
    rows, columns = found.pixels.shape
    y, x = (np.arange(0.137, side, 0.25) for side in (rows, columns))
    inside = even_odd(ring, x[None, :], y[:, None])
    assert found.pixels[np.floor(y).astype(int)[:, None], np.floor(x).astype(int)][inside].all()
    if Polygon(ring).is_valid:
        assert not found.crosses_itself


def even_odd(ring, x, y):
    """Where a line to the right crosses the ring an odd number of times."""
    inside = np.zeros(np.broadcast_shapes(x.shape, y.shape), bool)
    for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]], strict=True):
        if y0 != y1:
            crossing = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
            inside ^= ((y0 > y) != (y1 > y)) & (x < crossing)
    return inside


def test_what_a_ring_winds_around_twice_is_inside_whichever_way_it_turns():
    square = [[2, 2], [12, 2], [12, 9], [2, 9]]
    for ring in (square * 2, square[::-1] * 2):
        found = drawn(([ring], [OUTER]))
        assert found.pixels[2:9, 2:12].all()
        assert found.pixels.sum() == 70
        assert found.crosses_itself


def test_many_shapes_are_drawn_as_one_by_one():
    rng = np.random.default_rng(5)
    shapes = [([ring], [OUTER]) for ring in rng.uniform(-4, 24, (300, 5, 2))]
    one_by_one = np.any([drawn(shape).pixels for shape in shapes], axis=0)
    assert (drawn(*shapes).pixels == one_by_one).all()


def test_a_large_shape_is_drawn_in_bands_to_the_same_pixels(monkeypatch):
    ring = np.random.default_rng(6).uniform(-4, 24, (50, 2))
    whole = drawn(([ring], [OUTER])).pixels
    monkeypatch.setattr("wsicomp.regions.drawing._BATCH_CELLS", 40)
    monkeypatch.setattr("wsicomp.regions.drawing._BATCH_STEPS", 7)
    assert (drawn(([ring], [OUTER])).pixels == whole).all()


def names(regions):
    return [each.name for each in regions.classes]


def test_classes_of_qupath_are_read_in_all_its_spellings(tmp_path):
    derived = {"names": ["Tumor", "Positive"], "color": [1, 2, 3]}
    before_04 = {"name": "Positive", "colorRGB": -1, "parentClass": {"name": "Tumor", "colorRGB": -9}}
    where = [box(100 * at, 100, 100 * at + 50, 150) for at in range(1, 8)]
    path = qupath(
        tmp_path / "a.geojson",
        feature("Stroma", where[0], measurements={"Area": 1.5}),
        feature(None, where[1], classification=derived),
        feature(None, where[2], classification=before_04),
        feature(None, where[3], classification="Necrosis"),
        feature(None, where[4], name="an annotation's own name is no class"),
        feature(None, where[5], childObjects=[feature("Immune", where[6])]),
    )
    regions = read_regions(path, info())
    assert names(regions) == ["Stroma", "Tumor: Positive", "Necrosis", "region", "Immune"]
    found = regions.of_tiles(info().levels[0])
    assert found[2, [2, 4, 5, 7, 9]].tolist() == [1, 2, 2, 3, 4]
    assert found[2, 11] == 5


def test_measurements_that_are_nan_do_no_harm(tmp_path):
    path = tmp_path / "a.geojson"
    text = json.dumps(
        {"type": "FeatureCollection", "features": [feature("Tumor", box(0, 0, 64, 64), measurements=[])]}
    )
    path.write_text(text.replace('"measurements": []', '"measurements": {"Circularity": NaN}'))
    assert names(read_regions(path, info())) == ["Tumor"]


def test_a_rectangle_on_tile_edges_takes_its_tiles_and_no_others(tmp_path):
    path = qupath(tmp_path / "a.geojson", feature("Tumor", box(64, 128, 256, 192)))
    found = read_regions(path, info()).of_tiles(info().levels[0])
    assert np.argwhere(found).tolist() == [[2, 1], [2, 2], [2, 3]]


def test_a_hole_is_no_region(tmp_path):
    path = qupath(tmp_path / "a.geojson", feature("Tumor", box(0, 0, 640, 576), box(65, 65, 575, 511)))
    found = read_regions(path, info()).of_tiles(info().levels[0])
    assert found[0].tolist() == [1] * 10 + [0] * 6
    assert found[4].tolist() == [1, 1, *[0] * 6, 1, 1, *[0] * 6]


def test_multi_polygons_and_collections_are_read(tmp_path):
    parts = [[box(0, 0, 10, 10)], [box(900, 500, 910, 510)]]
    many = feature("a", kind="MultiPolygon", coordinates=parts)
    collection = feature("a", kind="GeometryCollection", coordinates=[])
    collection["geometry"] = {"type": "GeometryCollection", "geometries": [many["geometry"]]}
    for content in (many, collection, [many], many["geometry"]):
        (tmp_path / "a.json").write_text(json.dumps(content))
        assert np.count_nonzero(read_regions(tmp_path / "a.json", info()).of_tiles(info().levels[0])) == 2


def test_points_and_lines_are_regions_with_a_margin_only(tmp_path):
    path = qupath(
        tmp_path / "a.geojson",
        feature("a", kind="MultiPoint", coordinates=[[32, 32], [320, 320]]),
        feature("b", kind="LineString", coordinates=[[500, 100], [700, 100]]),
    )
    with pytest.raises(MaskError, match="3 points or lines, which have no area; give `roi_margin_um`"):
        read_regions(path, info())
    regions = read_regions(path, info(), RegionReading(margin_um=5))
    found = regions.of_tiles(info().levels[0])
    assert np.argwhere(found == 1).tolist() == [[0, 0], [4, 4], [4, 5], [5, 4], [5, 5]]
    assert np.argwhere(found == 2).tolist() == [[1, column] for column in range(7, 12)]


def test_a_margin_takes_the_tiles_that_it_reaches(tmp_path):
    path = qupath(tmp_path / "a.geojson", feature("a", box(70, 70, 120, 120)))
    narrow = read_regions(path, info(), RegionReading(margin_um=2)).of_tiles(info().levels[0])
    wide = read_regions(path, info(), RegionReading(margin_um=6)).of_tiles(info().levels[0])
    assert np.argwhere(narrow).tolist() == [[1, 1]]
    assert np.count_nonzero(wide) == 9


def test_outlines_of_another_scale_are_placed_by_um_and_offset(tmp_path):
    path = qupath(tmp_path / "a.geojson", feature("a", box(8, 8, 16, 16)))
    placed = read_regions(path, info(mpp=0.5), RegionReading(mpp=4.0, offset=(64, 0)))
    assert np.argwhere(placed.of_tiles(info().levels[0])).tolist() == [[1, 2]]


def test_a_ring_that_crosses_itself_is_told_of(tmp_path):
    bow = [[0, 0], [100, 100], [100, 0], [0, 100], [0, 0]]
    regions = read_regions(
        qupath(tmp_path / "a.geojson", feature("a", bow), feature("b", box(0, 0, 9, 9))), info()
    )
    assert regions.notes == ("'a': outlines that cross themselves count wherever they wind around",)


def test_outlines_a_little_past_the_edge_are_cut_with_a_note(tmp_path):
    regions = read_regions(qupath(tmp_path / "a.geojson", feature("a", box(-9, 0, 50, 50))), info())
    assert regions.notes == ("outlines reach past the slide's edge, and are cut there",)


CODECS = '[classes]\nTumor = "copy"\n"Stroma" = ""\n'


def test_a_class_that_the_table_lacks_is_named(tmp_path):
    path = qupath(
        tmp_path / "a.geojson", feature("Tumour", box(0, 0, 9, 9)), feature("Stroma", box(0, 0, 9, 9))
    )
    with pytest.raises(MaskError, match=r"'Tumour' not in the table of classes \('Tumor', 'Stroma'\)"):
        read_regions(path, info(), RegionReading(classes=table(tmp_path / "t.toml", CODECS)))
    others = table(tmp_path / "t.toml", CODECS + '"*" = "jpeg:30"\n')
    regions = read_regions(path, info(), RegionReading(classes=others))
    assert [(each.name, each.codec) for each in regions.classes] == [("Stroma", None), ("other", "jpeg:30")]
    assert regions.notes[0] == "no 'Tumor' there, though in the table of classes"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "not regions"),
        ('{"type": "FeatureCollection"', "not regions"),
        ("[" * 100_000, "not regions"),
        ('{"type": "FeatureCollection", "features": []}', "no region: no polygons"),
        ('{"type": "FeatureCollection", "features": 5}', "not regions"),
        ('{"type": "Feature", "properties": null, "geometry": {"type": "Circle"}}', "of type 'Circle'"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [NaN, 9], [9, 9]]]}', "NaN or infinity"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [1e400, 9], [9, 9]]]}', "NaN or infinity"),
        ('{"type": "Polygon", "coordinates": [[["a", "b"]]]}', "not regions"),
        (
            '{"type": "Polygon", "coordinates": [[[0, 0], [5000, 9], [9, 9]]]}',
            "leave the slide of 1000 x 600 px",
        ),
        (
            '{"type": "Polygon", "coordinates": [[[2000, 2000], [3000, 2000], [3000, 3000]]]}',
            "leave the slide",
        ),
        ('{"type": "Polygon", "coordinates": []}', "no region"),
        ('{"shapes": []}', "JSON of another kind"),
        ("5", "JSON of another kind"),
    ],
)
def test_json_that_shows_no_regions_is_refused_in_one_line(tmp_path, content, told):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(MaskError, match=told) as caught:
        read_regions(tmp_path / "a.json", info())
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "a.json"))


def test_a_million_points_are_drawn(tmp_path):
    angles = np.linspace(0, 2 * np.pi, 1_000_000, endpoint=False)
    radius = 4000 * (1 + 0.05 * np.sin(200 * angles))
    ring = np.stack([5000 + radius * np.cos(angles), 5000 + radius * np.sin(angles)], axis=1).round(2)
    slide = info(Size(10_000, 10_000))
    regions = read_regions(qupath(tmp_path / "a.geojson", feature("a", ring.tolist())), slide)
    part = np.pi * 4000**2 * (1 + 0.05**2 / 2) / 10_000**2
    assert regions.classes[0].mask.tissue_fraction == pytest.approx(part, abs=0.003)
    assert regions.notes == ()


def test_many_thousand_cells_are_drawn(tmp_path):
    corners = np.random.default_rng(1).uniform(0, 9980, (20_000, 2)).round(1)
    cells = [[x, y, x + 9, y + 9] for x, y in corners.tolist()]
    regions = read_regions(
        qupath(tmp_path / "a.json", *(feature("a", box(*cell)) for cell in cells)), info(Size(10_000, 10_000))
    )
    whole = np.zeros((10_000, 10_000), bool)
    for x, y, right, bottom in cells[:2000]:
        whole[int(y) : int(np.ceil(bottom)), int(x) : int(np.ceil(right))] = True
    at = regions.classes[0].mask
    assert at.scale_x == 2
    assert at.pixels[whole.reshape(5000, 2, 5000, 2).any(axis=(1, 3))].all()
    assert at.tissue_fraction < 0.05


def test_outlines_that_would_take_minutes_are_refused(tmp_path):
    square = [[0, 0], [8192, 0], [8192, 8192], [0, 8192]]
    path = qupath(tmp_path / "a.json", *(feature("a", square) for _ in range(100)))
    with pytest.raises(MaskError, match="class 'a': too many large outlines"):
        read_regions(path, info(Size(8192, 8192)))
    zigzag = [[at % 8192, 8192 * (at % 2)] for at in range(40_000)]
    with pytest.raises(MaskError, match="too many edges above each other"):
        read_regions(qupath(tmp_path / "a.json", feature("a", zigzag)), info(Size(8192, 8192)))


def test_a_drawing_in_memory_gives_the_regions_of_its_file(tmp_path):
    path = qupath(
        tmp_path / "a.geojson",
        feature("Tumor", box(10, 20, 300, 200), box(50, 60, 90, 90)),
        feature(None, box(500, 300, 700, 500)),
    )
    read = read_regions(path, info(), RegionReading(margin_um=5))
    drawing = drawn_regions(json.loads(path.read_text()), info(), RegionReading(margin_um=5))
    assert [each.name for each in drawing.classes] == [each.name for each in read.classes]
    for ours, theirs in zip(drawing.classes, read.classes, strict=True):
        assert np.array_equal(ours.mask.pixels, theirs.mask.pixels)
    assert drawing.notes == read.notes
