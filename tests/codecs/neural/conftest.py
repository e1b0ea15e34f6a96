"""Which of these tests need the extra `neural`."""

from importlib.util import find_spec

WITH_THE_EXTRA = ["test_exact.py", "test_litert.py", "test_models.py"]

collect_ignore = [] if find_spec("compressai") else WITH_THE_EXTRA
