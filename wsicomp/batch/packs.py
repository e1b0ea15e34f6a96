"""Compares a packed slide with the files of its source: nothing that the packed slide says is believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wsicomp.config import ConversionConfig
from wsicomp.conversion.report import ConversionReport, describe_pack
from wsicomp.conversion.settings import conversion_digest
from wsicomp.errors import SlideReadError
from wsicomp.formats.packed.container import PackedSlide
from wsicomp.formats.packed.manifest import PackManifest
from wsicomp.formats.packed.pack import PackReport, slide_manifest
from wsicomp.formats.packed.unpack import verify_pack
from wsicomp.formats.slide_files import slide_parts
from wsicomp.progress import Stages


@dataclass(frozen=True)
class ComparedPack:
    """The result of comparing a packed slide with its source."""

    source_sha256: str
    """SHA-256 of the source as it is."""
    stated_sha256: str
    """SHA-256 of the source by the packed slide; "" where that cannot be read."""
    flaw: str
    """How the packed slide is not all of the source, in words; "" if it is."""
    software: str = ""
    """Name and version of the program that packed it, by the packed slide."""


def compare_pack(
    target: Path, source: Path, workers: int, stages: Stages, may_lack: bool = False
) -> ComparedPack:
    """Compare a packed slide with its source: names, folders, and the SHA-256 of each file, read and rebuilt.

    With `may_lack` files of the source may be missing, which an earlier run has begun to delete.

    Raises:
        SlideReadError: the source cannot be read.
    """
    with stages.stage("identify") as progress:
        here = slide_manifest(source, slide_parts(source), progress)
    try:
        with PackedSlide(target) as packed:
            there = packed.manifest
        flaw = _files_flaw(here, there, may_lack) or _rebuild_flaw(target, workers, stages)
    except SlideReadError as exc:
        return ComparedPack(here.source.sha256, "", exc.message)
    return ComparedPack(here.source.sha256, there.source.sha256, flaw, there.software)


def _files_flaw(here: PackManifest, there: PackManifest, may_lack: bool) -> str:
    """Return how the files of a slide and those of its packed slide differ, in words; "" if they do not."""
    found, packed = _digests(here), _digests(there)
    more, less = found.keys() - packed.keys(), packed.keys() - found.keys()
    other = {name for name in found.keys() - more if found[name] != packed[name]}
    if here.opens != there.opens:
        return f"it is opened by {there.opens}, expected {here.opens}"
    if other:
        return f"the slide's {min(other)} is another file"
    if more:
        return f"the slide has {min(more)}, which it has not"
    if less and not may_lack:
        return f"the slide lacks {min(less)}, which it has"
    return ""


def _digests(manifest: PackManifest) -> Mapping[str, str]:
    """Return the SHA-256 of each file by its name, and "" for each folder, whose name ends in a slash."""
    files = {file.name: file.sha256 for file in manifest.files}
    return files | {f"{folder.name}/": "" for folder in manifest.folders}


def _rebuild_flaw(target: Path, workers: int, stages: Stages) -> str:
    with stages.stage("verify") as progress:
        damages = verify_pack(target, workers, lambda _, done, total: progress(done, total))
    return f"{damages[0].file}: {damages[0].message}" if damages else ""


def describe_adopted(
    source: Path, target: Path, config: ConversionConfig, stages: Stages
) -> ConversionReport:
    """Return the report of a packed slide that was there already and was compared with its source.

    Raises:
        SlideReadError: it cannot be read.
    """
    with PackedSlide(target) as packed:
        manifest, jpeg_bytes = packed.manifest, packed.jpeg_bytes
    report = PackReport(
        str(source),
        str(target),
        len(manifest.files),
        manifest.total_bytes,
        target.stat().st_size,
        manifest.source.sha256,
        jpeg_bytes,
        stages.elapsed_s,
    )
    return describe_pack(report, conversion_digest(manifest.source.sha256, config))
