"""The results as a page that opens from its folder, without a server.

Browsers load no modules from a folder, so the page's modules are joined into one script.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from wsicomp.text.html import rendered
from wsicomp.volumes.comparison.paper_tables import paper_tables
from wsicomp.volumes.comparison.results import VolumeComparison, VolumeRow

_MODULES = ("packed", "slice_store", "painting", "volume_viewer", "viewer_controls", "table_sort", "main")
"""Each behind those that it imports."""
_IMPORT = re.compile(r"^import \{[^}]*\} from \"[^\"]*\";\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=const |class |function |async function )", re.MULTILINE)


def comparison_page(found: VolumeComparison, shown: Sequence[Mapping[str, Any]]) -> str:
    """Return the page of a comparison; `shown` is what its viewer knows of each volume that has slices."""
    return rendered(
        "wsicomp.volumes.comparison",
        "page.html.j2",
        {},
        found=found,
        tables=paper_tables(found),
        shown=shown,
        volumes=_script_data(shown),
        best=_best(found),
    )


def page_script() -> str:
    """Return the page's script: all its modules in one function, without what they import and export."""
    folder = files("wsicomp.volumes.comparison") / "static"
    texts = [(folder / f"{name}.js").read_text("utf-8") for name in _MODULES]
    joined = "\n".join(_EXPORT.sub("", _IMPORT.sub("", text)) for text in texts)
    return f'(() => {{\n"use strict";\n{joined}\n}})();\n'


def _script_data(shown: Sequence[Mapping[str, Any]]) -> Markup:
    """Return JSON that may stand in a script element: no letter of it ends the element."""
    text = json.dumps(shown, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))  # noqa: S704


def _best(found: VolumeComparison) -> VolumeRow | None:
    """Return the row with the best exact ratio of a single volume; None where none is exact."""
    exact = [row for row in found.rows if row.is_done and row.is_exact]
    return max(exact, key=lambda row: row.ratio, default=None)
