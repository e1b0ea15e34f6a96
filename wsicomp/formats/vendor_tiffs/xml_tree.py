"""XML of a stranger's file as a tree: a document type and entities are refused."""

from __future__ import annotations

from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

_MOST_BYTES = 1 << 26


def xml_tree(text: bytes) -> Element:
    """Return the root of an XML text; names keep their prefix, namespaces are not resolved.

    Raises:
        ValueError: it is no sound XML, too long, or has a document type.
    """
    if len(text) > _MOST_BYTES:
        raise ValueError(f"XML of {len(text)} bytes, expected at most {_MOST_BYTES}")
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(text.strip(b"\0 \t\r\n"), True)
        return builder.close()
    except (expat.ExpatError, AssertionError) as exc:
        raise ValueError(f"no sound XML ({exc})") from exc


def _refuse(*_: object) -> None:
    raise ValueError("XML with a document type")


def number_of(element: Element, name: str) -> float:
    """Return a finite number that an attribute states.

    Raises:
        ValueError: the attribute is missing, or no number.
    """
    value = float(element.get(name, "nothing"))
    if not abs(value) < float("inf"):
        raise ValueError(f"{name} is no number")
    return value


def whole_of(element: Element, name: str) -> int:
    """Return a whole number that an attribute states.

    Raises:
        ValueError: the attribute is missing, or no whole number.
    """
    return int(element.get(name, "nothing"))
