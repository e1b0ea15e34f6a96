"""HTML pages from jinja templates: all text escaped, figures with units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from wsicomp.text.escaping import printable_lines
from wsicomp.text.figures import as_bytes, as_duration, as_percent, as_saving


def rendered(package: str, template: str, filters: Mapping[str, Callable[..., Any]], **values: Any) -> str:
    """Return the page that a template of `package` makes of `values`.

    Templates have the filters `bytes`, `percent`, `saving` and `duration`, and those in `filters`. A value
    that is missing is an error.
    """
    import jinja2  # noqa: PLC0415 - a tenth of the start of a worker process, which writes no page

    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name, ".") for name in (package, __package__)]),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    figures = {"bytes": as_bytes, "percent": as_percent, "saving": as_saving, "duration": as_duration}
    environment.filters |= {**figures, **filters}
    return environment.get_template(template).render(**values)


def _shown(value: Any) -> Any:
    """Make a text printable before jinja escapes its tags; return other values as they are."""
    return printable_lines(value) if type(value) is str else value
