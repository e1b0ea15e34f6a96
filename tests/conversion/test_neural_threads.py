"""As many threads read neural tiles, or seek a quality for them, as the machine has memory for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from wsicomp.codecs import likeness
from wsicomp.codecs.likeness import SampleTile
from wsicomp.conversion import tile_stream
from wsicomp.conversion.tile_stream import StreamOptions, stream_level
from wsicomp.files import limits
from wsicomp.formats.picture import PictureSlide
from wsicomp.plan.level_plan import LevelPlan, Recipe, TileAction
from wsicomp.progress import no_progress
from wsicomp.slide import JPEG, NEURAL, RGB, TileEncoding
from wsicomp.tissue import tile_classes
from wsicomp.tissue.glass_color import GlassColor
from wsicomp.tissue.glass_guard import GlassGuard
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.tile_classes import classify_tiles


class SeenError(Exception):
    """The count of threads that were asked for."""


@pytest.mark.parametrize("module", [tile_classes, tile_stream, likeness])
def test_what_reads_neural_tiles_or_seeks_their_quality_takes_as_many_threads(module, monkeypatch):
    def seen(function, items, workers):
        raise SeenError(workers)

    monkeypatch.setattr(module, "ordered_map", seen)
    monkeypatch.setattr(limits, "memory_bytes", lambda: 64 << 30)
    slide = PictureSlide(Path("glass.png"), np.full((2048, 2048, 3), 240, np.uint8), 0.5, 2048)
    levels = tuple(replace(level, encoding=TileEncoding(NEURAL, RGB)) for level in slide.info.levels)
    slide._info = replace(slide.info, levels=levels)
    nothing = TissueMask(np.zeros((8, 8), np.bool_), slide.info.size, 256.0, 256.0, "nothing")
    guard = GlassGuard(slide.info, GlassColor(np.full((6, 3), 40.0)), 0.0)
    recipe = Recipe(
        "jpeg", {"quality": 90}, TileEncoding(JPEG, RGB), TileEncoding(JPEG, RGB), TileAction.ENCODE
    )
    plan = LevelPlan(
        0, levels[0].size, levels[0].tile, 0, 1, (recipe,), np.full((1, 1), TileAction.ENCODE.value)
    )
    search = likeness._Search(
        "bmshj2018-factorized", {}, [SampleTile(slide._pixels, levels[0].size)], 1, 16, np.ones(1)
    )
    calls = {
        tile_classes: lambda: classify_tiles(slide, nothing, guard, 16, no_progress),
        tile_stream: lambda: next(stream_level(slide, plan, StreamOptions(), 16)),
        likeness: lambda: search._made(1, 0.9),
    }
    with pytest.raises(SeenError, match=r"^1$"):
        calls[module]()
