"""The files of a codec evaluation: CSV tables, curves, and a page with the worst tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from wsicomp.codecs.tile_quality import round_trip
from wsicomp.files.tables import write_rows, write_text
from wsicomp.slide import Pixels
from wsicomp.text.html import rendered
from wsicomp.training.codec.curves import CodecComparison, Measurement, RatePoint
from wsicomp.training.codec.evaluate import CodecEvaluation, CodecSetting, TissueTile
from wsicomp.training.run_folder import figure_panels, write_table

PAGE, CURVES, TILES, FIGURE, EQUAL = "index.html", "curves.csv", "tiles.csv", "curves.png", "equal-ssim.csv"
_DIFFERENCE_GAIN = 8


def write_codec_evaluation(evaluation: CodecEvaluation, folder: Path) -> None:
    """Write tables, curves, pictures and the page into an existing folder."""
    write_table(folder / TILES, list(map(_row, evaluation.measurements)))
    write_table(folder / CURVES, [asdict(point) for point in evaluation.points])
    write_rows(folder / EQUAL, equal_cells(evaluation.comparisons), overwrite=True)
    _draw(folder / FIGURE, evaluation.points)
    page = rendered(
        "wsicomp.training.codec",
        "report.html.j2",
        {},
        tiles=len(evaluation.tiles),
        groups=", ".join(sorted({tile.group for tile in evaluation.tiles})),
        equal=equal_rows(evaluation.comparisons),
        chart=FIGURE,
        gain=_DIFFERENCE_GAIN,
        worst=[_pictures(folder, model, tiles) for model, tiles in evaluation.worst],
    )
    write_text(folder / PAGE, page, overwrite=True)


def _row(measured: Measurement) -> dict[str, Any]:
    """Return a row of tiles.csv."""
    found = measured.found
    place = {name: getattr(measured, name) for name in ("codec", "setting", "power", "tile")}
    figures = ("bits_per_pixel", "ssim", "ms_ssim", "psnr", "color_shift")
    return place | {name: getattr(found, name) for name in figures}


def equal_cells(comparisons: Sequence[CodecComparison]) -> Iterator[list[str]]:
    """Yield a row for each comparison, the head first: bits per pixel and least SSIM of each codec."""
    names = list(comparisons[0].bits_per_pixel)
    yield ["power", "at", "ssim", *names, *(f"{name} least_ssim" for name in names)]
    for found in comparisons:
        values = [*found.bits_per_pixel.values(), *found.least_ssim.values()]
        cells = ["" if value is None else f"{value:.4f}" for value in values]
        yield [f"{found.power:g}", found.why, f"{found.ssim:.4f}", *cells]


def equal_rows(comparisons: Sequence[CodecComparison]) -> list[list[str]]:
    """Return a table of texts, the head first: bits per pixel of each codec, and the savings of each model.

    Savings are parts of the bits of JPEG and of JPEG XL.
    """
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


def _draw(path: Path, points: Sequence[RatePoint]) -> None:
    powers = sorted({point.power for point in points}, reverse=True)
    names = list(dict.fromkeys(point.codec for point in points))
    measures = {"ssim": "mean SSIM", "psnr": "mean PSNR, dB"}
    with figure_panels(path, (4.2 * len(powers), 7), len(measures), len(powers)) as panels:
        for (measure, label), row in zip(measures.items(), panels, strict=True):
            for power, axes in zip(powers, row, strict=True):
                for number, name in enumerate(names):
                    own = (p for p in points if (p.codec, p.power) == (name, power) and p.ssim > 0.85)
                    line = sorted(own, key=lambda point: point.bits_per_pixel)
                    at = [point.bits_per_pixel for point in line]
                    values = [getattr(point, measure) for point in line]
                    axes.plot(at, values, "o-", ms=3, color=f"C{number}", label=name)
                axes.set(xlabel="bits per pixel", ylabel=label, title=f"{power:g}x", xlim=(0, None))
                axes.grid(alpha=0.25)


def _pictures(
    folder: Path, model: CodecSetting, tiles: Sequence[tuple[Measurement, TissueTile]]
) -> dict[str, Any]:
    """Draw the worst tiles of a model into the folder; return their part of the page."""
    title = f"{model.name}, {model.setting}"
    pictures = []
    for number, (row, tile) in enumerate(tiles):
        file = f"{title}-worst-{number}.png"
        ((_, decoded),) = round_trip(model.codec, [tile.pixels])
        Image.fromarray(beside(tile.pixels, decoded)).save(folder / file)
        found = row.found
        caption = (
            f"{row.tile}: SSIM {found.ssim:.4f}, PSNR {found.psnr:.1f} dB, colour within "
            f"{found.color_shift:.1f} grey levels, {found.bits_per_pixel:.2f} bits per pixel"
        )
        pictures.append({"file": file, "caption": caption})
    return {"title": title, "pictures": pictures}


def beside(first: Pixels, second: Pixels) -> Pixels:
    """Return two pictures and their amplified difference side by side, as (rows, columns, 3) uint8 RGB."""
    difference = (first.astype(np.int32) - second) * _DIFFERENCE_GAIN + 128
    return np.concatenate([first, second, np.clip(difference, 0, 255).astype(np.uint8)], axis=1)
