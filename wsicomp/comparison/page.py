"""The results as one page that needs no other file: charts, sortable tables, tissue before and after."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

from markupsafe import Markup, escape

from wsicomp.comparison.archive_text import archive_notes, money_text, price_text, saving_text
from wsicomp.comparison.charts import family_colors, part_bars, rate_distortion
from wsicomp.comparison.codec_specs import family_of
from wsicomp.comparison.convert_command import command_lines
from wsicomp.comparison.crops import AMPLIFIED, LIKENESS, examples_of_loss
from wsicomp.comparison.recommendation import Verdict, recommend
from wsicomp.comparison.results import Comparison, Crop, SlideComparison
from wsicomp.comparison.tables import class_name, class_quality
from wsicomp.text.escaping import printable_lines
from wsicomp.text.html import rendered

_COMMAND_WIDTH = 90
_SCRIPT = """
for (const head of document.querySelectorAll("th[data-sort]")) {
  const sort = () => {
    const table = head.closest("table"), body = table.tBodies[0], place = head.cellIndex;
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.querySelectorAll("th[data-sort]")) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = row => {
      const cell = row.cells[place];
      return !cell || cell.colSpan > 1 ? "" : cell.dataset.v ?? cell.textContent.trim();
    };
    const order = (a, b) => {
      const x = value(a), y = value(b);
      if (x === "" || y === "") return (x === "") - (y === "");
      const n = Number(x) - Number(y);
      return (Number.isNaN(n) ? x.localeCompare(y) : n) * (down ? -1 : 1);
    };
    body.append(...[...body.rows].sort(order));
  };
  head.tabIndex = 0;
  head.addEventListener("click", sort);
  head.addEventListener("keydown", event => { if (event.key === "Enter") sort(); });
}
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
});
"""


def results_page(found: Comparison, links: Mapping[Crop | str, str] | None = None) -> str:
    """Return the page of a comparison.

    `links` are addresses where a viewer shows slides, by their names, and pieces of tissue; a page that has
    to stand alone has none.
    """
    colors, told = family_colors(found.slides), recommend(found)
    return rendered(
        "wsicomp.comparison",
        "page.html.j2",
        {
            "family": family_of,
            "crops": _by_codec,
            "code": _with_code,
            "class_name": class_name,
            "class_quality": class_quality,
        },
        found=found,
        links=links or {},
        hues=colors,
        plots={slide.slide: rate_distortion(slide, colors) for slide in found.slides},
        told=told,
        command=command_lines(told.command, _COMMAND_WIDTH) if told.command else [],
        bars=part_bars(found, (told.codec, told.glass) if told.verdict is Verdict.TAKE else ("", "")),
        examples=examples_of_loss(found.slides, found.constraints.min_ssim or LIKENESS),
        likeness=found.constraints.min_ssim or LIKENESS,
        amplified=AMPLIFIED,
        saving=saving_text,
        money=money_text,
        price=price_text,
        archive_notes=archive_notes,
        script=_SCRIPT,
        script_hash=base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode(),
    )


def _with_code(text: str) -> Markup:
    """Return a text with what stands in backquotes as code."""
    parts = [escape(printable_lines(part)) for part in text.split("`")]
    parts[1::2] = [Markup("<code>{}</code>").format(part) for part in parts[1::2]]
    return Markup("").join(parts)


def _by_codec(slide: SlideComparison) -> Mapping[str, Mapping[str, Crop]]:
    """Return the pieces of tissue by codec and kind."""
    found: dict[str, dict[str, Crop]] = {}
    for crop in slide.crops:
        found.setdefault(crop.codec, {})[crop.kind] = crop
    return found
