"""`wsicomp codecs`: list what can stand behind --codec."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from wsicomp.cli.commands import Command
from wsicomp.cli.text import say, write_json
from wsicomp.codecs.base import CodecInfo
from wsicomp.codecs.registry import codecs, has_transcoder
from wsicomp.options import option

_EPILOG = """\
examples:
  wsicomp convert slide.svs small.svs --codec jpeg --lossless
      same pixels, smaller
  wsicomp compare slide.svs --out look
      see what each codec would save and change
"""
_NO_CODECS = {
    "auto": "copy where the source's tiles can be copied, else jpeg",
    "copy": "the source's own tiles, byte for byte",
}
"""What the command line takes for a codec and is none."""


@dataclass(frozen=True, kw_only=True)
class CodecsOptions:
    """Arguments of `wsicomp codecs`."""

    json: bool = option(False, "print JSON")


def run_codecs(options: CodecsOptions) -> int:
    """List the codecs: how each stores tissue, and the options that it takes."""
    if options.json:
        write_json([_described(info) for info in codecs().values()], None)
        return 0
    rows = {**_NO_CODECS, **dict(_rows())}
    width = max(map(len, rows))
    say(*(f"{name:<{width}}  {text}" for name, text in rows.items()))
    return 0


def _rows() -> Iterator[tuple[str, str]]:
    for info in codecs().values():
        facts = _described(info)
        parts = [
            " or ".join(facts["stored_as"]),
            f"by {', '.join(f'`{name}`' for name in facts['options'])}" if facts["options"] else "",
            "repacks without loss by `lossless`" if facts["repacks"] else "",
            f"needs {facts['needs']}" if facts["needs"] else "",
        ]
        yield info.name, "; ".join(filter(None, parts))
        for alias, implied in info.aliases.items():
            yield alias, f"{info.name} with {', '.join(f'{name} {value}' for name, value in implied.items())}"


def _described(info: CodecInfo) -> dict[str, Any]:
    return {
        "codec": info.name,
        "other_names": list(info.aliases),
        "stored_as": list(dict.fromkeys(each.label for each in info.compressions)),
        "repacks": has_transcoder(info.name),
        "options": [each.name for each in info.options],
        "needs": f"pip install 'wsicomp[{info.extra}]'" if info.extra else None,
    }


COMMANDS = (Command("codecs", (CodecsOptions,), run_codecs, epilog=_EPILOG),)
