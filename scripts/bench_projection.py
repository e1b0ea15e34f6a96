"""How often the projection on an archive holds the truth, on simulated archives, as Markdown.

scripts/bench projection                # 1000 archives of each kind, 4 samples of each
scripts/bench projection --draw 20 100  # other counts of drawn slides
"""

import sys
from pathlib import Path

from usage import parser_of

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.comparison.archives import HARD, KINDS, SLIDES, coverage
from wsicomp.comparison.tables import markdown_table
from wsicomp.text.figures import as_percent


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--draw", type=int, nargs="+", default=[5, 20, 50], help="how many slides are drawn")
    parser.add_argument("--archives", type=int, default=1000, help="archives of each kind")
    parser.add_argument("--samples", type=int, default=4, help="samples of each archive")
    options = parser.parse_args()
    head = [f"an archive of {SLIDES} slides"]
    for count in options.draw:
        head += [f"{count} drawn: intervals that hold", "median width, of the bytes"]
    lines = []
    for kind in (*KINDS, *HARD):
        line = [(kind.__doc__ or "").rstrip(".")]
        for count in options.draw:
            line += map(as_percent, coverage(kind, count, options.archives, options.samples))
        lines.append(line)
    print(markdown_table(head, lines))


if __name__ == "__main__":
    main()
