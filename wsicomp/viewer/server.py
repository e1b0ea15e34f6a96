"""The viewer's HTTP server: it answers this machine's browser, and nobody else.

Every address begins with a random token. A request whose Host is not the server's own is refused, so that no
foreign page reaches it under another name. Nothing is written, and no answer names a path.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import secrets
import select
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import psutil

from wsicomp.errors import ConfigError
from wsicomp.files.inputs import reason
from wsicomp.viewer.exchange import JSON, RefusedRequestError, Request, Response, json_response
from wsicomp.viewer.routes import answer
from wsicomp.viewer.session import Session

_log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
"""The address of this machine that no other machine reaches."""
MOST_BODY_BYTES = 1 << 20
"""The most bytes that a request may send."""
_MOST_CONNECTIONS = 128
_MOST_HEAD_BYTES = 1 << 15
_IDLE_S = 20.0
_GRACE_S = 1.0
"""How long a connection may take to send a request before another takes its place."""
_BACKLOG = 1024
_HTTP_PORT = 80
_LINE_ENDS = (b"\r\n", b"\n")
_MOST_QUERY = 20
_MOST_DIGITS = 9
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors "
)
_NOTEBOOKS = "http://localhost:* http://127.0.0.1:* https://localhost:* https://127.0.0.1:*"
_HEADERS = (
    "X-Content-Type-Options: nosniff",
    "Referrer-Policy: no-referrer",
    "Cross-Origin-Resource-Policy: same-origin",
)


class ViewerServer(ThreadingHTTPServer):
    """A server of one session, until it is closed.

    Args:
        session: The slides to show.
        host: The address of this machine to listen on.
        port: The port; 0 for any that is free.
        in_notebook: Whether pages of this machine, such as a notebook, may show it in a frame.

    Raises:
        ConfigError: it cannot listen there.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = _BACKLOG
    allow_reuse_address = True

    def __init__(
        self, session: Session, host: str = LOOPBACK, port: int = 0, in_notebook: bool = False
    ) -> None:
        self.session = session
        self.token = secrets.token_urlsafe(16)
        self.policy = _POLICY + (_NOTEBOOKS if in_notebook else "'none'")
        self._connections = _Connections()
        try:
            self.address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            super().__init__((host, port), _Handler)
        except OSError as exc:
            message = f"it cannot listen on {host}, port {port} ({reason(exc)}); choose others"
            raise ConfigError(message) from exc
        self.hosts = frozenset(_host_names(host, self.server_port))
        named = socket.gethostname() if ipaddress_of(host).is_unspecified else host
        self.address = f"http://{_bracketed(named)}:{self.server_port}/{self.token}/"

    def server_bind(self) -> None:
        """Bind the socket without asking a name server for this machine's name."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.socket.getsockname()[:2]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection in a thread of its own; where there are too many, end an idle one or wait."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown(self) -> None:
        """Take no more connections, and end `serve_forever`."""
        self._connections.close()
        super().shutdown()

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        self._connections.remove(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Log an error without what was asked for: a browser that goes away is no fault."""
        _log.debug("a request ended early", exc_info=True)

    def answering(self, connection: Any) -> AbstractContextManager[None]:
        """Note for a block that a connection is answered, and so not idle."""
        return self._connections.answering(connection)


class _Connections:
    """The connections that are open. The one that has been idle for longest makes room for a new one.

    Where all are answered or have only just come, a new one waits: no request is dropped.
    """

    def __init__(self) -> None:
        self._idle: dict[Any, float] = {}  # since when, the oldest first
        self._answered: set[Any] = set()
        self._changed = threading.Condition()
        self._is_closed = False

    def add(self, connection: Any) -> None:
        with self._changed:
            while not self._is_closed and len(self._idle) + len(self._answered) >= _MOST_CONNECTIONS:
                self._changed.wait(self._make_room())
            if self._is_closed:
                raise ConnectionAbortedError("the server takes no more connections")
            self._idle[connection] = time.monotonic()

    def close(self) -> None:
        """Take no more connections: who waits for room is refused."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _make_room(self) -> float | None:
        """End the connection that has been idle for longest; else return how long to wait for that."""
        if not self._idle:
            return None
        oldest, since = next(iter(self._idle.items()))
        left = since + _GRACE_S - time.monotonic()
        if left > 0:
            return left
        del self._idle[oldest]
        _ended(oldest)
        return 0

    @contextmanager
    def answering(self, connection: Any) -> Iterator[None]:
        with self._changed:
            is_open = connection in self._idle
            if is_open:
                del self._idle[connection]
                self._answered.add(connection)
        try:
            yield
        finally:
            with self._changed:
                if is_open:
                    self._answered.discard(connection)
                    self._idle[connection] = time.monotonic()
                    self._changed.notify()

    def remove(self, connection: Any) -> None:
        with self._changed:
            self._idle.pop(connection, None)
            self._changed.notify()


def _ended(connection: Any) -> None:
    """End a connection that another thread waits for; that thread then closes it."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _host_names(host: str, port: int) -> Iterable[str]:
    """Yield what a browser of this machine, or of another that may reach it, calls the server."""
    names = {host, LOOPBACK, "localhost", "::1"}
    if not ipaddress_of(host).is_loopback:
        names.add(socket.gethostname())
        own = (each.address for some in psutil.net_if_addrs().values() for each in some)
        names.update(address for address in own if ":" in address or "." in address)
    ends = (f":{port}", "") if port == _HTTP_PORT else (f":{port}",)  # which browsers leave out
    return (f"{_bracketed(name)}{end}".lower() for name in names for end in ends)


def ipaddress_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address that a host name stands for on this machine.

    Raises:
        ConfigError: it stands for none.
    """
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0][4][0]
        return ipaddress.ip_address(str(found).partition("%")[0])
    except (OSError, ValueError) as exc:
        raise ConfigError(f"no address of this machine: {host}; give one, such as {LOOPBACK}") from exc


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class _Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    server: ViewerServer
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_S
    disable_nagle_algorithm = True
    raw_requestline: bytes
    _fields: Mapping[str, str] = MappingProxyType({})

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def parse_request(self) -> bool:
        """Read the head of a request: its fields by their names in lower case.

        The standard library reads them as those of a mail, which takes as long as all the rest of an answer.
        """
        self.command, self.close_connection = "", True
        words = self.raw_requestline.decode("latin-1").split()
        if len(words) != 3 or words[2] not in ("HTTP/1.0", "HTTP/1.1"):
            self.send_error(HTTPStatus.BAD_REQUEST)
            return False
        left = _MOST_HEAD_BYTES - len(self.raw_requestline)
        fields: dict[str, str] = {}
        while (line := self.rfile.readline(max(0, left) + 1)) not in _LINE_ENDS:
            left -= len(line)
            name, colon, value = line.decode("latin-1").partition(":")
            name = name.lower()
            if left < 0 or not line.endswith(b"\n"):
                self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
                return False
            if not colon or name != name.strip() or name in fields:
                self.send_error(HTTPStatus.BAD_REQUEST)
                return False
            fields[name] = value.strip()
        self.command, self.path, self._fields = words[0], words[1], fields
        self.close_connection = words[2] == "HTTP/1.0" or fields.get("connection", "").lower() == "close"
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Answer a request that cannot be read, without a page that repeats it."""
        self.close_connection = True
        status = HTTPStatus(code)
        self._send(json_response({"error": status.phrase.lower()}, status))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print nothing: a browser lets connections time out all the time."""

    def _answer(self) -> None:
        try:
            request = self._checked()
        except RefusedRequestError as exc:
            self.close_connection = True
            self._send(json_response({"error": exc.message}, exc.status))
            return
        with self.server.answering(self.connection):
            response = self._made(request)
        self._send(response)

    def _made(self, request: Request) -> Response:
        try:
            return answer(self.server.session, "GET" if self.command == "HEAD" else self.command, request)
        except Exception as exc:
            # The server outlives a fault of one answer. What went wrong can name a file: for -v alone.
            _log.warning("the viewer could not answer a request (%s)", type(exc).__name__)
            _log.debug("that request", exc_info=True)
            return json_response({"error": "the viewer failed here"}, HTTPStatus.INTERNAL_SERVER_ERROR)

    def _checked(self) -> Request:
        """Return the request, if it is one of our own page.

        Raises:
            RefusedRequestError: it is not.
        """
        if self._fields.get("host", "").lower() not in self.server.hosts:
            raise RefusedRequestError(HTTPStatus.MISDIRECTED_REQUEST, "this server has another name")
        try:
            parts = urlsplit(self.path)
        except ValueError as exc:
            raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "an address that cannot be read") from exc
        token, _, rest = parts.path.lstrip("/").partition("/")
        if not hmac.compare_digest(token.encode(), self.server.token.encode()):
            message = "open the address that wsicomp view printed: it has a token"
            raise RefusedRequestError(HTTPStatus.FORBIDDEN, message)
        try:
            query = dict(parse_qsl(parts.query, max_num_fields=_MOST_QUERY, errors="strict"))
            words = tuple(unquote(rest, errors="strict").split("/"))
        except ValueError as exc:
            raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "an address that cannot be read") from exc
        return Request(words, query, self._body(), self._is_waited_for)

    def _is_waited_for(self) -> bool:
        """Return whether the other side has not ended the connection."""
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        try:
            return not poll.poll(0) or self.connection.recv(1, socket.MSG_PEEK) != b""
        except OSError:
            return False

    def _body(self) -> bytes:
        """Return what a POST sends, if our own page does.

        Raises:
            RefusedRequestError: it has no stated length, too many bytes, another type, or another origin.
        """
        fields, is_post = self._fields, self.command == "POST"
        if "transfer-encoding" in fields or (is_post and "content-length" not in fields):
            raise RefusedRequestError(HTTPStatus.LENGTH_REQUIRED, "expected a body of stated length")
        stated, most = fields.get("content-length", "0"), MOST_BODY_BYTES if is_post else 0
        if not (
            stated.isascii() and stated.isdigit() and len(stated) <= _MOST_DIGITS and int(stated) <= most
        ):
            message = f"expected at most {most} bytes"
            raise RefusedRequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
        if not is_post:
            return b""
        if fields.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            raise RefusedRequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"expected {JSON}")
        own = f"http://{fields['host'].lower()}"
        is_own = fields.get("sec-fetch-site", "same-origin") == "same-origin"
        if not is_own or fields.get("origin", own).lower() != own:
            raise RefusedRequestError(HTTPStatus.FORBIDDEN, "asked by another page")
        return self.rfile.read(int(stated))

    def _send(self, response: Response) -> None:
        lasting = "private, max-age=86400, immutable" if response.is_lasting else "no-store"
        lines = [
            f"HTTP/1.1 {response.status.value} {response.status.phrase}",
            f"Content-Type: {response.media_type}",
            f"Content-Length: {len(response.data)}",
            f"Cache-Control: {lasting}",
            *_HEADERS,
            *(f"{name}: {value}" for name, value in response.headers.items()),
        ]
        if response.media_type.startswith("text/html") and "Content-Security-Policy" not in response.headers:
            lines.append(f"Content-Security-Policy: {self.server.policy}")
        if self.close_connection:
            lines.append("Connection: close")
        head = "\r\n".join((*lines, "", "")).encode("latin-1")
        self.wfile.write(head if self.command == "HEAD" else head + response.data)
