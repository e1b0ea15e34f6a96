"""The XMP packet (TIFF tag 700) that carries wsicomp's provenance as JSON.

XMP is where programs look for a picture's history, and every TIFF reader knows the tag: libtiff warns at
each opening of a file with a private one.
"""

from __future__ import annotations

XMP_TAG = 700
"""TIFF tag of an XMP packet (Adobe XMP specification part 3)."""

_HEAD = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:wsicomp="urn:wsicomp:1"><wsicomp:provenance>'
)
_TAIL = b"</wsicomp:provenance></rdf:Description></rdf:RDF></x:xmpmeta>"
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def wrap(text: str) -> bytes:
    """A packet around ASCII JSON, in which the characters that XML minds are JSON escapes."""
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return _HEAD + text.encode("ascii") + _TAIL


def unwrap(packet: object) -> str | None:
    """The JSON text of a packet that `wrap` made, None for any other value."""
    if not isinstance(packet, bytes) or not packet.startswith(_HEAD):
        return None
    return packet[len(_HEAD) :].partition(_TAIL)[0].decode("ascii", "replace")
