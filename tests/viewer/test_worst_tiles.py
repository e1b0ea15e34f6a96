"""The worst tiles are the worst, of a sample that stands for all, and of nothing but the right source."""

import json
import shutil
from contextlib import closing
from dataclasses import replace
from threading import Event

import numpy as np
import pytest

import wsicomp
from tests.drawn import forged, levels
from wsicomp.codecs.quality import psnr, ssim
from wsicomp.formats.opening import open_converted, open_reader
from wsicomp.geometry import Size, TileIndex
from wsicomp.plan.level_plan import TileAction
from wsicomp.plan.provenance import Guarded
from wsicomp.viewer.layers.background import BackgroundWork
from wsicomp.viewer.layers.damage_search import DamageSearch
from wsicomp.viewer.layers.lossy_tiles import CodecNames, sample_lossy_tiles
from wsicomp.viewer.layers.outcomes import SlideOutcomes
from wsicomp.viewer.layers.worst_tiles import MOST_LISTED, WorstTiles

POOR = forged.POOR.changed(quality=20, glass="white")


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    return forged.draw_two(tmp_path_factory.mktemp("worst"))


@pytest.fixture(scope="module")
def source(slides):
    return slides[0]


def converted(source, name, config):
    target = source.parent / name
    if not target.exists():
        wsicomp.convert(source, target, config)
    return target


def measured(target, source, **options):
    with closing(open_converted(target)) as made:
        worst = WorstTiles(made, source, **options)
        worst.start()
        worst.wait()
        return worst.to_json()


def tile_pairs(target, source, first=0):
    """The tiles that were encoded with nothing painted, as both files show them inside their levels."""
    with closing(open_converted(target)) as made, closing(open_reader(source)) as slide:
        for level in made.provenance.plan.levels:
            for row, column in np.argwhere(level.actions == TileAction.ENCODE.value).tolist():
                region = level.grid.region(column, row)
                pair = (
                    np.ascontiguousarray(one.read_region(number, region))
                    for one, number in ((made, level.number), (slide, level.number + first))
                )
                yield TileIndex(level.number, column, row), *pair


@pytest.mark.parametrize(
    ("name", "config", "first"),
    [
        ("poor.svs", POOR, 0),
        ("lower.svs", POOR.changed(from_level=1), 1),
        ("guarded.svs", forged.GUARDED, 0),
    ],
)
def test_each_tile_has_the_figures_of_its_pixels_beside_the_sources(source, name, config, first):
    target = converted(source, name, config)
    found = measured(target, source)
    assert (found["state"], found["reason"]) == ("done", "")
    listed = {(one["level"], one["column"], one["row"]): one for one in found["tiles"]}
    pairs = [*tile_pairs(target, source, first)]
    assert found["measured"] == found["of"] == len(listed) >= len(pairs) > 0
    for index, here, there in pairs:
        one = listed[index.level, index.column, index.row]
        assert one["ssim"] == pytest.approx(ssim(there, here), abs=1e-12)
        assert one["psnr"] == pytest.approx(psnr(there, here))
    assert [one["ssim"] for one in found["tiles"]] == sorted(one["ssim"] for one in found["tiles"])
    json.dumps(found, allow_nan=False)


def test_of_several_focal_planes_the_one_that_was_kept_is_compared(tmp_path):
    levels.z_stack(tmp_path / "stack.svs")
    wsicomp.convert(tmp_path / "stack.svs", tmp_path / "plane.svs", forged.KEPT.changed(z=1, quality=30))
    found = measured(tmp_path / "plane.svs", tmp_path / "stack.svs")
    assert found["state"] == "done"
    with (
        closing(open_converted(tmp_path / "plane.svs")) as made,
        closing(open_reader(tmp_path / "stack.svs", 1)) as slide,
    ):
        one = next(one for one in found["tiles"] if one["level"] == 0)
        region = made.info.levels[0].grid.region(one["column"], one["row"])
        expected = psnr(slide.read_region(0, region), made.read_region(0, region))
    assert one["psnr"] == pytest.approx(expected)


def test_figures_of_a_guarded_codec_are_those_that_its_file_states(source):
    target = converted(source, "guarded.svs", forged.GUARDED.changed(glass="keep"))
    found = measured(target, source)
    with closing(open_converted(target)) as made:
        stated = [record.guarded for record in made.provenance.levels]
    assert found["codecs"][0]["least_ssim"] == pytest.approx(min(one.least_ssim for one in stated), abs=1e-5)
    assert found["codecs"][0]["tiles"] == sum(one.tiles for one in stated)


def test_painted_glass_counts_as_equal(source):
    target = converted(source, "painted.svs", forged.WHITE.changed(quality=95))
    found = measured(target, source)
    with closing(open_converted(target)) as made:
        plans = made.provenance.plan.levels
    painted = [
        one
        for one in found["tiles"]
        if plans[one["level"]].actions[one["row"], one["column"]] == TileAction.MASK_AND_ENCODE.value
    ]
    assert painted
    assert min(one["ssim"] for one in painted) > 0.9


def test_places_are_in_pixels_of_the_conversions_largest_level(source):
    found = measured(converted(source, "poor.svs", POOR), source)
    for one in found["tiles"]:
        side = forged.TILE << one["level"]
        place = (one["column"] * side, one["row"] * side, side, side)
        assert (one["x"], one["y"], one["width"], one["height"]) == place


@pytest.mark.parametrize("config", [forged.COPIED.changed(glass="white"), forged.EXACT, forged.PACKED])
def test_of_an_exact_conversion_nothing_is_measured(source, config, tmp_path):
    target = tmp_path / ("copied.svs" if config.codec.name == "auto" else "exact.tiff")
    wsicomp.convert(source, target, config)
    found = measured(target, source)
    assert (found["state"], found["reason"], found["of"]) == ("done", "every tile is exact", 0)
    assert found["tiles"] == []


def test_another_slide_is_not_measured(slides):
    found = measured(converted(slides[0], "poor.svs", POOR), slides[1])
    assert found["state"] == "unavailable"
    assert "is not the one of" in found["reason"]
    assert (found["of"], found["tiles"]) == (0, [])


def test_a_source_that_has_gone_is_said_to_be(slides, tmp_path):
    found = measured(converted(slides[0], "poor.svs", POOR), tmp_path / "gone.svs")
    assert found["state"] == "unavailable"
    assert "no such file" in found["reason"]


def test_beside_the_slide_behind_its_source_every_tile_is_measured(source):
    between = converted(source, "poor.svs", POOR)
    target = converted(between, "copy of poor.svs", forged.COPIED.changed(glass="keep"))
    found, direct = measured(target, source), measured(target, between)
    assert (direct["state"], direct["of"]) == ("done", 0)
    assert (found["state"], found["reason"]) == ("done", "it was converted from a conversion of this source")
    assert found["codecs"][0]["codec"] == "copy"
    assert found["codecs"][0]["least_ssim"] < 0.99
    assert found["of"] >= measured(between, source)["of"] > 0


def test_a_damaged_tile_is_told_of_and_not_compared(source, tmp_path):
    target = tmp_path / "damaged.svs"
    shutil.copyfile(converted(source, "poor.svs", POOR), target)
    damaged = damage(target)
    told = []
    found = measured(target, source, on_damaged=told.append)
    assert told == [damaged]
    assert found["state"] == "done"
    assert found["reason"] == "1 tile could not be compared: damaged"
    assert sum(codec["tiles"] for codec in found["codecs"]) == found["measured"] - 1 == found["of"] - 1


def damage(target):
    """Change a byte of an encoded tile of the largest level; return its place."""
    with closing(open_converted(target)) as made:
        plan = made.provenance.plan.levels[0]
        row, column = np.argwhere(plan.actions == TileAction.ENCODE.value)[1].tolist()
        offset, count = made.tile_ranges(0)[row * plan.grid.columns + column].tolist()
    with target.open("r+b") as file:
        file.seek(offset + count // 2)
        byte = file.read(1)[0]
        file.seek(offset + count // 2)
        file.write(bytes([byte ^ 1]))
    return TileIndex(0, column, row)


def test_a_search_for_damage_reads_every_tile_and_feeds_the_outcomes(source, tmp_path):
    target = tmp_path / "damaged.svs"
    shutil.copyfile(converted(source, "poor.svs", POOR), target)
    with closing(open_converted(target)) as made:
        search = DamageSearch(made, lambda index: None)
        assert search.to_json()["checked"] == 0
        search.start()
        search.wait()
        sound = search.to_json()
    damage(target)
    with closing(open_converted(target)) as made:
        outcomes = SlideOutcomes(made.provenance)
        search = DamageSearch(made, outcomes.note_damaged)
        search.start()
        search.wait()
        own = sum(len(record.digests) // 8 for record in made.provenance.levels)
        assert search.to_json() == {"done": True, "checked": own, "of": own, "damaged": 1}
    assert sound == {"done": True, "checked": own, "of": own, "damaged": 0}
    assert outcomes.counts(0)["damaged"] == 1


def test_a_sample_has_each_lossy_tile_once_in_an_order_that_the_seed_decides(source):
    with closing(open_converted(converted(source, "poor.svs", POOR))) as made:
        provenance = made.provenance
    first, again, other = (
        [*sample_lossy_tiles(provenance, True, seed).indices(provenance)] for seed in (0, 0, 1)
    )
    lossy = [
        TileIndex(level.number, column, row)
        for level in provenance.plan.levels
        for row, column in np.argwhere(np.isin(level.actions, ["E", "M"])).tolist()
    ]
    assert first == again != other
    assert sorted(first) == sorted(other) == sorted(lossy)


def test_a_tile_that_was_encoded_to_name_nobody_is_lossy_and_a_lost_one_is_not(source, tmp_path):
    target = tmp_path / "copied.svs"
    wsicomp.convert(source, target, forged.COPIED)
    with closing(open_converted(target)) as made:
        provenance = made.provenance
    levels = (replace(provenance.levels[0], renewed=(1, 4), lost=(4,)), *provenance.levels[1:])
    found = sample_lossy_tiles(replace(provenance, levels=levels), True, 0)
    assert found.numbers.tolist() == [1]


def test_slivers_at_the_edge_have_no_ssim_and_are_left_out(source):
    with closing(open_converted(converted(source, "glass kept.svs", forged.KEPT))) as made:
        provenance = made.provenance
    for beyond, edge in ((10, 3), (11, 4)):
        side = 3 * forged.TILE + beyond
        plan = replace(provenance.plan.levels[0], size=Size(side, side))
        cut = replace(provenance, plan=replace(provenance.plan, levels=(plan,)), levels=provenance.levels[:1])
        found = {(one.column, one.row) for one in sample_lossy_tiles(cut, True, 0).indices(cut)}
        assert found == {(column, row) for column in range(edge) for row in range(edge)}


def test_of_very_many_tiles_a_sample_is_taken_and_said_to_be_one(source, monkeypatch):
    monkeypatch.setattr("wsicomp.viewer.layers.lossy_tiles.MOST_SAMPLED", 5)
    found = measured(converted(source, "glass kept.svs", forged.KEPT), source)
    assert (found["state"], found["measured"], found["of"]) == ("done", 5, 5)
    assert found["reason"] == "a random sample of 20 tiles"


def test_tiles_are_told_apart_by_codec_setting_and_what_else_became_of_them(source):
    with closing(open_converted(converted(source, "glass kept.svs", forged.KEPT))) as made:
        provenance = made.provenance
    guarded = Guarded(1, 0, 0, 0, 1.0, 1.0, None, None, 0.0, fell_back=(1,))
    record = replace(provenance.levels[0], guarded=guarded, renewed=(2,))
    plan = provenance.plan.levels[0]
    recipe = replace(plan.recipes[0], region="Tumor")
    chosen = np.zeros(plan.actions.shape, np.uint8)
    chosen[0, 3] = 1
    plan = replace(plan, recipes=(*plan.recipes, recipe), chosen=chosen)
    names = CodecNames(replace(provenance, plan=replace(provenance.plan, levels=(plan,)), levels=(record,)))
    assert [names.of(TileIndex(0, column, 0)) for column in range(4)] == [
        "jpeg (quality 90)",
        "jpeg (quality 90), fell back",
        "encoded anew, to name nobody",
        "jpeg (quality 90), region Tumor",
    ]


def test_only_the_worst_of_many_tiles_are_listed(source, monkeypatch):
    monkeypatch.setattr("wsicomp.viewer.layers.worst_tiles.MOST_LISTED", 3)
    target = converted(source, "poor.svs", POOR)
    found = measured(target, source)
    monkeypatch.undo()
    assert MOST_LISTED == 50
    assert [one["ssim"] for one in found["tiles"]] == [
        one["ssim"] for one in measured(target, source)["tiles"][:3]
    ]


def test_what_was_stopped_says_so_and_keeps_what_it_knows(source):
    with closing(open_converted(converted(source, "poor.svs", POOR))) as made:
        worst = WorstTiles(made, source)
        worst.stop()
        worst.start()
        worst.wait()
        assert worst.to_json()["measured"] == 0

        class Stopping:
            """The conversion, whose second tile stops the work that reads it."""

            read = 0

            def __getattr__(self, name):
                return getattr(made, name)

            def read_tile(self, index):
                self.read += 1
                if self.read == 2:
                    worst._stopped.set()
                return made.read_tile(index)

        worst = WorstTiles(Stopping(), source)
        worst.start()
        worst.wait()
        found = worst.to_json()
    assert (found["state"], found["measured"]) == ("unavailable", 2)
    assert found["reason"] == "it was stopped before all tiles were measured"
    assert len(found["tiles"]) == 2


def test_work_runs_once_and_stops_between_its_steps():
    began, calls = Event(), []

    def count(work):
        calls.append(1)
        began.set()
        while True:
            work.check()

    work = BackgroundWork(count)
    for _ in range(3):
        work.start()
    assert began.wait(10)
    work.stop()
    assert not work._thread.is_alive()
    assert work._thread.daemon
    assert calls == [1]


def test_a_tile_that_is_the_sources_has_no_psnr(source):
    between = converted(source, "copied.svs", forged.COPIED.changed(glass="keep"))
    target = converted(between, "copied again.svs", forged.COPIED.changed(glass="keep", label=False))
    found = measured(target, source)
    assert found["of"] > 0
    assert {(one["ssim"], one["psnr"]) for one in found["tiles"]} == {(1.0, None)}


def test_a_conversion_whose_levels_the_source_lacks_is_not_measured(source, monkeypatch):
    target = converted(source, "poor.svs", POOR)
    with closing(open_reader(source)) as slide:
        info = replace(slide.info, levels=slide.info.levels[:1])

    class OneLevel:
        def __init__(self):
            self.info = info

        def close(self):
            pass

    monkeypatch.setattr("wsicomp.viewer.layers.worst_tiles.open_source", lambda *_: OneLevel())
    found = measured(target, source)
    assert found["state"] == "unavailable"
    assert found["reason"] == "it has no level of which level 1 of the conversion can be made"
