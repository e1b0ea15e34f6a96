"""What a folder shows, as a page or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from wsicomp.mount.shown import Shown, ShownFile, ShownFolder
from wsicomp.text.html import rendered


@dataclass(frozen=True)
class FolderRow:
    """A file or a folder in a folder's listing; its fields are the names in JSON."""

    name: str
    """Its name."""
    type: str
    """"file" or "directory"."""
    href: str
    """Its address, from the folder on."""
    bytes: int | None
    """A file's size; None for a folder."""
    modified: str
    """When it was last changed, in UTC."""


def folder_rows(children: Mapping[str, Shown]) -> list[FolderRow]:
    """Return what a folder shows, folders first; links are left out, for they may lead anywhere."""
    return sorted(_rows(children), key=lambda row: (row.type, row.name))


def folder_json(children: Mapping[str, Shown]) -> bytes:
    """Return what a folder shows as JSON."""
    return json.dumps([asdict(row) for row in folder_rows(children)], indent=1).encode("utf-8", "replace")


def folder_page(path: str, children: Mapping[str, Shown]) -> bytes:
    """Return what the folder at a path of the tree shows, as a page of HTML."""
    page = rendered(__package__ or "", "folder.html.j2", {}, path=path, rows=folder_rows(children))
    return page.encode("utf-8", "replace")


def _rows(children: Mapping[str, Shown]) -> Iterator[FolderRow]:
    for name, shown in children.items():
        address = quote(name.encode("utf-8", "surrogateescape"), safe="")
        if isinstance(shown, ShownFile):
            yield FolderRow(name, "file", address, shown.bytes, _time(shown.mtime_ns))
        elif isinstance(shown, ShownFolder):
            yield FolderRow(name, "directory", f"{address}/", None, _time(shown.status.st_mtime_ns))


def _time(time_ns: int) -> str:
    try:
        return datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):
        return ""
