"""Recommendations in situations whose right answer is known."""

import json
from dataclasses import asdict, replace

import pytest

from tests.comparison.situations import NOT_IN, failed, row, situation
from wsicomp.batch import BatchOptions
from wsicomp.comparison.recommendation import LEAST_SAVED, Verdict, recommend
from wsicomp.conversion.outcome import Tissue
from wsicomp.verification.region_checks import FoundClass


def told(found):
    """Everything that a recommendation says."""
    alternatives = [each.sentence for each in found.alternatives]
    return " ".join([found.sentence, found.reason, *alternatives, *found.excluded])


def test_an_svs_with_much_glass_is_packed_and_its_glass_goes():
    found = recommend(
        situation(
            row("copy", "keep", 100.5),
            row("copy", "white", 62),
            row("copy", "empty", 61.9),
            row("jpeg-lossless", "keep", 80),
            row("jpeg-lossless", "white", 51),
            row("jpeg-lossless", "empty", 50.9),
            row("jpeg:90", "white", 30, ssim=0.93),
        )
    )
    assert (found.verdict, found.codec, found.glass) == (Verdict.TAKE, "jpeg-lossless", "white")
    assert found.sentence == (
        "Take jpeg-lossless, glass white: 51.0 % of your bytes; every pixel of tissue stays; "
        "opens in every viewer tried."
    )
    assert found.command == (
        "wsicomp convert slide.svs slide-small.svs --codec jpeg --lossless --glass white"
    )
    (loss,) = found.alternatives
    assert (loss.codec, loss.glass, loss.without) == ("jpeg:90", "white", "`min_ssim=0.93`")
    assert "With loss: jpeg:90, glass white makes 30.0 % of your bytes" in loss.sentence


def test_a_slide_that_is_tight_already_is_left_as_it_is():
    found = recommend(
        situation(
            row("copy", "keep", 100.2),
            row("copy", "white", 99.5),
            row("jpeg-lossless", "white", 98.9),
            row("jpeg:90", "keep", 97.5, ssim=0.9),
        )
    )
    assert (found.verdict, found.codec, found.command) == (Verdict.LEAVE, "", "")
    assert found.sentence == "Leave it as it is: what fits saves next to nothing."
    assert "jpeg-lossless, glass white: 98.9 % of your bytes" in found.reason
    assert not found.alternatives  # JPEG with loss saves next to nothing, too


def test_without_glass_it_is_kept():
    found = recommend(
        situation(
            row("jpeg-lossless", "keep", 80.3),
            row("jpeg-lossless", "white", 80.1),
            row("copy", "keep", 100.2),
        )
    )
    assert (found.codec, found.glass) == ("jpeg-lossless", "keep")


def test_what_few_programs_open_is_told_and_not_recommended():
    rows = [
        row("copy", "white", 80),
        row("jpegxl-lossless", "white", 50),
        row("jpeg:60", "keep", 95, ssim=0.8),
    ]
    found = recommend(situation(*rows))
    assert (found.codec, found.glass) == ("copy", "white")
    (fewer,) = found.alternatives
    assert (fewer.codec, fewer.part, fewer.without) == ("jpegxl-lossless", 0.5, '`opens_in="wsicomp"`')
    assert "OpenSlide 4.0.1 and later, QuPath, libvips do not open it" in fewer.sentence
    found = recommend(situation(*rows, opens_in="openslide"))
    assert found.codec == "copy"
    found = recommend(situation(*rows, opens_in="wsicomp"))
    assert (found.codec, found.alternatives) == ("jpegxl-lossless", ())
    assert "not in OpenSlide 4.0.1" in found.sentence
    assert found.command.startswith("wsicomp convert slide.svs slide-small.tiff ")


def test_the_source_s_bytes_come_back_where_that_is_asked_for():
    rows = [
        row("copy", "white", 70),
        row("jpegxl-lossless", "white", 60),
        row("jpegxl-restorable", "keep", 82),
        row("jpeg:90", "white", 40, ssim=0.9),
    ]
    found = recommend(situation(*rows, opens_in="wsicomp", reversible=True))
    assert (found.codec, found.glass) == ("jpegxl-restorable", "keep")
    assert found.outcome.reversible
    assert "`wsicomp.restore` gives the source back" in found.sentence
    assert found.command.endswith("--codec jpegxl --lossless --restorable --glass keep")
    assert [each.without for each in found.alternatives] == ["leave `reversible` out"]
    # As OpenSlide does not read JPEG XL, nothing fits both.
    found = recommend(situation(*rows, opens_in="any", reversible=True))
    assert found.verdict is Verdict.NOTHING
    assert found.sentence == 'Nothing that saves fits `opens_in="any"`, exact tissue and `reversible`.'
    assert found.reason.startswith("The nearest is jpegxl-restorable, glass keep: 82.0 % of your bytes")
    assert '`opens_in="any"` excludes 2 of 4 rows: jpegxl-lossless, jpegxl-restorable' in found.excluded
    assert "`reversible` excludes 3 of 4 rows: copy, jpegxl-lossless, jpeg:90" in found.excluded


def test_a_bound_on_likeness_allows_the_smallest_whose_worst_tile_keeps_it():
    rows = [
        row("jpeg-lossless", "white", 70),
        row("jpeg:90", "white", 50, ssim=0.97),
        row("jpeg:60", "white", 20, ssim=0.85),
        row("he-compact", "white", 15, ssim=0.99),
    ]
    found = recommend(situation(*rows, min_ssim=0.95))
    assert (found.codec, found.outcome.tissue, found.least_ssim) == ("jpeg:90", Tissue.LOSSY, 0.97)
    assert "tissue changes, the worst tile has SSIM 0.970" in found.sentence
    assert [each.codec for each in found.alternatives] == ["jpeg:60", "he-compact"]
    assert "With loss and" not in told(found)  # he-compact is alike enough
    assert recommend(situation(*rows, min_ssim=0.8)).codec == "jpeg:60"
    assert recommend(situation(*rows, min_ssim=0.999)).codec == "jpeg-lossless"
    assert recommend(situation(*rows)).codec == "jpeg-lossless"


def test_a_codec_that_fails_on_one_of_several_slides_is_out():
    found = recommend(
        situation(
            row("copy", "white", 80, slide="a.svs"),
            row("jpeg-lossless", "white", 50, slide="a.svs"),
            row("copy", "white", 84, slide="b.svs"),
            failed("jpeg-lossless", "white", "its tiles cannot be written again", slide="b.svs"),
            sources=("in/a.svs", "in/b.svs"),
        )
    )
    assert (found.codec, found.part) == ("copy", pytest.approx(0.82))
    assert "jpeg-lossless: of 1 of 2 slides not made: its tiles cannot be written again" in found.excluded
    assert found.command == (
        "wsicomp batch in in-small --include a.svs --include b.svs --codec copy --glass white"
    )


FIVE = tuple(f"{name}.svs" for name in "abcde")
NO_TILES = "a DICOM's tiles are no file's to copy"


def mixed(odd="z.dcm", **constraints):
    """Five slides that codecs without loss make small, and one that they cannot make."""
    rows = []
    for slide in FIVE:
        rows += [
            row("copy", "keep", 100, slide=slide),
            row("jpeg-lossless", "blank", 76, slide=slide, spread=3),
            row("jpeg:90", "blank", 60, ssim=0.93, slide=slide),
        ]
    rows += [failed("copy", "keep", NO_TILES, odd), failed("jpeg-lossless", "blank", NO_TILES, odd)]
    rows.append(row("jpeg:90", "blank", 60, ssim=0.93, slide=odd))
    return situation(*rows, sources=("in",), is_folder=True, **constraints)


def test_a_slide_that_cannot_be_made_stays_as_it_is_and_does_not_turn_the_advice():
    found = recommend(mixed())
    assert (found.verdict, found.codec) == (Verdict.TAKE, "jpeg-lossless")
    assert (found.part, found.part_low) == (
        pytest.approx(0.8),
        pytest.approx(0.8 - 0.15 / 6 / 5**0.5, abs=1e-6),
    )
    assert found.sentence.endswith("; 1 of 6 slides (1 MB) stays as it is.")
    assert found.command == (
        "wsicomp batch in in-small --exclude '*.dcm' --codec jpeg --lossless --glass blank"
    )
    assert f"jpeg-lossless: of 1 of 6 slides not made: {NO_TILES}" in found.excluded
    assert [each.codec for each in found.alternatives] == ["jpeg:90"]
    # With the suffix of slides that are made it cannot be left out by it.
    assert "--exclude" not in recommend(mixed(odd="z.svs")).command
    assert recommend(mixed(min_ssim=0.9)).codec == "jpeg:90"
    listed = replace(mixed(), sources=(*(f"in/{name}" for name in FIVE), "in/z.dcm"), is_folder=False)
    assert "--include e.svs --codec jpeg" in recommend(listed).command


def test_a_slide_that_stays_excuses_no_program_from_opening_the_others():
    rows = [row("jpegxl-lossless", "keep", 60, slide=slide) for slide in FIVE]
    rows += [row("copy", "keep", 99, slide=slide) for slide in (*FIVE, "z.dcm")]
    found = situation(*rows, failed("jpegxl-lossless", "keep", NO_TILES, "z.dcm"))
    closed = [
        replace(each, not_in=NOT_IN["wsicomp"] if each.slide == "z.dcm" else (), partly_in=())
        for each in found.slides
    ]
    found = recommend(replace(found, slides=tuple(closed)))
    assert found.verdict is Verdict.LEAVE
    assert [each.without for each in found.alternatives] == ['`opens_in="wsicomp"`']
    assert "1 of 6 slides (1 MB) stays as it is; but" in found.alternatives[0].sentence


def test_what_makes_less_than_most_of_the_bytes_is_told_and_not_recommended():
    odd = ("x.dcm", "y.dcm")
    rows = [row("jpeg-lossless", "blank", 50, slide="a.svs")]
    rows += [failed("jpeg-lossless", "blank", NO_TILES, slide) for slide in odd]
    exact = [row("jpegxl-lossless", "keep", 130, slide=slide) for slide in ("a.svs", *odd)]
    told_of_few = (
        "jpeg-lossless, glass blank leaves 83.3 % of your bytes, but 2 of 3 slides (2 MB) stay as they are."
    )
    found = recommend(situation(*rows, *exact, sources=("in",), is_folder=True))
    assert (found.verdict, found.command) == (Verdict.LEAVE, "")
    assert found.sentence == (
        "Leave it as it is: what was compared on most of your bytes, fitting or not, makes it no smaller."
    )
    assert found.reason.endswith(told_of_few)
    lossy = [row("jpeg:90", "blank", 40, ssim=0.9, slide=slide) for slide in ("a.svs", *odd)]
    found = recommend(situation(*rows, *lossy, sources=("in",), is_folder=True))
    assert found.verdict is Verdict.NOTHING
    assert found.sentence == (
        'Nothing that saves fits `opens_in="any"` and exact tissue on most of your bytes.'
    )
    assert found.reason.endswith(told_of_few)
    found = recommend(situation(*rows, sources=("in",), is_folder=True))
    assert found.sentence == (
        "Nothing can be recommended: no codec could convert more than half of your bytes by one setting."
    )
    assert found.reason == told_of_few


def test_where_intervals_of_a_sample_overlap_the_simpler_one_is_named():
    overlapping = [
        row("copy", "white", 60, spread=4),
        row("jpeg-lossless", "white", 55, spread=3),
        row("jpegxl-lossless", "white", 53, spread=3),
    ]
    found = recommend(situation(*overlapping))
    assert (found.codec, found.part_low, found.part_high) == ("copy", 0.56, 0.64)
    assert "60.0 % of your bytes (56.0 to 64.0 %)" in found.sentence
    assert found.reason == (
        "jpeg-lossless, glass white makes 55.0 %, within the error of this sample (a larger `sample` tells): "
        "this is the simpler."
    )
    apart = [row("copy", "white", 60, spread=1), row("jpeg-lossless", "white", 55, spread=1)]
    assert recommend(situation(*apart)).codec == "jpeg-lossless"
    counted = [row("copy", "white", 55.9), row("jpeg-lossless", "white", 55)]
    assert "less than 1.0 % of your bytes away" in recommend(situation(*counted)).reason
    # Of one codec the rows share their tiles: glass that goes saves, however wide the intervals are.
    one = [row("copy", "keep", 90, spread=30), row("copy", "white", 60, spread=30)]
    assert recommend(situation(*one)).glass == "white"


def test_what_makes_everything_larger_is_not_recommended():
    found = recommend(
        situation(
            row("copy", "keep", 100.4), row("jpeg-lossless", "keep", 104), row("jpegxl-lossless", "keep", 130)
        )
    )
    assert found.verdict is Verdict.LEAVE
    assert found.sentence == "Leave it as it is: what fits makes it no smaller."


def test_of_a_vendor_s_pixels_what_a_loss_would_gain_is_told():
    rows = [
        failed("copy", "keep", "OpenSlide hands out this vendor's pixels alone"),
        failed("jpeg-lossless", "keep", "OpenSlide hands out this vendor's pixels alone"),
        row("jpegxl-lossless", "keep", 370),
        row("jpeg:90", "keep", 90, ssim=0.99),
    ]
    found = recommend(situation(*rows))
    assert (found.verdict, found.codec) == (Verdict.NOTHING, "jpeg:90")
    assert found.sentence == 'Nothing that saves fits `opens_in="any"` and exact tissue.'
    assert found.reason == (
        "The nearest is jpeg:90, glass keep: 90.0 % of your bytes; opens in every viewer tried. "
        "But it changes tissue (SSIM of the worst tile 0.990)."
    )
    assert "copy: not made: OpenSlide hands out this vendor's pixels alone" in found.excluded
    glass = situation(row("copy", "keep", 100), row("copy", "empty", 60))
    assert recommend(glass).excluded == ('`opens_in="any"` excludes 1 of 2 rows: copy (glass empty)',)
    found = recommend(situation(*rows, opens_in="wsicomp"))
    assert found.sentence == "Leave it as it is: what fits makes it no smaller."
    assert [each.without for each in found.alternatives] == ["`min_ssim=0.99`"]
    assert recommend(situation(*rows, min_ssim=0.99)).codec == "jpeg:90"


def test_a_program_that_does_not_open_the_source_need_not_open_its_copy():
    copied = row("copy", "white", 80)
    copied = replace(copied, outcome=replace(copied.outcome, not_in=("libvips", "GDAL")))
    rows = [copied, row("jpeg:90", "keep", 120, ssim=0.9)]
    assert recommend(situation(*rows)).verdict is Verdict.NOTHING
    found = recommend(situation(*rows, not_in=("libvips", "GDAL")))
    assert (found.verdict, found.codec) == (Verdict.TAKE, "copy")
    assert "opens wherever the source opens" in found.sentence


def test_empty_tiles_win_only_where_they_are_allowed_and_smaller():
    rows = [row("copy", "keep", 100), row("copy", "white", 80), row("copy", "empty", 79.5)]
    assert recommend(situation(*rows, opens_in="openslide")).glass == "white"
    only = [row("copy", "keep", 100), row("copy", "empty", 60)]
    assert recommend(situation(*only, opens_in="openslide")).glass == "empty"
    assert recommend(situation(*only)).verdict is Verdict.LEAVE


def test_what_two_constraints_cost_is_told_where_one_alone_costs_nothing():
    rows = [
        row("copy", "keep", 100),
        row("jpeg:90", "keep", 140, ssim=0.92),
        row("he-compact", "keep", 81, ssim=0.95),
    ]
    found = recommend(situation(*rows))
    assert found.verdict is Verdict.LEAVE
    (both,) = found.alternatives
    assert both.without == '`min_ssim=0.95` and `opens_in="wsicomp"`'
    assert both.sentence.startswith("With loss and for fewer viewers: he-compact, glass keep makes 81.0 %")


def test_what_only_grows_is_left_whatever_the_constraints():
    found = recommend(situation(row("jpegxl-lossless", "keep", 370), row("jpeg:90", "keep", 113, ssim=0.99)))
    assert found.verdict is Verdict.LEAVE
    assert found.sentence == "Leave it as it is: what was compared, fitting or not, makes it no smaller."


def test_settings_of_each_slide_s_own_are_no_one_command():
    rows = [
        row("jpeg:90", "white", 50, ssim=0.97, slide=slide, options={"codec": "jpeg", "quality": number})
        for number, slide in enumerate(("a.svs", "b.svs"), 80)
    ]
    rows += [row("copy", "white", 90, slide=slide) for slide in ("a.svs", "b.svs")]
    found = recommend(situation(*rows, min_ssim=0.9, sources=("a.svs", "b.svs")))
    assert found.codec == "copy"
    assert "jpeg:90: each slide has a setting of its own; take the presets" in found.excluded


def test_nothing_compared_is_told():
    found = recommend(situation(failed("copy", "keep", "it is broken")))
    assert found.verdict is Verdict.NOTHING
    assert found.sentence == "Nothing can be recommended: no codec could convert every slide."


def test_a_recommendation_is_json_and_as_careful_as_a_batch():
    found = recommend(situation(row("copy", "white", 60)))
    assert json.loads(json.dumps(asdict(found)))["outcome"]["tissue"] == "exact bytes"
    assert BatchOptions().min_saving == LEAST_SAVED * 100


def with_regions(*rows, **constraints):
    found = situation(*rows, **constraints)
    return replace(found, slides=tuple(replace(slide, kept_by="copy") for slide in found.slides))


def beside_regions(outside, *figures, **changes):
    """A row with exact regions, beside tissue by another codec."""
    region = FoundClass("tumour", "copy", 9, 0.1, 5000, True, None, None, 0)
    return row(outside, *figures, **{"classes": (region,), **changes})


def test_what_spoils_the_regions_is_no_advice():
    rows = [row("copy", "keep", 97.5), row("jpeg:90", "keep", 30, ssim=0.97)]
    spoiling = recommend(with_regions(*rows))
    assert spoiling.alternatives == ()
    assert spoiling.excluded == ("the regions exclude 1 of 2 rows: jpeg:90",)
    assert recommend(situation(*rows)).alternatives

    kept = recommend(with_regions(*rows, beside_regions("jpeg:60", "keep", 60, ssim=0.9)))
    (loss,) = kept.alternatives
    assert (loss.codec, loss.part) == ("jpeg:60", 0.6)
    blank = beside_regions("jpeg:60", "blank", 50, ssim=0.9)
    fitting = with_regions(*rows, beside_regions("jpeg:60", "keep", 60, ssim=0.9), blank, min_ssim=0.9)
    assert recommend(fitting).reason == "It is the smallest of 2 rows that fit and keep the regions."
    assert "it changes tissue outside of the regions (SSIM of the worst tile 0.900)" in loss.sentence


def test_the_advice_says_that_regions_stay():
    kept = beside_regions("jpeg:60", "keep", 60, ssim=0.9)
    found = recommend(with_regions(row("jpeg:90", "keep", 50, ssim=0.99), kept, min_ssim=0.9))
    assert found.codec == "jpeg:60"
    assert "tissue outside of the regions changes, the worst tile has SSIM 0.900" in found.sentence
    assert "every pixel of the regions stays" in found.sentence

    outside = FoundClass("", "jpeg quality=60", 9, 0.1, 500, False, 0.9, 0.9, 9, (0, 1))
    on_one = replace(kept, classes=(outside, replace(kept.classes[0], levels=(0,))))
    found = recommend(with_regions(on_one, min_ssim=0.9))
    assert "every pixel of the regions stays on level 0 alone;" in found.sentence

    lossy = replace(kept.classes[0], is_exact=False, least_ssim=0.95, mean_ssim=0.97)
    found = recommend(with_regions(replace(kept, classes=(lossy,)), min_ssim=0.9))
    assert "tissue changes, the worst tile has SSIM 0.900" in found.sentence
    assert "regions" not in found.sentence


def test_a_row_that_is_not_the_smallest_is_not_called_so():
    rows = [row("copy", "keep", 70.5), row("copy", "blank", 69.6), row("jpeg-lossless", "keep", 90)]
    found = recommend(situation(*rows))
    assert (found.codec, found.glass) == ("copy", "keep")
    assert found.reason == (
        "copy, glass blank makes 69.6 %, less than 1.0 % of your bytes away: this is the one that does less "
        "to glass."
    )
