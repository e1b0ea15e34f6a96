"""What was measured of codecs, as files: CSV tables, curves, and a page with the worst tiles."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from wsicomp.codecs.base import TileCodec
from wsicomp.codecs.registry import decode_tile
from wsicomp.escaping import html_text, spreadsheet_cell
from wsicomp.geometry import Size
from wsicomp.slide import EncodedTile, Pixels
from wsicomp.training.codec.evaluate import Comparison, CurvePoint, Measurement, TissueTile
from wsicomp.training.run_folder import write_table
from wsicomp.training.tissue.report import STYLE

PAGE, CURVES, TILES, FIGURE, EQUAL = "index.html", "curves.csv", "tiles.csv", "curves.png", "equal-ssim.csv"
_DIFFERENCE_GAIN = 8

Worst = Sequence[tuple[str, TileCodec, Sequence[tuple[Measurement, TissueTile]]]]
"""The worst tiles of each model, by its name, and the codec with which to draw them."""


def write_codec_evaluation(
    folder: Path,
    measurements: Sequence[Measurement],
    points: Sequence[CurvePoint],
    comparisons: Sequence[Comparison],
    tiles: Sequence[TissueTile],
    worst: Worst,
) -> None:
    """Write everything into an existing folder."""
    write_table(folder / TILES, measurements)
    write_table(folder / CURVES, points)
    (folder / EQUAL).write_text(equal_csv(comparisons), "utf-8")
    _draw(folder / FIGURE, points)
    (folder / PAGE).write_text(_page(folder, comparisons, tiles, worst), "utf-8")


def equal_csv(comparisons: Sequence[Comparison]) -> str:
    """A row for each comparison: bits per pixel of each codec."""
    names = list(comparisons[0].bits_per_pixel)
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    head = ["power", "at", "ssim", *names, *(f"{name} least_ssim" for name in names)]
    table.writerow(map(spreadsheet_cell, head))
    for found in comparisons:
        values = [*found.bits_per_pixel.values(), *found.least_ssim.values()]
        cells = ["" if value is None else f"{value:.4f}" for value in values]
        why = spreadsheet_cell(found.why)
        table.writerow([f"{found.power:g}", why, f"{found.ssim:.4f}", *cells])
    return file.getvalue()


def equal_rows(comparisons: Sequence[Comparison]) -> list[list[str]]:
    """The same for people: bits per pixel, and what each model saves of JPEG's and JPEG XL's."""
    names = list(comparisons[0].bits_per_pixel)
    models = [name for name in names if name not in ("jpeg", "jpegxl", "jpeg2000")]
    header = ["power", "at", "SSIM", *(f"{name}, bpp" for name in names)]
    for name in models:
        header += [f"{name} saves of jpeg", "of jpegxl", "its least SSIM"]
    rows = [header]
    for found in comparisons:
        row = [f"{found.power:g}x", found.why, f"{found.ssim:.4f}"]
        row += ["-" if bits is None else f"{bits:.3f}" for bits in found.bits_per_pixel.values()]
        for name in models:
            for other in ("jpeg", "jpegxl"):
                saved = found.saved(name, other)
                row.append("-" if saved is None else f"{saved:.1%}")
            least = found.least_ssim[name]
            row.append("-" if least is None else f"{least:.3f}")
        rows.append(row)
    return rows


def _draw(path: Path, points: Sequence[CurvePoint]) -> None:
    from matplotlib.figure import Figure

    powers = sorted({point.power for point in points}, reverse=True)
    names = list(dict.fromkeys(point.codec for point in points))
    figure = Figure(figsize=(4.2 * len(powers), 7), layout="constrained")
    panels = figure.subplots(2, len(powers), squeeze=False)
    for column, power in enumerate(powers):
        for row, (measure, label) in enumerate((("ssim", "mean SSIM"), ("psnr", "mean PSNR, dB"))):
            axes = panels[row, column]
            for number, name in enumerate(names):
                line = [point for point in points if (point.codec, point.power) == (name, power)]
                line = sorted((point for point in line if point.ssim > 0.85), key=lambda p: p.bits_per_pixel)
                at = [point.bits_per_pixel for point in line]
                axes.plot(
                    at,
                    [getattr(point, measure) for point in line],
                    "o-",
                    ms=3,
                    color=f"C{number}",
                    label=name,
                )
            axes.set(xlabel="bits per pixel", ylabel=label, title=f"{power:g}x", xlim=(0, None))
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(alpha=0.25)
    panels[0, 0].legend(frameon=False)
    figure.savefig(path, dpi=110, format="png")


def _page(folder: Path, comparisons: Sequence[Comparison], tiles: Sequence[TissueTile], worst: Worst) -> str:
    groups = sorted({tile.group for tile in tiles})
    parts = [
        "<!doctype html><meta charset='utf-8'><title>Codecs on tissue</title>",
        f"<style>{STYLE}</style><h1>Codecs on tissue</h1>",
        "<p>Bits per pixel where each codec's curve has the same mean SSIM. A dash: its curve does not reach "
        "it.</p>",
        f"<p>{len(tiles)} tiles of tissue of {html_text(', '.join(groups))}. A model is fairly measured on "
        "what it has not learnt from: its training wrote that into learnt-from.csv.</p>",
        _table(equal_rows(comparisons)),
        f"<p><img src='{FIGURE}' alt='rate and distortion' style='max-width: 100%'></p>",
    ]
    for name, codec, rows in worst:
        parts.append(f"<h2>{html_text(name)}: its worst tiles</h2>")
        parts.append(
            f"<p>Original, decoded, and their difference times {_DIFFERENCE_GAIN} around grey: by SSIM, then "
            "by the largest shift of colour.</p>"
        )
        parts += [_figure(folder, name, number, codec, *row) for number, row in enumerate(rows)]
    return "\n".join(parts)


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = []
    for number, row in enumerate(rows):
        kind = "td" if number else "th"
        lines.append("<tr>" + "".join(f"<{kind}>{html_text(cell)}</{kind}>" for cell in row))
    return "<table>" + "\n".join(lines) + "</table>"


def _figure(
    folder: Path, model: str, number: int, codec: TileCodec, row: Measurement, tile: TissueTile
) -> str:
    size = Size(tile.pixels.shape[1], tile.pixels.shape[0])
    back = decode_tile(EncodedTile(codec.encode(tile.pixels), codec.encoding, size))
    name = f"{model}-worst-{number}.png"
    Image.fromarray(beside(tile.pixels, back)).save(folder / name)
    facts = (
        f"{row.tile}: SSIM {row.ssim:.4f}, PSNR {row.psnr:.1f} dB, colour within {row.color_shift:.1f} grey "
        f"levels, {row.bits_per_pixel:.2f} bits per pixel"
    )
    caption = html_text(facts)
    return (
        f"<figure><img src='{quote(name)}' style='width: 720px' alt=''>"
        f"<figcaption>{caption}</figcaption></figure>"
    )


def beside(first: Pixels, second: Pixels) -> Pixels:
    """Two pictures and their difference, magnified."""
    difference = (first.astype(np.int32) - second) * _DIFFERENCE_GAIN + 128
    return np.concatenate([first, second, np.clip(difference, 0, 255).astype(np.uint8)], axis=1)
