"""`wsicomp info`: print what a slide is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsicomp.cli.classes import class_recipes, recipes_line
from wsicomp.cli.commands import Command
from wsicomp.cli.options import conversion_option
from wsicomp.cli.packed_info import PACKED, describe_packed, packed_lines
from wsicomp.cli.text import say, write_json
from wsicomp.codecs.registry import compression_label
from wsicomp.concurrency.threads import available_cores
from wsicomp.config import ConversionConfig
from wsicomp.errors import WsicompError
from wsicomp.formats.opening import open_reader
from wsicomp.formats.packed.container import is_pack
from wsicomp.options import argument, option
from wsicomp.plan.level_plan import GUARD_OPTIONS
from wsicomp.plan.provenance import Provenance
from wsicomp.slide import NEURAL, SlideInfo
from wsicomp.text.figures import as_bytes
from wsicomp.verification.reader_agreement import check_reading, disagreement_notes, refusal_of_openslide


@dataclass(frozen=True, kw_only=True)
class InfoOptions:
    """Arguments of `wsicomp info`."""

    files: tuple[Path, ...] = argument("the slide, or several", metavar="FILE")
    json: bool = option(False, "print JSON; of several slides a list")


def run_info(options: InfoOptions, config: ConversionConfig) -> int:
    """Print levels, tiles, scale and associated images of a slide, and how a conversion was made.

    No field is printed that could name a patient. Of several slides, one that cannot be read is one line; the
    others go on, and the exit code is 1.
    """
    if len(options.files) > 1:
        return _describe_many(options, config.output.z)
    (file,) = options.files
    values = _described(file, config.output.z)
    if options.json:
        write_json(values, None)
    else:
        say(*_lines(file, values))
    return 0


def _describe_many(options: InfoOptions, z: int | None) -> int:
    every: list[dict[str, Any]] = []
    for file in options.files:
        try:
            values = _described(file, z)
        except WsicompError as exc:
            values = {"path": str(file), "error": exc.message}
            say(f"wsicomp: {exc}", file=sys.stderr)
        every.append(values)
        if not options.json and "error" not in values:
            say(*_lines(file, values))
    if options.json:
        write_json(every, None)
    return 1 if any("error" in values for values in every) else 0


def _described(file: Path, z: int | None) -> dict[str, Any]:
    """Return what a slide is and how a conversion was made, as JSON values."""
    if is_pack(file):
        return describe_packed(file)
    with closing(open_reader(file, z, any_plane=True)) as slide:
        values = describe(slide.info)
        values["seen_otherwise"] = disagreement_notes(check_reading(slide, available_cores()))
        values["remarks"] += refusal_of_openslide(slide)
        if slide.provenance is not None:
            values["conversion"] = _describe_conversion(slide.provenance)
    return values


def _lines(file: Path, values: dict[str, Any]) -> Iterator[str]:
    """Yield lines that describe the slide for a person."""
    if values["vendor"] == PACKED:
        yield from packed_lines(file, values)
        return
    yield f"{file}: {values['vendor']}, {as_bytes(values['bytes'])}"
    mpp = values["mpp"]
    yield f"  um per px: {'not stated' if mpp is None else f'{mpp[0]:.4g} x {mpp[1]:.4g}'}"
    yield f"  objective power: {values['objective_power'] or 'not stated'}"
    yield f"  ICC profile: {as_bytes(values['icc_profile_bytes']) if values['icc_profile_bytes'] else 'none'}"
    for number, level in enumerate(values["levels"]):
        stored = f", {level['tile_coding']}" if level["tile_coding"] else ""
        size = f"{level['width']} x {level['height']} px"
        tile = f"tiles of {level['tile_width']} x {level['tile_height']}"
        yield f"  level {number}: {size}, downsample {level['downsample']:.4g}, {tile}{stored}"
    for name, image in values["associated_images"].items():
        yield f"  {name}: {image['width']} x {image['height']} px, {as_bytes(image['bytes'])}"
    for plane in values["planes"]:
        where = "" if plane["offset"] is None else f", OffsetZ {plane['offset']}"
        yield f"  focal plane z {plane['z']}: {plane['width']} x {plane['height']} px{where}"
    for remark in values["remarks"]:
        yield f"  note: {remark}"
    if values["omitted"]:
        yield f"  note: neither levels nor associated images: {', '.join(values['omitted'])}"
    for line in values["seen_otherwise"]:
        yield f"  take care: {line}"
    for line in _conversion_lines(values.get("conversion")):
        yield f"  {line}"


def _describe_conversion(provenance: Provenance) -> dict[str, Any]:
    """Return how the file was made, without any name that its source had."""
    plan = provenance.plan
    guarded = (
        recipe for level in plan.levels for recipe in level.recipes if recipe.encoding.compression == NEURAL
    )
    return {
        "software": plan.software,
        "codec": plan.codec,
        "lossless": plan.lossless,
        "glass": plan.glass_fill,
        "stored_as": [compression_label(level.encoding.compression) for level in plan.levels],
        "source_bytes": plan.source.bytes,
        "source_sha256": plan.source.sha256,
        "origin_sha256": plan.source.origin_sha256,
        "restorable": provenance.restoration is not None,
        "from_level": plan.from_level,
        "model": None if plan.model is None else dict(plan.model),
        "guard": next((dict(recipe.options) for recipe in guarded), None),
        "regions": class_recipes(plan),
    }


def _conversion_lines(values: dict[str, Any] | None) -> list[str]:
    if values is None:
        return []
    loss = " without loss" if values["lossless"] else ""
    made = f"{values['software']}, codec {values['codec']}{loss}, glass {values['glass']}"
    stored = ", ".join(dict.fromkeys(values["stored_as"]))
    source = f"{as_bytes(values['source_bytes'])}, SHA-256 {values['source_sha256']}"
    if values["origin_sha256"]:
        source += f", made from SHA-256 {values['origin_sha256']}"
    restorable = "yes, by `wsicomp restore`" if values["restorable"] else "no"
    lines = [f"made by {made}; stored as {stored}", f"source: {source}", f"restorable: {restorable}"]
    if values["regions"]:
        lines.append(recipes_line(values["regions"]))
    if values["from_level"]:
        lines.append(f"begins at level {values['from_level']} of what was scanned: finer levels are gone")
    if values["model"] is not None:
        lines += _model_lines(values["model"], values["guard"] or {})
    return lines


def _model_lines(model: dict[str, Any], guard: dict[str, Any]) -> list[str]:
    where = "in the file" if model["embedded"] else "not in the file"
    limits = ", ".join(f"{name} {guard[name]}" for name in ("quality", *GUARD_OPTIONS) if name in guard)
    return [f"model: {model['name']}, SHA-256 {model['sha256']}, {where}", f"neural tiles: {limits}"]


def describe(info: SlideInfo) -> dict[str, Any]:
    """Return the slide as JSON values; sizes in px and bytes, mpp in um per px."""
    return {
        "path": str(info.path),
        "bytes": info.path.stat().st_size,
        "vendor": info.vendor,
        "mpp": None if info.mpp is None else [info.mpp.x, info.mpp.y],
        "objective_power": info.objective_power,
        "icc_profile_bytes": len(info.icc_profile or b""),
        "levels": [
            {
                "width": level.size.width,
                "height": level.size.height,
                "downsample": level.downsample,
                "tile_width": level.tile.width,
                "tile_height": level.tile.height,
                "tile_coding": (
                    compression_label(level.encoding.compression) if level.encoding else level.form or None
                ),
                "encoded_bytes": level.encoded_bytes,
            }
            for level in info.levels
        ],
        "associated_images": {
            name: {
                "width": image.size.width,
                "height": image.size.height,
                "bytes": sum(len(strip) for strip in image.strips),
            }
            for name, image in info.associated_images.items()
        },
        "planes": [
            {"z": plane.z, "width": plane.size.width, "height": plane.size.height, "offset": plane.offset}
            for plane in info.planes
        ],
        "omitted": list(info.omitted),
        "remarks": list(info.remarks),
    }


COMMANDS = (
    Command(
        "info",
        (InfoOptions,),
        run_info,
        conversion=(
            conversion_option(
                "z", "take this focal plane of a slide with several, counted from 0", group="options"
            ),
        ),
    ),
)
