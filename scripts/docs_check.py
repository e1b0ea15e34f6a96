"""Hold the built site to three rules: nothing loads from elsewhere, links are well formed, examples are code.

scripts/docs_check.py build/docs/site
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

_LOADED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src")}
_STYLES = ("stylesheet", "preload", "icon", "preconnect", "dns-prefetch", "modulepreload")


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.flaws: list[str] = []
        self._quotations = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        for name, value in values.items():
            is_loaded = (tag, name) in _LOADED or (tag == "link" and name == "href" and _is_style(values))
            if is_loaded and urlsplit(value).netloc:
                self.flaws.append(f"loads {value}")
        self._quotations += tag == "blockquote"
        if tag == "blockquote" and self._quotations == 2:
            self.flaws.append("quotes a quotation: is it an example of a docstring without `Examples:`?")
        if tag == "a" and (flaw := link_flaw(values.get("href", ""))):
            self.flaws.append(flaw)

    def handle_endtag(self, tag: str) -> None:
        self._quotations -= tag == "blockquote"


def _is_style(values: dict[str, str]) -> bool:
    return any(kind in _STYLES for kind in values.get("rel", "").split())


def link_flaw(href: str) -> str:
    """Return what is wrong with the form of an external link; empty if nothing is, or it is a local one."""
    try:
        parts = urlsplit(href)
    except ValueError as exc:
        return f"link {href}: {exc}"
    if parts.scheme not in ("", "https", "mailto"):
        return f"link {href}: expected https"
    is_bad = parts.scheme == "https" and ("." not in parts.netloc or " " in href)
    return f"link {href}: no such address can be" if is_bad else ""


def flaws(site: Path) -> Iterator[str]:
    """Yield what is wrong with a built site, page by page."""
    for path in sorted(site.rglob("*.html")):
        page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
        yield from (f"{path.relative_to(site)}: {flaw}" for flaw in page.flaws)
    for path in sorted(site.rglob("*.css")):
        if "url(http" in path.read_text(encoding="utf-8").replace('"', "").replace("'", ""):
            yield f"{path.relative_to(site)}: loads from elsewhere"


if __name__ == "__main__":
    found = list(flaws(Path(sys.argv[1])))
    print(*found, sep="\n", end="\n" if found else "")
    sys.exit(bool(found))
