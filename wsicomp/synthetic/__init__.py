"""Drawn H&E slides with known tissue, for tests, benchmarks and the demonstration.

Real slides of every kind of file cannot be shipped, and no real slide has a mask that is certainly right.
"""

from wsicomp.synthetic.form import SyntheticFormat, srgb_profile
from wsicomp.synthetic.shapes import Fragment
from wsicomp.synthetic.slide import SyntheticSlide
from wsicomp.synthetic.write import write_slide

__all__ = ["Fragment", "SyntheticFormat", "SyntheticSlide", "srgb_profile", "write_slide"]
