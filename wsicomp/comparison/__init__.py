"""Compare codecs and treatments of glass on a user's own slides: size, time and quality of tissue.

`compare_slides` does it, `ComparisonOptions` says what is compared, `Comparison` is the result.
"""

from wsicomp.comparison.api import compare_slides
from wsicomp.comparison.codec_specs import CodecSpec, parse_codecs
from wsicomp.comparison.forecast import Forecast, forecast_conversion
from wsicomp.comparison.options import ComparisonOptions
from wsicomp.comparison.projection import Rates
from wsicomp.comparison.results import Comparison, Row, SlideComparison, Status
from wsicomp.comparison.slide import compare_slide

__all__ = [
    "CodecSpec",
    "Comparison",
    "ComparisonOptions",
    "Forecast",
    "Rates",
    "Row",
    "SlideComparison",
    "Status",
    "compare_slide",
    "compare_slides",
    "forecast_conversion",
    "parse_codecs",
]
