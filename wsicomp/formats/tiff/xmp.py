"""The XMP packet (TIFF tag 700) that carries wsicomp's provenance as JSON, with a digest.

XMP is where programs look for a picture's history, and every TIFF reader knows the tag: libtiff warns at each
opening of a file with a private one.
"""

from __future__ import annotations

import hashlib

from wsicomp.errors import SlideReadError

XMP_TAG = 700
"""TIFF tag of an XMP packet (Adobe XMP specification part 3)."""

MOST_PACKET_BYTES = 1 << 27
"""The most bytes of a packet, without its part for each tile."""

_HEAD = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:wsicomp="urn:wsicomp:2"><wsicomp:sha256>'
)
_MIDDLE = b"</wsicomp:sha256><wsicomp:provenance>"
_TAIL = b"</wsicomp:provenance></rdf:Description></rdf:RDF></x:xmpmeta>"
_BEGIN = b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>'
_END = b'<?xpacket end="w"?>'
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
_LEAD_BYTES = len(_HEAD) + 64 + len(_MIDDLE)
_OURS = b"urn:wsicomp:"


def wrap(text: str) -> bytes:
    """Return a packet around ASCII JSON; XML's special characters become JSON escapes."""
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    body = text.encode("ascii")
    return _BEGIN + _lead(body) + body + _TAIL + _END


def _lead(body: bytes) -> bytes:
    return _HEAD + hashlib.sha256(body).hexdigest().encode() + _MIDDLE


def unwrap(packet: object) -> str | None:
    """Return the JSON text of a packet that `wrap` made, None for another program's packet.

    Raises:
        SlideReadError: the packet is wsicomp's, but not as it was written.
    """
    if not isinstance(packet, bytes) or _OURS not in packet[: 2 * len(_HEAD)]:
        return None
    # Files of 0.5.0 and older have no wrapper around it.
    is_wrapped = packet.startswith(_BEGIN) and packet.endswith(_END)
    start, end = (len(_BEGIN), len(packet) - len(_END)) if is_wrapped else (0, len(packet))
    body = packet[start + _LEAD_BYTES : max(start + _LEAD_BYTES, end - len(_TAIL))]
    lead = _lead(body)
    if packet[start : start + len(lead)] != lead or packet[end - len(_TAIL) : end] != _TAIL:
        raise SlideReadError(
            "damaged provenance, or of another version of wsicomp; take the file from a copy",
            place="XMP packet",
        )
    return body.decode("ascii")
