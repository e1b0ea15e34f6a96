"""Constructed results of comparisons: rows with the figures that a recommendation looks at."""

from dataclasses import replace

from wsicomp.codecs.base import Program
from wsicomp.codecs.tile_quality import Quality
from wsicomp.comparison.outcomes import RowOutcome
from wsicomp.comparison.results import Comparison, Constraints, Row, SlideComparison, Status
from wsicomp.conversion.outcome import Tissue

SOURCE_BYTES = 1_000_000
NOT_IN = {
    "any": (),
    "openslide": ("libvips", "GDAL"),
    "wsicomp": (Program.OPENSLIDE.value, "QuPath", "libvips"),
}
CODECS = {
    "copy": (Tissue.BYTES, "any", {"codec": "copy"}),
    "jpeg-lossless": (Tissue.PIXELS, "any", {"codec": "jpeg", "lossless": True}),
    "jpegxl-lossless": (Tissue.PIXELS, "wsicomp", {"codec": "jpegxl", "lossless": True}),
    "jpegxl-restorable": (
        Tissue.PIXELS,
        "wsicomp",
        {"codec": "jpegxl", "lossless": True, "restorable": True},
    ),
    "jpeg:90": (Tissue.LOSSY, "any", {"codec": "jpeg", "quality": 90}),
    "jpeg:60": (Tissue.LOSSY, "any", {"codec": "jpeg", "quality": 60}),
    "jpeg2000:37dB": (Tissue.LOSSY, "openslide", {"codec": "jpeg2000", "psnr": 37.0}),
    "he-compact": (Tissue.LOSSY, "wsicomp", {"codec": "bmshj2018-factorized", "model": "he-compact"}),
}


def quality(ssim: float, is_exact: bool) -> Quality:
    return Quality(
        tiles=10,
        exact_tiles=10 * is_exact,
        bits_per_pixel=1.0,
        ssim=ssim,
        ssim_spread=0.0,
        least_ssim=ssim,
        worst_tile="level 0 tile (0, 0)",
        ms_ssim=None,
        least_ms_ssim=None,
        psnr_db=None if is_exact else 40.0,
        least_psnr_db=None if is_exact else 38.0,
        color_shift_levels=0.0,
        most_color_shift_levels=0.0,
    )


def row(codec, glass, percent, ssim=1.0, spread=None, slide="slide.svs", **changes) -> Row:
    """A row whose file has this per cent of the source; `spread` is half of its interval in per cent."""
    tissue, opens, options = CODECS[codec]
    target = round(SOURCE_BYTES * percent / 100)
    not_in = NOT_IN[opens] if glass != "empty" else (*NOT_IN[opens], "slideio")
    # The reference has half of the source's bytes, so that a per cent of the source is two of its own.
    interval = {}
    if spread is not None:
        half = round(SOURCE_BYTES * spread / 100)
        interval = {
            "target_bytes_low": target - half,
            "target_bytes_high": target + half,
            "reduction_low": 1 - (percent + spread) / 50,
            "reduction_high": 1 - (percent - spread) / 50,
        }
    made = Row(
        slide,
        codec,
        glass,
        source_bytes=SOURCE_BYTES,
        target_bytes=target,
        reduction=1 - percent / 50,
        source_reduction=1 - percent / 100,
        quality=quality(ssim, tissue is not Tissue.LOSSY),
        options={**options, "glass": glass},
        container="svs" if opens == "any" else "tiff",
        outcome=RowOutcome(tissue, "", not_in, (), 16, bool(options.get("restorable"))),
        **interval,
    )
    return replace(made, **changes)


def failed(codec, glass, reason, slide="slide.svs") -> Row:
    return Row(slide, codec, glass, Status.UNAVAILABLE, reason)


def situation(*rows: Row, not_in=None, sources=("slide.svs",), is_folder=False, **constraints) -> Comparison:
    """The results with these rows, of one slide or of several."""
    slides = tuple(
        SlideComparison(
            name,
            SOURCE_BYTES,
            reference_bytes=SOURCE_BYTES // 2,
            not_in=not_in,
            partly_in=None if not_in is None else (),
            rows=tuple(each for each in rows if each.slide == name),
        )
        for name in dict.fromkeys(each.slide for each in rows)
    )
    return Comparison(
        "wsicomp 0",
        "2026-01-01",
        "wsicomp compare",
        None,
        2,
        slides,
        sources=sources,
        is_folder=is_folder,
        constraints=Constraints(**constraints),
    )
