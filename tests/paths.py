"""Where things of this checkout are, and what lies beside it."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
FIXTURES = ROOT / "tests/fixtures"
SHARED = ROOT.parent / "shared"
