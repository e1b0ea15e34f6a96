"""Name the targets of slides, and turn any file's name into one line of text and back."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from wsicomp.batch.ledger_checks import path_flaw
from wsicomp.config import ConversionConfig
from wsicomp.conversion.archive_form import can_pack
from wsicomp.conversion.container import could_be_svs
from wsicomp.formats.discovery import PACKED_SUFFIXES, SUFFIXES
from wsicomp.formats.packed.container import PACK_SUFFIX
from wsicomp.text.paths import as_path, as_text

_TIFF = (".tif", ".tiff", ".btf")
_NAMED_SOURCES = (*SUFFIXES, *PACKED_SUFFIXES)
_LONGEST_NAME = 255
_DIGEST_LETTERS = 32
_UNSAFE = re.compile(r'[<>:"|?*\\\x00-\x1f\x7f\udc80-\udcff]')
"""Letters that no name on a Windows share has, and bytes that are no UTF-8."""
_RESERVED = re.compile(
    r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9\xb9\xb2\xb3]) *(?:\.|$)", re.IGNORECASE
)
"""Names that Windows takes for devices, whatever their suffix."""


def assign_targets(
    sources: Iterable[str], config: ConversionConfig, known: Mapping[str, str], secret: bytes | None = None
) -> dict[str, str]:
    """Return the target of each source, both as relative paths in text.

    `known` has the targets of all slides that the tree ever had, by source: a slide keeps its target if it
    can, and the target of a slide that is gone is not given to another. No two targets are equal, also where
    the file system does not tell cases or spellings in Unicode apart. A name that a Windows share does not
    take gets a target that it does. With a `secret` targets are named by digests of their sources' paths,
    which nobody finds without it. A slide that no TIFF could restore is to be a packed slide; a TIFF that
    became one (`packed_target`) stays one.
    """
    plain = {source: _wished(source, config) for source in sorted(sources)}
    if secret is not None:
        return {source: _digest_name(source, target, secret) for source, target in plain.items()}
    wished = {source: safe_target(target) for source, target in plain.items()}
    settled = {
        source: known[source]
        for source in wished
        if _is_own(known.get(source), (plain[source], wished[source]), source, can_pack(config))
    }
    targets: dict[str, str] = {}
    taken = {case_folded(target) for source, target in known.items() if source not in wished}
    for source, target in {**settled, **wished}.items():
        chosen = settled.get(source, target)
        if case_folded(chosen) in taken:
            chosen = apart(target, source)
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
    if can_pack(config) and suffix not in (".svs", *_TIFF):
        name = f"{path.name}{PACK_SUFFIX}"
    elif (suffix == ".svs" and could_be_svs(config)) or (suffix in _TIFF and config.output.format != "svs"):
        name = path.name
    else:
        name = f"{path.name}{'.svs' if config.output.format == 'svs' else '.tiff'}"
    wished = str(path.with_name(name))
    return apart(wished, source) if _is_long(name) else wished


def packed_target(target: str, source: str) -> str:
    """Return the target of a slide that turned out to need a packed slide, by the one that it was assigned.

    >>> packed_target("a/slide.svs.tiff", "a/slide.svs"), packed_target("a/strips.tif", "a/strips.tif")
    ('a/slide.svs.wsipack', 'a/strips.tif.wsipack')
    """
    path = PurePosixPath(target)
    if path.suffix == PACK_SUFFIX:
        return target
    is_added = path.stem == PurePosixPath(safe_target(source)).name
    packed = str(path.with_name(f"{path.stem if is_added else path.name}{PACK_SUFFIX}"))
    return apart(packed, source) if _is_long(PurePosixPath(packed).name) else packed


def possible_targets(source: str) -> frozenset[str]:
    """Return all targets that a slide may have with any options, but for names by digests."""
    plain = _plain_targets(source)
    found = _with_apart((*plain, *map(safe_target, plain)), source)
    return found | {packed_target(target, source) for target in found}


def safe_name_note(source: str, target: str) -> str:
    """Return a note on a slide whose name a Windows share does not take, with its target; else ""."""
    plain = _with_apart(_plain_targets(source), source)
    if target in plain or target not in possible_targets(source):
        return ""
    return f"a Windows share does not take its name; its target is {target}"


def source_of(target: str, stated_name: str | None) -> str:
    """Return the source whose conversion has this path in its tree; "" if no name fits.

    `stated_name` is the name that the target says its source had, None where it says none. The copy of a
    conversion, as of a hard link, states another's name; its own path says what its source was called.
    """
    path = PurePosixPath(target)
    names = [*([as_text(stated_name)] if stated_name else []), *_guesses(path.name)]
    sources = [str(path.with_name(name)) for name in names if "/" not in name and name not in ("", ".", "..")]
    return next((one for one in sources if not path_flaw(one) and target in possible_targets(one)), "")


def _guesses(name: str) -> Iterator[str]:
    """Yield the names that the source of a target may have had, where the target does not say."""
    stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
    if suffix in (".tiff", ".svs", PACK_SUFFIX) and PurePosixPath(stem).suffix.lower() in _NAMED_SOURCES:
        yield stem
    head, _, mark = stem.rpartition("~")
    if len(mark) == 8:
        yield f"{head}{suffix}"
        yield head
    yield name


def _plain_targets(source: str) -> tuple[str, ...]:
    """Return the targets that a slide may have where its name is not long, unsafe or taken."""
    path = PurePosixPath(source)
    names = [f"{path.name}.tiff", f"{path.name}.svs", f"{path.name}{PACK_SUFFIX}"]
    if path.suffix.lower() in (".svs", *_TIFF):
        names.append(path.name)
    return tuple(str(path.with_name(name)) for name in names)


def _is_own(target: str | None, wished: tuple[str, ...], source: str, may_pack: bool) -> bool:
    """Return whether a slide has this target by its own name, as it is or made another."""
    if target is None or target in wished:
        return target is not None
    own = {apart(each, source) for each in wished}
    return target in own or (may_pack and target in {packed_target(one, source) for one in (*wished, *own)})


def _with_apart(targets: Iterable[str], source: str) -> frozenset[str]:
    """Return the targets that are not too long, and for each the one that no other source has."""
    found = tuple(targets)
    short = {target for target in found if not _is_long(PurePosixPath(target).name)}
    return frozenset(short | {apart(target, source) for target in found})


def safe_target(target: str) -> str:
    """Return a target whose folders and name a Windows share takes; the same one if it takes these.

    A name or folder that has to change gets a mark by its own name, so that no two become one.
    """
    return "/".join(map(_safe_name, PurePosixPath(target).parts))


def _safe_name(text: str) -> str:
    name = str(as_path(text)) if "\\" in text else text
    safe = _UNSAFE.sub("_", name)
    bare = safe.rstrip(". ")
    safe = safe if bare == safe else f"{bare}_"
    safe = f"_{safe}" if _RESERVED.match(safe) else safe
    return text if safe == name else apart(as_text(safe), text)


def _is_long(name: str) -> bool:
    return len(os.fsencode(as_path(name))) > _LONGEST_NAME


def apart(target: str, source: str) -> str:
    """Return a target that no other source has and that is not too long."""
    path = PurePosixPath(target)
    mark = f"~{hashlib.sha256(source.encode()).hexdigest()[:8]}{path.suffix}"
    stem = str(as_path(path.name.removesuffix(path.suffix)))
    while len(os.fsencode(stem + mark)) > _LONGEST_NAME:
        stem = stem[:-1]
    return str(path.with_name(as_text(stem) + mark))
