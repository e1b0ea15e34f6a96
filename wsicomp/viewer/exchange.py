"""What a browser asks of the viewer, and what it is answered."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

JSON = "application/json"
_MOST_DIGITS = 9


class RefusedRequestError(Exception):
    """A request that the viewer does not answer, with the HTTP status that says why.

    It never leaves the viewer, which answers by it.
    """

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Request:
    """A request for one thing of the viewer."""

    words: tuple[str, ...]
    """The parts of its address behind the token."""
    query: Mapping[str, str] = field(default_factory=dict)
    """The values behind the address's question mark."""
    body: bytes = b""
    """What a POST sends."""
    is_wanted: Callable[[], bool] = lambda: True
    """Returns whether the browser still waits for the answer."""

    def whole(self, place: int) -> int:
        """Return the whole number at a place of the address.

        Raises:
            RefusedRequestError: there is none, or it is no number from 0 to 999,999,999.
        """
        text = self.words[place] if place < len(self.words) else ""
        if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
            raise RefusedRequestError(HTTPStatus.NOT_FOUND, "no such address: expected a whole number in it")
        return int(text)

    def number(self, name: str) -> float:
        """Return a number of the query.

        Raises:
            RefusedRequestError: it is missing, or no finite number.
        """
        try:
            value = float(self.query[name])
        except (LookupError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise RefusedRequestError(HTTPStatus.BAD_REQUEST, f"{name}: expected a finite number")
        return value

    def check_wanted(self) -> None:
        """Return if the browser still waits; call it before work that takes long.

        Raises:
            RefusedRequestError: nobody waits any more.
        """
        if not self.is_wanted():
            raise RefusedRequestError(HTTPStatus.SERVICE_UNAVAILABLE, "nobody waits for it")

    def value(self) -> Mapping[str, object]:
        """Return the JSON object that was sent.

        Raises:
            RefusedRequestError: it is no JSON object.
        """
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "expected a JSON object")
        return found


@dataclass(frozen=True, slots=True)
class Response:
    """An answer."""

    data: bytes
    """The bytes of the body."""
    media_type: str = JSON
    """Its Content-Type."""
    status: HTTPStatus = HTTPStatus.OK
    """Its status."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further headers."""
    is_lasting: bool = False
    """Whether a browser may keep it: the same address always gives the same."""


def json_response(values: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Return an answer in JSON."""
    return Response(json.dumps(values, separators=(",", ":"), allow_nan=False).encode(), JSON, status)
