"""Text from files and names, made harmless for where it is shown: one function for each kind of place.

A slide's description, a model's card or a file's name may come from somebody who means harm. A terminal obeys
escape sequences, a page its tags, Markdown its marks, and a spreadsheet computes what looks like a formula.
"""

from __future__ import annotations

import os
import re
from typing import Any

_MARKS = re.compile(r"[\\`*_{}\[\]<>#~|!&$]")
_WIDE = "\uff1d\uff0b\uff0d\uff20"  # the full-width forms of = + - @
_MOST_QUOTED = 100
_FORMULA = tuple(f"=+-@\t\r\n{_WIDE}")
"""What a cell begins with that a spreadsheet computes, or that hides such a beginning."""


def printable(text: str | os.PathLike[str]) -> str:
    r"""A text, or a file's name, on one line that no terminal obeys: what is no print as `\n` or `\xNN`."""
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in os.fspath(text))


def _escaped(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":  # a byte of a name that is no UTF-8
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode()


def printable_lines(text: str) -> str:
    """The same for a text of several lines, which stay lines."""
    return "\n".join(map(printable, text.split("\n")))


def quoted(value: object) -> str:
    """A value of any kind for a message: as Python writes it, and not at length."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, or lists in lists
        return f"a {type(value).__name__} too large to be shown"
    return text if len(text) <= _MOST_QUOTED else f"{text[:_MOST_QUOTED]}..."


def markdown_text(text: str) -> str:
    """A text on one line of Markdown, also in a cell of a table: no mark of it means anything."""
    return _MARKS.sub(r"\\\g<0>", printable(text))


def spreadsheet_cell(value: Any) -> Any:
    """A cell of a CSV: a text that a spreadsheet would compute has an apostrophe in front.

    Numbers stay numbers; what is no print is escaped, but for the ends of lines.
    """
    if not isinstance(value, str):
        return value
    is_formula = value.lstrip(" ").startswith(_FORMULA)
    return f"'{printable_lines(value)}" if is_formula else printable_lines(value)
