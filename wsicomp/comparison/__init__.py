"""Codecs and ways with glass on a user's own slides: what each saves, costs and does to tissue.

`compare_slides` is the whole of it; `ComparisonChoices` says what is compared, `Comparison` what was found.
"""

from wsicomp.comparison.api import compare_slides
from wsicomp.comparison.codec_specs import Candidate, parse_codecs
from wsicomp.comparison.projection import Rates
from wsicomp.comparison.results import Comparison, Row, SlideComparison, Status
from wsicomp.comparison.slide import ComparisonChoices, compare_slide

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
