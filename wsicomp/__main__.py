"""`python -m wsicomp`."""

import sys

from wsicomp.cli import main

sys.exit(main())
