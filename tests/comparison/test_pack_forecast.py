"""What is foretold of packed slides, beside what packing them makes."""

from pathlib import Path

import pytest

from tests.batch.trees import RESTORABLE, run
from tests.drawn import scanner_slides
from tests.drawn.dicom_slide import Form, dicom_of
from tests.tiffs import write_tiff
from wsicomp.comparison.pack_forecast import forecast_pack
from wsicomp.comparison.tree_forecast import forecast_tree
from wsicomp.formats.discovery import FoundSlide
from wsicomp.formats.packed.pack import pack_slide
from wsicomp.progress import no_progress


def test_some_of_many_pieces_tell_the_size_of_all(tmp_path):
    slide = scanner_slides.mrxs(tmp_path / "m.mrxs", 16, 12, side=32)
    found = forecast_pack(slide, 1)
    packed = pack_slide(slide, tmp_path / "m.wsipack")
    assert found.made_tiles < 100
    assert found.source_bytes == packed.source_bytes
    assert found.target_bytes == pytest.approx(packed.target_bytes, rel=0.05)
    assert found.outcome.reversible


def test_a_mixed_tree_is_foretold_with_each_file_of_a_series_once(tmp_path):
    tree = tmp_path / "source"
    tree.mkdir()
    svs = write_tiff(tmp_path / "x.svs", 300, 200, photometric="ycbcr", subsampling=(2, 1))
    dicom_of(svs, tree, Form(parts=2))
    scanner_slides.ndpi(tree / "n.ndpi", 1024, 512)
    names = sorted(path.name for path in tree.iterdir())
    slides = [FoundSlide(name, (tree / name).stat().st_size, "") for name in names]
    targets = [Path(f"{name}.wsipack") for name in names]
    told = forecast_tree(tree, slides, targets, RESTORABLE, 10, no_progress)
    assert [one.error for one in told.slides] == [""] * 3
    result = run(tree, tmp_path / "archive", RESTORABLE)
    saved = result.converted_bytes - result.target_bytes
    assert told.saved_bytes_low == pytest.approx(saved, abs=0.05 * result.converted_bytes)
    assert told.to_json()["slides"][0]["outcome"]["reversible"]
