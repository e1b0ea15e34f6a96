from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from wsicomp.formats.tiff import xmp


@given(st.dictionaries(st.text(), st.text()))
def test_any_json_comes_back_equal(values):
    import json

    assert json.loads(xmp.unwrap(xmp.wrap(json.dumps(values)))) == values


def test_a_packet_is_well_formed_xml():
    root = ElementTree.fromstring(xmp.wrap('{"a": "<&>"}'))
    assert root.tag == "{adobe:ns:meta/}xmpmeta"


def test_other_packets_hold_no_provenance():
    assert xmp.unwrap(b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>") is None
    assert xmp.unwrap(None) is None
