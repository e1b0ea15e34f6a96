"""Findings of tiles side by side lie on one grid where each of them lies on the slide."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wsicomp.tissue.guard_findings
from wsicomp.formats.opening import open_reader
from wsicomp.geometry import Size, TileIndex
from wsicomp.progress import no_progress
from wsicomp.slide import Level, SlideInfo
from wsicomp.synthetic import SyntheticSlide, write_slide
from wsicomp.tissue.glass_color import GlassColor
from wsicomp.tissue.glass_guard import GlassGuard
from wsicomp.tissue.guard_findings import FindingsByPlace, TileFinding
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.tile_classes import classify_tiles

WHITE = GlassColor(np.vstack([np.full((1, 3), 240.0), np.zeros((5, 3))]))


def info(sizes):
    levels = tuple(Level(size, Size(64, 64), sizes[0].width / size.width) for size in sizes)
    return SlideInfo(Path("a.svs"), "aperio", levels, None, None, None, "", {}, {})


def marked(slide, guard, finding, cell_px):
    """Return which cells the foreign blocks of one tile touch, block by block."""
    level = slide.levels[finding.tile.level]
    region, side = level.grid.region(finding.tile.column, finding.tile.row), guard.block_px(level)
    shape = tuple(-(-one // cell_px) for one in slide.size.shape)
    cells = np.zeros(shape, np.bool_)
    scale_y, scale_x = (
        whole / own / cell_px for whole, own in zip(slide.size.shape, level.size.shape, strict=True)
    )
    for row, column in np.argwhere(finding.foreign).tolist():
        top, left = region.y + row * side, region.x + column * side
        bottom, right = min(top + side, region.y + region.height), min(left + side, region.x + region.width)
        rows = slice(int(top * scale_y + 1e-6), int(np.ceil(bottom * scale_y - 1e-6)))
        columns = slice(int(left * scale_x + 1e-6), int(np.ceil(right * scale_x - 1e-6)))
        cells[rows, columns] = True
    return cells


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 999),
    st.sampled_from([(Size(640, 320), Size(160, 80)), (Size(600, 300), Size(150, 75), Size(37, 18))]),
    st.sampled_from([1 << 22, 3000, 300]),
)
def test_every_cell_that_a_foreign_block_touches_is_marked_and_no_other(seed, sizes, most_cells):
    rng, slide = np.random.default_rng(seed), info(sizes)
    guard = GlassGuard(slide, WHITE, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wsicomp.tissue.guard_findings, "_MOST_CELLS", most_cells)
        found = FindingsByPlace(slide, guard)
    expected = np.zeros_like(found._cells)
    for number, level in enumerate(slide.levels):
        whole, side = level.size.width // 64, guard.block_px(level)
        for row in range(level.size.height // 64):
            run = []
            for column in range(whole):
                foreign, glass = (rng.random((64 // side, 64 // side)) < share for share in (0.02, 0.5))
                kind = rng.integers(3)
                run.append(
                    TileFinding(
                        TileIndex(number, column, row),
                        glass if kind == 1 else None,
                        foreign if kind else None,
                    )
                )
            found.add(run)
            for one in run:
                if one.foreign is None:
                    continue
                if one.glass is None:
                    expected[0] |= marked(slide, guard, one, found._cell_px)
                    continue
                expected[1] |= marked(
                    slide, guard, one._replace(foreign=one.foreign & one.glass), found._cell_px
                )
                expected[2] |= marked(slide, guard, one, found._cell_px)
    assert np.array_equal(found._cells, expected)


def test_tiles_are_classified_alike_one_by_one_and_many_together(tmp_path, monkeypatch):
    write_slide(tmp_path / "slide.svs", SyntheticSlide(Size(3000, 2200), seed=3))
    slide = open_reader(tmp_path / "slide.svs")
    tissue = np.zeros((22, 30), np.bool_)
    tissue[4:9, 5:20] = True
    mask = TissueMask(tissue, slide.info.size, 100.0, 100.0, "test")

    def classes():
        return classify_tiles(slide, mask, GlassGuard(slide.info, WHITE, 100), 2, no_progress)

    together = classes()
    monkeypatch.setattr(GlassGuard, "tiles_at_once", lambda *_: 1)
    one_by_one = classes()
    slide.close()
    assert all(np.array_equal(*kinds) for kinds in zip(together.kinds, one_by_one.kinds, strict=True))
    assert np.array_equal(together.found.pixels, one_by_one.found.pixels)
    assert together.found.pixels.any()
