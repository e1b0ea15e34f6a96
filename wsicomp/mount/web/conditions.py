"""What a request asks of a file: which of its bytes, and only if it is, or is not, what the asker knows.

Of libraries Werkzeug 3.1 was tried: 2 MB, a third of a second to import, and two ranges at once are an error
to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus

_MOST_RANGES = 100
"""A request for more ranges gets the whole file."""
_RANGE = re.compile(r"(\d{0,100})-(\d{0,100})", re.ASCII)
_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')


@dataclass(frozen=True)
class FileState:
    """What is known of a file's bytes without reading them."""

    total_bytes: int
    """Its size."""
    tag: str
    """Its entity tag, in quotes: another for other bytes."""
    changed_s: int
    """The time of its last change in whole seconds since 1970."""

    @property
    def changed(self) -> str:
        """The time of its last change, as HTTP writes it."""
        return formatdate(self.changed_s, usegmt=True)


@dataclass(frozen=True)
class ByteSpan:
    """A range of a file's bytes."""

    start: int
    """The first byte."""
    end: int
    """The one behind the last."""


def status_of(fields: Mapping[str, str], state: FileState) -> HTTPStatus:
    """Return OK, or why a request is not answered with bytes, by its conditions.

    `fields` are the request's, by names in lower case.

    Source: RFC 9110 section 13.2.2.
    """
    if "if-match" in fields:
        if not _matches(fields["if-match"], state.tag, is_strong=True):
            return HTTPStatus.PRECONDITION_FAILED
    elif (limit_s := _time(fields.get("if-unmodified-since"))) is not None and state.changed_s > limit_s:
        return HTTPStatus.PRECONDITION_FAILED
    if "if-none-match" in fields:
        if _matches(fields["if-none-match"], state.tag, is_strong=False):
            return HTTPStatus.NOT_MODIFIED
    elif (limit_s := _time(fields.get("if-modified-since"))) is not None and state.changed_s <= limit_s:
        return HTTPStatus.NOT_MODIFIED
    return HTTPStatus.OK


def asked_spans(fields: Mapping[str, str], state: FileState) -> tuple[ByteSpan, ...] | None:
    """Return the ranges that a request for a file asks for; None for all of it, () if it has none of them.

    Source: RFC 9110 sections 13.1.5 and 14.2.
    """
    unit, equals, text = fields.get("range", "").partition("=")
    if not equals or unit.strip().lower() != "bytes" or not _is_for(fields.get("if-range"), state):
        return None
    matches = [_RANGE.fullmatch(part.strip()) for part in text.split(",") if part.strip()]
    spans = []
    for match in matches:
        if match is None or match[0] == "-" or (match[1] and match[2] and int(match[2]) < int(match[1])):
            return None
        spans.append(_span(match[1], match[2], state.total_bytes))
    if not spans or len(spans) > _MOST_RANGES:
        return None
    found = tuple(span for span in spans if span.start < span.end)
    is_much = sum(span.end - span.start for span in found) > 2 * state.total_bytes
    return None if is_much else found


def _span(first: str, last: str, total: int) -> ByteSpan:
    if not first:
        return ByteSpan(max(0, total - int(last)), total)
    return ByteSpan(int(first), min(int(last) + 1, total) if last else total)


def _is_for(condition: str | None, state: FileState) -> bool:
    """Return whether the ranges are wanted of this file, by If-Range."""
    if condition is None:
        return True
    if '"' in condition:
        return condition.strip() == state.tag
    return _time(condition) == state.changed_s


def _matches(tags: str, own: str, is_strong: bool) -> bool:
    """Return whether a list of entity tags names a file's own."""
    if tags.strip() == "*":
        return True
    return any(f'"{tag}"' == own and not (weak and is_strong) for weak, tag in _TAG.findall(tags))


def _time(text: str | None) -> int | None:
    """Return a time in seconds since 1970; None where there is none, or none that can be read."""
    if text is None:
        return None
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())


def now_s() -> int:
    """Return the time now in whole seconds since 1970."""
    return int(datetime.now(UTC).timestamp())
