"""Name the targets of slides, and turn any file's name into one line of text and back."""

from __future__ import annotations

import hashlib
import hmac
import os
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from wsicomp.config import ConversionConfig
from wsicomp.conversion.container import could_be_svs
from wsicomp.text.paths import as_path, as_text

_TIFF = (".tif", ".tiff", ".btf")
_LONGEST_NAME = 255
_DIGEST_LETTERS = 32


def assign_targets(
    sources: Iterable[str], config: ConversionConfig, known: Mapping[str, str], secret: bytes | None = None
) -> dict[str, str]:
    """Return the target of each source, both as relative paths in text.

    `known` has the targets of all slides that the tree ever had, by source: a slide keeps its target if it
    can, and the target of a slide that is gone is not given to another. No two targets are equal, also where
    the file system does not tell cases or spellings in Unicode apart. With a `secret` targets are named by
    digests of their sources' paths, which nobody finds without it.
    """
    wished = {source: _wished(source, config) for source in sorted(sources)}
    if secret is not None:
        return {source: _digest_name(source, target, secret) for source, target in wished.items()}
    settled = {
        source: known[source]
        for source, target in wished.items()
        if known.get(source) in (target, _apart(target, source))
    }
    targets: dict[str, str] = {}
    taken = {case_folded(target) for source, target in known.items() if source not in wished}
    for source, target in {**settled, **wished}.items():
        chosen = settled.get(source, target)
        if case_folded(chosen) in taken:
            chosen = _apart(target, source)
        taken.add(case_folded(chosen))
        targets[source] = chosen
    return targets


def _digest_name(source: str, target: str, secret: bytes) -> str:
    digest = hmac.new(secret, source.encode(), hashlib.sha256).hexdigest()
    return digest[:_DIGEST_LETTERS] + PurePosixPath(target).suffix.lower()


def case_folded(text: str) -> str:
    """Return a path as text in a form that is equal for all cases and spellings in Unicode."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def _wished(source: str, config: ConversionConfig) -> str:
    """Return the source's own path if its suffix fits what will be written.

    Else with the fitting suffix added.
    """
    path = PurePosixPath(source)
    suffix = path.suffix.lower()
    if (suffix == ".svs" and could_be_svs(config)) or (suffix in _TIFF and config.output.format != "svs"):
        name = path.name
    else:
        name = f"{path.name}{'.svs' if config.output.format == 'svs' else '.tiff'}"
    wished = str(path.with_name(name))
    return _apart(wished, source) if _is_long(name) else wished


def possible_targets(source: str) -> frozenset[str]:
    """Return all targets that a slide may have with any options, but for names by digests."""
    path = PurePosixPath(source)
    names = {f"{path.name}.tiff", f"{path.name}.svs"}
    if path.suffix.lower() in (".svs", *_TIFF):
        names.add(path.name)
    plain = {str(path.with_name(name)) for name in names if not _is_long(name)}
    return frozenset(plain | {_apart(str(path.with_name(name)), source) for name in names})


def _is_long(name: str) -> bool:
    return len(os.fsencode(as_path(name))) > _LONGEST_NAME


def _apart(target: str, source: str) -> str:
    """Return a target that no other source has and that is not too long."""
    path = PurePosixPath(target)
    mark = f"~{hashlib.sha256(source.encode()).hexdigest()[:8]}{path.suffix}"
    stem = str(as_path(path.name.removesuffix(path.suffix)))
    while len(os.fsencode(stem + mark)) > _LONGEST_NAME:
        stem = stem[:-1]
    return str(path.with_name(as_text(stem) + mark))
