"""The parts of `scripts/bench` that need no slide: ratios held against stored ones, and tables."""

import sys
from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import pytest

from tests.paths import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import bench_batch
import bench_convert
import bench_giants
import bench_packed
import bench_view
import ratios
import results_page
from bench_giants import Giant
from processes import Run, fastest
from ratios import Ratio
from region_drawings import Drawing, drawings
from region_pixels import SPOT_PX, spots_in


def run(wall, cpu=1.0, peak=100.0):
    return Run(wall, cpu, peak, 1_000_000, "")


def chosen(*words):
    parser = ArgumentParser()
    ratios.add_options(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("now", "slack", "is_worse"), [(1.71, 0.15, False), (1.69, 0.15, True), (1.69, 0.2, False)]
)
def test_a_ratio_may_fall_short_by_its_slack_and_no_more(now, slack, is_worse):
    lines = ratios.regressions({"copy": Ratio(2.0, slack)}, {"copy": now})
    assert lines == (["copy: 1.69x, stored 2.00x, expected at least 1.70x"] if is_worse else [])


def test_what_one_side_alone_has_is_no_regression():
    assert ratios.regressions({"gone": Ratio(2.0)}, {"new": 0.1}) == []


def test_storing_keeps_a_slack_that_was_set_and_what_was_not_measured():
    stored = {"slow": Ratio(2.0, 0.3), "gone": Ratio(5.0)}
    merged = ratios.merged(stored, {"slow": 2.5, "new": 1.23456})
    assert merged == {"slow": Ratio(2.5, 0.3), "gone": Ratio(5.0), "new": Ratio(1.235)}


def test_the_file_comes_back_as_it_was_stored(tmp_path):
    path = tmp_path / "ratios.json"
    ratios.finish(chosen("--store"), "convert", {"copy": 2.0, "jpeg": 1.1}, path)
    ratios.finish(chosen("--store"), "batch", {"two jobs": 1.9}, path)
    assert ratios.read(path) == {
        "convert": {"copy": Ratio(2.0), "jpeg": Ratio(1.1)},
        "batch": {"two jobs": Ratio(1.9)},
    }


def test_a_check_ends_with_a_line_for_each_regression(tmp_path, capsys):
    path = tmp_path / "ratios.json"
    ratios.finish(chosen("--store"), "convert", {"copy": 2.0, "jpeg": 1.1}, path)
    ratios.finish(chosen("--check"), "convert", {"copy": 1.9, "jpeg": 1.0}, path)
    with pytest.raises(SystemExit, match="1"):
        ratios.finish(chosen("--check"), "convert", {"copy": 1.0, "jpeg": 1.0}, path)
    assert capsys.readouterr().err == "convert: copy: 1.00x, stored 2.00x, expected at least 1.70x\n"


def test_the_stored_ratios_can_be_read():
    assert all(
        one.ratio > 0 and 0 < one.slack < 1 for part in ratios.read().values() for one in part.values()
    )


def test_the_fastest_run_counts_with_the_largest_peak():
    assert fastest([run(2.0, 3.0, 90), run(1.0, 4.0, 80)]) == run(1.0, 3.0, 90)


def test_rows_stand_beside_the_peer():
    runs = {bench_convert.PYPI: run(3.0, 5.0), "copy, glass out": run(1.5, 4.0, 200)}
    last = bench_convert.table(runs).splitlines()[-1]
    assert last == "| copy, glass out | 1.50 | 4.00 | 200 | 1.0 | 2.00x | 1.25x |"


def test_a_server_of_tiles_stands_beside_deepzooms():
    quick, slow = bench_view.Served(2000.0, 0.25, 90), bench_view.Served(100.0, 5.0, 200)
    found = {bench_view.OURS: quick, bench_view.EXACT: slow, bench_view.DEEPZOOM: slow}
    assert f"| {bench_view.OURS} | 2000 | 0.25 | 90 | 20.0x | 20.0x |" in bench_view.table(found).splitlines()
    assert set(bench_view.found_ratios(found).values()) == {1.0, 20.0}


def test_a_giant_is_as_fast_as_the_smallest_slide_of_its_scale_if_a_pixel_takes_as_long():
    small, large, other = Giant(0.5, 1000), Giant(0.5, 3000), Giant(0.25, 500)
    runs = {
        large: dict.fromkeys(bench_giants.WAYS, run(9.0, 20.0, 125)),
        other: dict.fromkeys(bench_giants.WAYS, run(0.1, 0.1, 50)),
        small: dict.fromkeys(bench_giants.WAYS, run(1.0, 2.0, 100)),
    }
    found = bench_giants.found_ratios(runs)
    assert {name.rpartition(": ")[2]: value for name, value in found.items()} == {
        "gigapixels a second": pytest.approx(1.0),
        "gigapixels a CPU second": pytest.approx(0.9),
        "smallness of memory": pytest.approx(0.8),
    }
    assert len(found) == 3 * len(bench_giants.WAYS)
    row = "| copy, glass out | 3000 | 0.5 | 9.0 | 20.0 | 1000.0 | 2222.2 | 125 | 1.00x | 1.11x | 1.25x |"
    assert row in bench_giants.table(runs).splitlines()


def test_a_pack_stands_beside_zstd_and_xz():
    runs = dict.fromkeys(("pack", "unpack", "zstd", "xz"), run(9.0, 2.5, 125))
    last = bench_packed.table({"a": (3, 2_000_000, runs)}).splitlines()[-1]
    share = f"{runs['pack'].written / 20_000:.1f}"
    assert last == f"| a | 3 | 2.0 | {share} | {share} | {share} | 2.5 | 2.5 | 2.5 | 2.5 | 125 |"


def test_milliseconds_have_three_digits_and_all_whole_ones():
    assert [bench_batch.milliseconds(value) for value in (7.89, 0.0624, 0.0000131)] == [
        "7890",
        "62.4",
        "0.0131",
    ]


def test_a_part_of_the_page_is_replaced_between_its_marks():
    page = "a\n<!-- measured: convert -->\nold\n<!-- end measured -->\nb\n"
    page += "<!-- measured: batch -->\n<!-- end measured -->\n"
    found = results_page.replaced(page, "convert", "new \\1\n")
    assert found == page.replace("old\n", "\nnew \\1\n\n")
    with pytest.raises(ValueError, match="no marks"):
        results_page.replaced(page, "giants", "new")


def test_a_part_that_was_empty_is_filled_and_what_stands_behind_it_stays():
    page = "<!-- measured: convert -->\n<!-- end measured -->\nb\n"
    page += "<!-- measured: batch -->\nold\n<!-- end measured -->\n"
    found = results_page.replaced(page, "convert", "new")
    assert found == page.replace("-->\n<!-- end", "-->\n\nnew\n\n<!-- end", 1)


def test_the_page_has_the_marks_of_every_benchmark_that_fills_it():
    page = Path(results_page.PAGE).read_text()
    for benchmark in ("convert", "giants", "batch", "reader", "view"):
        assert "| x |" in results_page.replaced(page, benchmark, "| x |")


@pytest.mark.parametrize("size", [(320, 240), (80, 60), (79, 59), (53, 61)])
def test_a_drawing_marks_every_pixel_of_a_level_that_it_reaches_into(size):
    flags = np.zeros((60, 80), np.bool_)
    flags[20:41, 33] = True
    found = Drawing("a line", flags).on(size)
    assert found.shape == size[::-1]
    y, x = np.nonzero(found)
    step_y, step_x = 60 / size[1], 80 / size[0]
    assert y.min() == int(20 / step_y)
    assert y.max() == int(np.ceil(41 / step_y)) - 1
    assert x.min() == int(33 / step_x)
    assert x.max() == int(np.ceil(34 / step_x)) - 1


def test_drawings_hold_their_part_of_the_tissue():
    tissue = np.zeros((200, 300), np.bool_)
    tissue[40:180, 60:250] = True
    for drawing, part in zip(drawings(tissue), (0.1, 0.3, 0.1, 0.3), strict=True):
        assert drawing.flags[tissue].mean() == pytest.approx(part, abs=0.01), drawing.name


def test_squares_lie_inside_of_regions():
    flags = np.zeros((100, 100), np.bool_)
    flags[20:60, 30:80] = True
    drawing = Drawing("a box", flags)
    spots = list(spots_in(drawing, [(400, 400), (100, 100), (20, 20)]))
    assert {spot[0] for spot in spots} == {400}  # elsewhere the box is smaller than a square
    for _, _, x, y, width, height in spots:
        assert drawing.on((400, 400))[y : y + height, x : x + width].all()
        assert (width, height) == (SPOT_PX, SPOT_PX)
