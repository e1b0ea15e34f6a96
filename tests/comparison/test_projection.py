"""What is said of an archive, from comparisons of some of its slides."""

import json
from dataclasses import replace

import pytest

from wsicomp.cli.compare import _archive_lines
from wsicomp.comparison.archive_text import money_text, saving_text
from wsicomp.comparison.page import results_page
from wsicomp.comparison.projection import Rates, draw_archive_sample, project_archive
from wsicomp.comparison.results import Comparison, Row, SlideComparison, UnmeasuredSlides
from wsicomp.comparison.tables import markdown
from wsicomp.formats.discovery import FoundSlide
from wsicomp.text.figures import as_bytes

GB = 10**9


def slides(count=100, suffix=".svs"):
    return [FoundSlide(f"{number:03}{suffix}", (number % 7 + 2) * GB, "") for number in range(count)]


def compared(found, saved, unsure=None):
    """The comparison of a slide by a codec that saves a part of it, known to within a part."""
    target = round(found.bytes * (1 - saved))
    reach = None if unsure is None else round(found.bytes * unsure)
    ends = (None, None) if reach is None else (target - reach, target + reach)
    row = Row(
        found.source, "jpeg:60", "white", source_bytes=found.bytes, target_bytes=target, reduction=saved
    )
    row = replace(row, target_bytes_low=ends[0], target_bytes_high=ends[1], encode_s=10.0, read_s=2.0)
    return SlideComparison(found.source, found.bytes, rows=(row,), segment_s=1.0)


def projected(drawn, rates=None, every=None, saved=None, unsure=None):
    every = every or slides()
    sample = draw_archive_sample(every, drawn, 0)
    chosen = [every[number] for number in sample.drawn.tolist()]
    found = {
        each.source: compared(each, saved or 0.3 + number % 5 / 100, unsure)
        for number, each in enumerate(chosen)
    }
    return project_archive("archive", every, sample, found, rates or Rates())


def test_every_output_says_the_same_in_units_that_people_read():
    archive = projected(20, Rates(250.0))
    (row,) = archive.rows
    assert archive.bytes == archive.measured_bytes == pytest.approx(495e9)
    assert row.saved_bytes == pytest.approx(0.32 * 495e9, rel=0.03)
    assert row.target_bytes == archive.bytes - row.saved_bytes
    assert row.saved_a_year == pytest.approx(row.saved_bytes / 1e12 * 250)
    comparison = Comparison("wsicomp", "", "", None, 1, (), archive)
    said, money = saving_text(archive, row), money_text(row)
    assert said.startswith(f"saves {as_bytes(row.saved_bytes)} of 495 GB (31.")
    assert money.startswith(("39.", "40."))
    for text in (results_page(comparison), markdown(comparison), "".join(_archive_lines(archive))):
        assert said in text
        assert money in text
        assert "at 250 a TB and year" in text
        assert "Not measured" not in text
    written = json.loads(json.dumps(comparison.to_json()))["archive"]["rows"][0]
    assert (written["saved_bytes"], written["saved_a_year"]) == (row.saved_bytes, row.saved_a_year)


def test_a_tiny_sum_of_money_is_under_1():
    small = [replace(slide, bytes=slide.bytes // 10**6) for slide in slides()]
    archive = projected(20, Rates(250.0), small)
    assert money_text(archive.rows[0]) == "under 1"


def test_few_slides_make_a_rough_range_without_money():
    archive = projected(5, Rates(250.0))
    (row,) = archive.rows
    assert archive.is_rough
    assert (row.saved_bytes, row.target_bytes, row.saved_a_year) == (None, None, None)
    comparison = Comparison("wsicomp", "", "", None, 1, (), archive)
    for text in (results_page(comparison), markdown(comparison), "".join(_archive_lines(archive))):
        assert "saves roughly 30.1 to 33.9 % of 495 GB" in text
        assert "Rough: the ranges go from the least to the most" in text
        assert "a year" not in text


def test_what_nobody_drew_is_named_and_in_no_figure():
    every = [
        *slides(60),
        FoundSlide("other.ndpi", GB, ""),
        *(FoundSlide(f"{n}.svs", 400 * GB, "") for n in range(6)),
    ]
    archive = projected(5, every=every)
    assert archive.unmeasured == (UnmeasuredSlides("giant", 3, 1200 * GB), UnmeasuredSlides(".ndpi", 1, GB))
    assert archive.measured_bytes == archive.bytes - 1201 * GB
    lines = "\n".join(_archive_lines(archive))
    assert "Not measured, and in no figure: 3 giant slides of 1.2 TB, 44.5 % of the archive" in lines
    assert "1 .ndpi slide of 1 GB" in lines


def test_drawn_slides_that_agree_do_not_hide_a_kind_that_was_missed():
    archive = projected(15, saved=0.5)
    assert archive.standing == 15
    assert saving_text(archive, archive.rows[0]).endswith("(50.0 %)")
    comparison = Comparison("wsicomp", "", "", None, 1, (), archive)
    for text in (results_page(comparison), markdown(comparison), "".join(_archive_lines(archive))):
        assert "1 draw in 20 misses a kind of slide that holds 20.0 % of the bytes" in text
    for other in (projected(5), projected(100)):  # a rough range, and every slide
        assert "1 draw in 20" not in "".join(_archive_lines(other))


def test_a_codec_that_makes_slides_larger_adds_bytes():
    archive = projected(20, Rates(250.0), saved=-0.1)
    assert saving_text(archive, archive.rows[0]) == "adds 49.5 GB to 495 GB (-10.0 % saved)"


def test_a_projection_is_as_unsure_as_the_sizes_of_its_slides():
    sure, unsure = (projected(100, saved=0.3, unsure=part).rows[0] for part in (None, 0.05))
    assert sure.saved_bytes_low == sure.saved_bytes == sure.saved_bytes_high
    assert unsure.saved_bytes_low < unsure.saved_bytes < unsure.saved_bytes_high
