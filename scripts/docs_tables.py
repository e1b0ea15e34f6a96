"""Fills the docs' tables from the code: what stands between `<!-- table: NAME -->` and `<!-- end -->`.

scripts/docs_tables.py           # say which pages are stale; exit 1 if any
scripts/docs_tables.py --write   # write them anew
"""

from __future__ import annotations

import argparse
import html
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import wsicomp
from wsicomp import errors
from wsicomp.batch.entry import Entry
from wsicomp.cli.commands import Command, all_commands
from wsicomp.codecs.base import CodecInfo, Compression, Program
from wsicomp.codecs.registry import codecs, has_transcoder
from wsicomp.config import (
    CodecConfig,
    GlassConfig,
    OutputConfig,
    PromptConfig,
    RegionConfig,
    RunConfig,
    TissueConfig,
    preset_names,
)
from wsicomp.files.shipped import shipped_folder
from wsicomp.options import Option, options_of
from wsicomp.verification.problems import CODES

sys.path.insert(0, str(Path(__file__).parent))


ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "docs/**/*.md")
_TABLE = re.compile(r"(<!-- table: ([a-z-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_PARTS = {
    "Tissue: how it is stored": CodecConfig,
    "Glass: what becomes of it": GlassConfig,
    "Tissue: how it is found": TissueConfig,
    "Regions that keep their quality": RegionConfig,
    "A region that is pointed at": PromptConfig,
    "The file that is written": OutputConfig,
    "The run": RunConfig,
}
_CODE = "`"
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")


def filled(text: str) -> str:
    """Return a page with its tables as the code has them now."""
    return _TABLE.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]().strip()}\n\n{found[4]}", text)


def stale_pages() -> dict[Path, str]:
    """Return the pages whose tables are not what the code says, and what each should be."""
    pages = sorted(path for pattern in PAGES for path in ROOT.glob(pattern))
    wanted = {path: filled(path.read_text(encoding="utf-8")) for path in pages}
    return {path: text for path, text in wanted.items() if text != path.read_text(encoding="utf-8")}


def _markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _plain(text: str) -> str:
    """Return help text as Markdown that shows it as it is; options and what stands in backquotes are code."""
    parts = text.split(_CODE)
    parts[::2] = [_OPTION.sub(r"`\g<0>`", part) for part in parts[::2]]
    parts = _CODE.join(parts).split(_CODE)
    parts[::2] = [re.sub(r"([*_#\[\]])", r"\\\1", html.escape(part, quote=False)) for part in parts[::2]]
    return _CODE.join(parts)


def _values(each: Option) -> str:
    if each.choices:
        return ", ".join(f"`{choice}`" for choice in each.choices)
    if each.least is not None and each.most is not None:
        return f"{each.least:g} to {each.most:.9g}"
    return {bool: "yes or no", Path: "a file", str: "text"}.get(each.kind, "a number")


def _default(each: Option) -> str:
    if each.kind is bool:
        return "yes" if each.default else "no"
    return "-" if each.default is None else f"`{each.default}`"


def _flag(each: Option) -> str:
    return f"`--no-{each.name}`" if each.kind is bool and each.default else f"`{each.flag}`"


def _option_rows(options: Iterable[Option]) -> str:
    return _markdown(
        ("command line", "preset and Python", "values", "default", "meaning"),
        (
            (_flag(each), f"`{each.name}`", _values(each), _default(each), _plain(each.help))
            for each in options
        ),
    )


def _options() -> str:
    return "\n\n".join(
        f"## {title}\n\n{_option_rows(options_of(part).values())}" for title, part in _PARTS.items()
    )


def _codec_options() -> str:
    return "\n\n".join(_codec_option_parts())


def _codec_option_parts() -> Iterator[str]:
    named: dict[tuple[Option, ...], list[str]] = {}
    for info in codecs().values():
        if info.options:
            named.setdefault(info.options, []).append(info.name)
    for options, names in named.items():
        yield f"### {', '.join(names)}\n\n{_option_rows(options)}"


def _presets() -> str:
    folder = shipped_folder("configs") / "presets"
    return "\n\n".join(
        f"### {name}\n\n```toml\n{(folder / f'{name}.toml').read_text(encoding='utf-8').strip()}\n```"
        for name in preset_names()
    )


def _codecs() -> str:
    headings = ("codec", "other names", "TIFF compression", "repacks without loss", "needs")
    return _markdown(headings, (_codec_row(info) for info in codecs().values()))


def _codec_row(info: CodecInfo) -> tuple[str, ...]:
    return (
        f"`{info.name}`",
        ", ".join(f"`{alias}`" for alias in info.aliases) or "-",
        ", ".join(f"{each.number} ({_label(each)})" for each in info.compressions),
        "yes" if has_transcoder(info.name) else "no",
        f"`pip install 'wsicomp[{info.extra}]'`" if info.extra else "-",
    )


def _label(each: Compression) -> str:
    return f"{each.label}, {each.detail}" if each.detail else each.label


def _codec_readers() -> str:
    found = {each.number: each for info in codecs().values() for each in info.compressions}
    rows = (
        (f"{number} ({_label(each)})", *("yes" if program in each.readers else "no" for program in Program))
        for number, each in sorted(found.items())
    )
    return _markdown(("TIFF compression", *(program.value for program in Program)), rows)


def _commands() -> str:
    return "\n\n".join(_command(each) for each in all_commands())


def _command(each: Command) -> str:
    groups = (
        f"**{title}**\n\n{_markdown(('option', 'meaning'), _option_meanings(each, options))}"
        for title, options in each.groups.items()
    )
    epilog = f"```text\n{each.epilog.strip()}\n```" if each.epilog else ""
    parts = (
        f"## wsicomp {each.name}",
        f"```text\n{each.usage}\n```",
        _plain(each.description),
        *groups,
        epilog,
    )
    return "\n\n".join(filter(None, parts))


def _option_meanings(command: Command, options: Iterable[Option]) -> Iterator[tuple[str, str]]:
    for each in options:
        yield f"`{command.spelled(each)}`", _plain(command.meaning(each))


def _command_list() -> str:
    rows = (
        (f"[`wsicomp {each.name}`](#wsicomp-{each.name.replace(' ', '-')})", _plain(each.summary))
        for each in all_commands()
    )
    return _markdown(("command", "what it does"), rows)


def _problems() -> str:
    return _markdown(("code", "meaning"), ((f"`{code}`", _plain(text)) for code, text in CODES.items()))


def _errors() -> str:
    tree = inspect.getdoc(errors) or ""
    lines = [line for line in tree.splitlines() if re.match(r"\s+(WsicompError|[│├└])", line)]
    return "```text\n" + inspect.cleandoc("\n".join(lines)) + "\n```"


def _ledger() -> str:
    rows = ((f"`{each.name}`", str(each.type).removesuffix("State") or "text") for each in fields(Entry))
    return _markdown(("column", "type"), rows)


def _python() -> str:
    found = {name: getattr(wsicomp, name) for name in wsicomp.__all__ if not name.startswith("_")}
    failures = {name for name, each in found.items() if _is(each, errors.WsicompError)}
    functions = {name for name, each in found.items() if inspect.isfunction(each)}
    parts = {
        "Functions": [name for name in found if name in functions],
        "Classes": [name for name in found if name not in functions | failures],
        "Errors": [name for name in found if name in failures],
    }
    return "\n\n".join(
        "\n\n".join([f"## {title}", *(f"::: {_home(found[name], name)}" for name in names)])
        for title, names in parts.items()
    )


def _is(found: object, root: type) -> bool:
    return inspect.isclass(found) and issubclass(found, root)


def _home(found: object, name: str) -> str:
    """Return where a public name is defined, which is where its docstring is read."""
    module = getattr(found, "__module__", "wsicomp")
    return f"{module}.{name}" if hasattr(importlib.import_module(module), name) else f"wsicomp.{name}"


TABLES: dict[str, Callable[[], str]] = {
    "codec-options": _codec_options,
    "codec-readers": _codec_readers,
    "codecs": _codecs,
    "command-list": _command_list,
    "commands": _commands,
    "errors": _errors,
    "ledger": _ledger,
    "options": _options,
    "presets": _presets,
    "problems": _problems,
    "python": _python,
}


def main() -> int:
    """Say which pages are stale, or write them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write stale pages anew")
    is_to_write = parser.parse_args().write
    found = stale_pages()
    for path, text in found.items():
        if is_to_write:
            path.write_text(text, encoding="utf-8")
        print(f"{'written' if is_to_write else 'stale'}: {path.relative_to(ROOT)}")
    if found and not is_to_write:
        print("docs: tables differ from the code; run scripts/docs --update", file=sys.stderr)
    return int(bool(found) and not is_to_write)


if __name__ == "__main__":
    sys.exit(main())
