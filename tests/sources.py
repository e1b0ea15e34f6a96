"""The package's own source, parsed once for all tests that read it."""

import ast
from functools import cache

from tests.paths import ROOT


@cache
def modules() -> dict[str, ast.Module]:
    """Return each module of `wsicomp/`, by its path in the checkout."""
    paths = sorted((ROOT / "wsicomp").rglob("*.py"))
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text("utf-8")) for path in paths}
