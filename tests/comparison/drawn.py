"""Drawn slides for comparisons, and the choices with which they are quick."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from wsicomp import ConversionConfig
from wsicomp.comparison import ComparisonOptions, parse_codecs
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide

BASE = ConversionConfig.of(segmenter="threshold", overwrite=True, workers=2)


def draw_slide(path: Path, seed=0, size=(1500, 1300), tissue=0.4, **form) -> Path:
    slide = SyntheticSlide(Size(*size), seed=seed, tissue_fraction=tissue, fragments=2)
    write_slide(path, slide, SyntheticFormat(**{"downsamples": (1, 4), **form}))
    return path


def quick(codecs="copy,jpeg:90", **choices) -> ComparisonOptions:
    return replace(ComparisonOptions(codecs=parse_codecs(codecs), base=BASE, curve_tiles=0), **choices)


@lru_cache(maxsize=1)
def drawn_bytes(seed=0) -> bytes:
    """The bytes of one drawn slide, drawn once for a process."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        return draw_slide(Path(folder) / "slide.svs", seed).read_bytes()
