"""Make text from files and names harmless: one function for each kind of place that displays it.

A slide's description, a model's card or a file's name may come from an attacker. A terminal obeys escape
sequences, a page its tags, Markdown its marks, and a spreadsheet computes what looks like a formula.
"""

from __future__ import annotations

import os
import re
from typing import Any

_MARKS = re.compile(r"[\\`*_{}\[\]<>#~|!&$]")
_WIDE = "\uff1d\uff0b\uff0d\uff20"  # the full-width forms of = + - @
_MOST_QUOTED = 100
_FORMULA = tuple(f"=+-@\t\r\n{_WIDE}")
"""Beginnings of a cell that a spreadsheet computes, or skips before it looks for a formula."""


def printable(text: str | os.PathLike[str]) -> str:
    r"""Return a text or a file's name on one line, unprintable characters as `\n` or `\xNN`.

    >>> printable("red\x1b[31m\n")
    'red\\x1b[31m\\n'
    """
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in os.fspath(text))


def _escaped(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":  # a byte of a name that is no UTF-8
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode()


def printable_lines(text: str) -> str:
    """Return a text of several lines, each made printable as by `printable`."""
    return "\n".join(map(printable, text.split("\n")))


def quoted(value: object) -> str:
    """Return any value as Python writes it, cut after 100 characters, to be quoted in a message.

    >>> quoted("jpeg")
    "'jpeg'"
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, or lists in lists
        return f"a {type(value).__name__} too large to be shown"
    return text if len(text) <= _MOST_QUOTED else f"{text[:_MOST_QUOTED]}..."


def markdown_text(text: str) -> str:
    r"""Return a text escaped for one line of Markdown or a cell of its tables.

    >>> markdown_text("*a*|b")
    '\\*a\\*\\|b'
    """
    return _MARKS.sub(r"\\\g<0>", printable(text))


def spreadsheet_cell(value: Any) -> Any:
    """Return a value for a cell of a CSV file.

    A text that a spreadsheet would compute gets an apostrophe in front. Numbers stay numbers. Unprintable
    characters are escaped, line ends are not.

    >>> spreadsheet_cell("=1+1"), spreadsheet_cell(2)
    ("'=1+1", 2)
    """
    if not isinstance(value, str):
        return value
    is_formula = value.lstrip(" ").startswith(_FORMULA)
    return f"'{printable_lines(value)}" if is_formula else printable_lines(value)
