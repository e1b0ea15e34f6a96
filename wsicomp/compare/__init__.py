"""Codecs and ways with glass on a user's own slides: what each saves, costs and does to tissue.

`compare_slides` is the whole of it; `ComparisonChoices` says what is compared, `Comparison` what was found.
"""

from wsicomp.compare.api import compare_slides
from wsicomp.compare.codec_specs import Candidate, parse_codecs
from wsicomp.compare.projection import Rates
from wsicomp.compare.results import Comparison, Row, SlideComparison, Status
from wsicomp.compare.slide import ComparisonChoices, compare_slide

__all__ = [
    "Candidate",
    "Comparison",
    "ComparisonChoices",
    "Rates",
    "Row",
    "SlideComparison",
    "Status",
    "compare_slide",
    "compare_slides",
    "parse_codecs",
]
