"""Two public things of wsicomp never share a name, so that a name says which of them is meant."""

import ast
from collections import defaultdict
from collections.abc import Mapping
from functools import cache

from tests.sources import modules

SHARED = frozenset(
    {
        "Codec",
        "Transcoder",
        "copy_obstacle",
        "decode",
        "encode_alike",
        "encode_uniform",
        "require_model",
        "without_text",
    }
)
"""The protocols of codecs/base.py: each codec's module implements them, and the registry leads to them."""

STILL_SHARED = frozenset({})
"""Names that two things share and that one of them is to lose; this list only shrinks."""


@cache
def _shared_names() -> Mapping[str, list[str]]:
    places = defaultdict(list)
    for path, module in modules().items():
        for node in module.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path)
    return {name: found for name, found in places.items() if len(found) > 1}


def test_no_two_public_functions_or_classes_share_a_name() -> None:
    found = {name: paths for name, paths in _shared_names().items() if name not in SHARED | STILL_SHARED}
    assert not found, "rename one of each"


def test_the_lists_of_shared_names_hold_no_name_that_is_unique() -> None:
    unique = (SHARED | STILL_SHARED).difference(_shared_names())
    assert not unique, "take these from the lists"
