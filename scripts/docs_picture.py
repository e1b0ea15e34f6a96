"""Draws the README's picture: a drawn slide, what a conversion would take out of it, and the result.

scripts/docs_picture.py docs/images/glass-out.jpg
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import wsicomp
from wsicomp import ConversionConfig, convert_slide
from wsicomp.cli import main as command
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticSlide, write_slide
from wsicomp.text.figures import as_bytes, as_percent

_PANEL_PX, _GAP_PX, _CAPTION_PX = 480, 12, 52
_SIDE_PX, _SEED = 8192, 1
_PAPER, _INK = "#ffffff", "#33203f"


def draw(target: Path) -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, result, audit = folder / "slide.svs", folder / "small.svs", folder / "audit.png"
        write_slide(source, SyntheticSlide(Size(_SIDE_PX, _SIDE_PX), seed=_SEED, tissue_fraction=0.2))
        report = convert_slide(source, result, ConversionConfig.of(codec="jpeg", lossless=True))
        if command(["segment", str(source), str(folder / "mask.png"), "--audit", str(audit)]):
            raise SystemExit("docs_picture: the audit was not drawn")
        panels = (
            (f"source: {as_bytes(report.source_bytes)}", seen(source)),
            ("audit: blue is taken out", fitted(without_legend(Image.open(audit)))),
            (f"result: {as_bytes(report.target_bytes)}, {as_percent(report.saved)} saved", seen(result)),
        )
        joined(panels).save(target, quality=88, optimize=True)


def seen(path: Path) -> Image.Image:
    """Return a slide as a reader shows it."""
    with wsicomp.open_slide(path) as slide:
        return fitted(slide.get_thumbnail((_PANEL_PX, _PANEL_PX)))


def without_legend(audit: Image.Image) -> Image.Image:
    """Return the part of an audit picture that shows the slide, which is square here."""
    return audit.crop((0, 0, audit.width, audit.width))


def fitted(picture: Image.Image) -> Image.Image:
    """Return a picture in the size of a panel."""
    return picture.convert("RGB").resize((_PANEL_PX, _PANEL_PX), Image.Resampling.LANCZOS)


def joined(panels: tuple[tuple[str, Image.Image], ...]) -> Image.Image:
    """Return panels side by side, each with its caption."""
    width = len(panels) * (_PANEL_PX + _GAP_PX) + _GAP_PX
    paper = Image.new("RGB", (width, _PANEL_PX + _GAP_PX + _CAPTION_PX), _PAPER)
    pen, font = ImageDraw.Draw(paper), ImageFont.load_default(30)
    for number, (caption, picture) in enumerate(panels):
        left = _GAP_PX + number * (_PANEL_PX + _GAP_PX)
        paper.paste(picture, (left, _GAP_PX))
        pen.rectangle((left - 1, _GAP_PX - 1, left + _PANEL_PX, _GAP_PX + _PANEL_PX), outline="#b8a9c4")
        pen.text((left, _PANEL_PX + _GAP_PX + 8), caption, fill=_INK, font=font)
    return paper


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("target", type=Path, help="the JPEG to write")
    draw(parser.parse_args().target)
