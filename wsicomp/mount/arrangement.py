"""Which name each file of a folder is shown by, so that no two are equal and none is missing.

A file that holds no original keeps its name. An original takes the path that a ledger says, else the name
that its file says, else its file's own name, as `batch restore` does. Of two conversions of one original the
one that a ledger knows has its name, else the one that is called so itself, else the newer.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache

from wsicomp.batch.conversions import likely_names
from wsicomp.formats.packed.container import PACK_SUFFIX
from wsicomp.mount.file_facts import FileFacts, HeldFolder, HeldOriginal, HeldOriginals
from wsicomp.mount.ledger_names import LedgerName
from wsicomp.mount.shown import Shown, ShownFile, ShownFolder, joined_path
from wsicomp.text.paths import as_path, as_text

_LONGEST_NAME, _MOST_NAMES = 255, 200_000

Names = Mapping[str, LedgerName]
"""What a ledger says of originals, by the paths of their files in the archive."""
Claims = tuple[tuple[str, HeldOriginal], ...]
"""The paths that a file's originals are to have, in the folder that they stand in."""


def arranged(
    folder: str,
    files: Iterable[FileFacts],
    names: Names,
    folders: Mapping[str, Shown],
    given: Mapping[str, Shown],
) -> dict[str, Shown]:
    """Return what a folder shows, by name.

    `folder` is its path in the archive, `files` and `folders` are what lies in it, links among them, and
    `given` is what comes from files elsewhere. Originals that stood in another folder by the ledger are left
    out.
    """
    several = sorted(files, key=lambda facts: _rank(folder, facts, names))
    shown = dict(folders)
    shown |= {facts.path.name: ShownFile(facts) for facts in several if not facts.originals}
    _add_given(given, shown)
    for facts in several:
        target = joined_path(folder, facts.path.name)
        if facts.originals and ledger_folder(target, facts, names) in (None, folder):
            _add(target, facts, names, shown)
    return shown


def moved_originals(files: Mapping[str, tuple[FileFacts, int]], names: Names) -> dict[str, Shown]:
    """Return the originals of files that lie in another folder than these did, from the archive's root on.

    `files` are by their paths in the archive, each with the permission bits that its folders leave.
    """
    shown: dict[str, Shown] = {}
    for target, (facts, reach) in sorted(files.items()):
        folder = ledger_folder(target, facts, names)
        if folder is None or folder == target.rpartition("/")[0]:
            continue
        for claims in _claims(target, facts, names):
            placed = _unshared([(joined_path(folder, path), original) for path, original in claims], shown)
            if placed and _is_possible(placed, shown):
                folders = [(joined_path(folder, held.name), held) for held in facts.held.folders]
                _add_originals(facts, placed, folders, shown, reach)
                break
    return shown


def as_known(target: str, facts: FileFacts, names: Names) -> FileFacts:
    """Return a file with the original that a ledger says is in it, where the file itself does not say.

    A source that the batch left as it was is an original itself. Where its size is another by now, and where
    a conversion is damaged or another file, the original has its name and size, and reading it is an error:
    nothing else may stand under the name of an original.
    """
    known = names.get(target)
    if known is None or facts.originals:
        return facts
    if known.is_own:
        own = HeldOriginal(None, known.bytes, known.mtime_ns, known.sha256)
        return replace(facts, held=HeldOriginals((own,), is_itself=True))
    if not known.restorable or facts.path.suffix.lower() == PACK_SUFFIX:
        return facts
    if facts.held.is_older and known.source != target:
        return facts
    lost = HeldOriginal(None, known.bytes, None, known.sha256)
    return replace(facts, held=HeldOriginals((lost,)))


def ledger_folder(target: str, facts: FileFacts, names: Names) -> str | None:
    """Return the folder in which a ledger says that a file's originals stood; None if it does not say.

    The file at a ledger's path may be another by now.
    """
    known = names.get(target)
    if known is None or not facts.originals:
        return None
    stated = facts.originals[0].sha256
    is_other = len(facts.originals) == 1 and stated and known.sha256 and stated != known.sha256
    return None if is_other else known.source.rpartition("/")[0]


def is_own_name(name: str) -> bool:
    """Return whether a batch's own folder has this name, or a file that is half-written."""
    return name.startswith(".wsicomp") or name.endswith(".wsicomp.partial")


def _rank(folder: str, facts: FileFacts, names: Names) -> tuple[bool, bool, int, str]:
    name = facts.path.name
    by_ledger = ledger_folder(joined_path(folder, name), facts, names) is not None
    is_own = any(original.name == name for original in facts.originals)
    return not by_ledger, not is_own, -facts.status.st_mtime_ns, name


def _add(target: str, facts: FileFacts, names: Names, shown: dict[str, Shown]) -> None:
    """Add a file's originals to what its folder shows; the file itself where their names are all taken."""
    for claims in _claims(target, facts, names):
        own = _unshared(claims, shown)
        if own and _is_possible(own, shown):
            _add_originals(facts, own, [(held.name, held) for held in facts.held.folders], shown)
            return
    shown[_free(facts.path.name, shown)] = ShownFile(facts)


def _claims(target: str, facts: FileFacts, names: Names) -> Iterator[Claims]:
    """Yield the paths that a file's originals may have in their folder, the likeliest first."""
    if any(original.member is not None for original in facts.originals):
        yield tuple((original.name or "", original) for original in facts.originals)
        return
    (original,) = facts.originals
    if ledger_folder(target, facts, names) is not None:
        yield ((names[target].source.rpartition("/")[2], original),)
    for name in _names_of(facts.path.name, original.name):
        yield ((name, original),)


@lru_cache(_MOST_NAMES)
def _names_of(name: str, stated: str | None) -> tuple[str, ...]:
    """Return the names that the original of a file may have had; remembered, for it takes a millisecond."""
    return tuple(os.fspath(as_path(each)) for each in likely_names(as_text(name), stated))


def _unshared(claims: Iterable[tuple[str, HeldOriginal]], shown: Mapping[str, Shown]) -> Claims:
    """Return the claims to paths at which not the very bytes stand already: two slides may share files."""
    return tuple((path, original) for path, original in claims if not _is_shown(original, path, shown))


def _is_shown(original: HeldOriginal, path: str, shown: Mapping[str, Shown]) -> bool:
    first, _, rest = path.partition("/")
    there = shown.get(first)
    if rest:
        return isinstance(there, ShownFolder) and _is_shown(original, rest, there.given)
    if not isinstance(there, ShownFile) or there.original is None or original.sha256 == "":
        return False
    return there.original.sha256 == original.sha256


def _is_possible(claims: Claims, shown: Mapping[str, Shown]) -> bool:
    paths = {path for path, _ in claims}
    folders = {path[:at] for path in paths for at, letter in enumerate(path) if letter == "/"}
    is_apart = len(paths) == len(claims) and not paths & folders
    return is_apart and all(_is_sound(path) and _is_free(path, shown) for path in paths)


def _is_sound(path: str) -> bool:
    """Return whether a path leads to a file below its folder that is none of a batch's own."""
    return all(
        part not in ("", ".", "..")
        and "\0" not in part
        and not is_own_name(part)
        and len(os.fsencode(part)) <= _LONGEST_NAME
        for part in path.split("/")
    )


def _is_free(path: str, shown: Mapping[str, Shown]) -> bool:
    """Return whether nothing is shown at a path, and no file where it needs a folder."""
    first, _, rest = path.partition("/")
    there = shown.get(first)
    if there is None:
        return True
    return bool(rest) and isinstance(there, ShownFolder) and _is_free(rest, there.given)


def _add_originals(
    facts: FileFacts,
    claims: Claims,
    folders: Iterable[tuple[str, HeldFolder]],
    shown: dict[str, Shown],
    reach: int = 0o777,
) -> None:
    """Add originals at free paths, with the folders on the way to them, and the empty ones beside them."""
    below: dict[str, list[tuple[str, HeldOriginal]]] = {}
    inner: dict[str, list[tuple[str, HeldFolder]]] = {}
    held: dict[str, HeldFolder] = {}
    for path, original in claims:
        first, _, rest = path.partition("/")
        if rest:
            below.setdefault(first, []).append((rest, original))
        else:
            shown[first] = ShownFile(facts, original, reach)
    for path, folder in folders:
        first, _, rest = path.partition("/")
        if rest:
            inner.setdefault(first, []).append((rest, folder))
        elif _is_sound(first):
            held[first] = folder
    for name in {**below, **held}:
        there = shown.get(name)
        if there is None:
            there = ShownFolder(None, facts.status, {}, held.get(name))
        if isinstance(there, ShownFolder):
            given = dict(there.given)
            _add_originals(facts, tuple(below.get(name, ())), inner.get(name, ()), given, reach)
            shown[name] = replace(there, given=given, reach=there.reach & reach)


def _add_given(given: Mapping[str, Shown], shown: dict[str, Shown]) -> None:
    for name, each in given.items():
        there = shown.get(name)
        if isinstance(there, ShownFolder) and isinstance(each, ShownFolder):
            shown[name] = replace(there, given={**there.given, **each.given})  # with its own mode
        else:
            shown[_free(name, shown)] = each


def _free(name: str, taken: Mapping[str, Shown]) -> str:
    while name in taken:
        name += "~"
    return name
