"""Drawn slides with known tissue, for the demo, the tests and the benchmarks.

Every pixel is a function of a few numbers, so a slide of any size can be written tile by tile, and the
truth about each tile is known exactly. Nothing here uses the project's own reader or writer: what tests
them must not depend on them.
"""

from wsicomp.synthetic.scene import Fragment
from wsicomp.synthetic.slide import SyntheticSlide
from wsicomp.synthetic.write import SyntheticFormat, write_slide

__all__ = ["Fragment", "SyntheticFormat", "SyntheticSlide", "write_slide"]
