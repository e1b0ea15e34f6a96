"""The XMP packet (TIFF tag 700) that carries wsicomp's provenance as JSON, with a digest of its own.

XMP is where programs look for a picture's history, and every TIFF reader knows the tag: libtiff warns at
each opening of a file with a private one.
"""

from __future__ import annotations

import hashlib

from wsicomp.errors import SlideReadError

XMP_TAG = 700
"""TIFF tag of an XMP packet (Adobe XMP specification part 3)."""

_HEAD = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:wsicomp="urn:wsicomp:2"><wsicomp:sha256>'
)
_MIDDLE = b"</wsicomp:sha256><wsicomp:provenance>"
_TAIL = b"</wsicomp:provenance></rdf:Description></rdf:RDF></x:xmpmeta>"
_BEGIN = b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>'
_END = b'<?xpacket end="w"?>'
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
_OURS = b"urn:wsicomp:"


def wrap(text: str) -> bytes:
    """A packet around ASCII JSON, in which the characters that XML minds are JSON escapes."""
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    body = text.encode("ascii")
    return _BEGIN + _bare(body) + _END


def _bare(body: bytes) -> bytes:
    """A packet without its wrapper, as files of 0.5.0 and older hold it."""
    return _HEAD + hashlib.sha256(body).hexdigest().encode() + _MIDDLE + body + _TAIL


def unwrap(packet: object) -> str | None:
    """The JSON text of a packet that `wrap` made, None for another program's.

    Raises:
        SlideReadError: it is ours, but no longer what was written.
    """
    if not isinstance(packet, bytes) or _OURS not in packet[: 2 * len(_HEAD)]:
        return None
    if packet.startswith(_BEGIN) and packet.endswith(_END):
        packet = packet[len(_BEGIN) : -len(_END)]
    body = packet[len(_HEAD) + 64 + len(_MIDDLE) : -len(_TAIL)]
    if packet != _bare(body):
        raise SlideReadError("damaged provenance, or of another version of wsicomp", place="XMP packet")
    return body.decode("ascii")
