"""A viewer of drawn slides in this process, and requests to it byte by byte."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from wsicomp.viewer.server import ViewerServer
from wsicomp.viewer.session import Session, ViewOptions

LIMIT_S = 30


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


@contextmanager
def serving(slide: Path, *converted: Path, **options: object) -> Iterator[ViewerServer]:
    """A server of these slides, in a thread of its own; `options` are those of `ViewOptions`."""
    with closing(Session(ViewOptions(**options))) as session:
        session.open(slide, converted)
        with serving_session(session) as server:
            yield server


@contextmanager
def serving_session(session: Session) -> Iterator[ViewerServer]:
    """A server of what a session shows, in a thread of its own."""
    with ViewerServer(session) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(
    server: ViewerServer, address: str, method: str = "GET", body: object = None, **headers: str
) -> Answer:
    """The answer to one request below the token; `headers` are added, with `_` for `-`."""
    return ask_raw(server, f"/{server.token}/{address}", method, body, **headers)


def ask_raw(
    server: ViewerServer, path: str, method: str = "GET", body: object = None, **headers: str
) -> Answer:
    """The answer to one request for a path as it stands, on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=LIMIT_S)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            named.setdefault("Content-Length", str(len(body)))
        for name, value in named.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def send(server: ViewerServer, data: bytes) -> bytes:
    """All that the server answers to some bytes, until it closes or the sender's side is closed."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=LIMIT_S) as connection:
        found = b""
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                found += part
        except OSError:  # it closed while it was still sent to
            pass
        return found
