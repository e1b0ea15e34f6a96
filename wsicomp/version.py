"""The one place that names the version, so that files, reports and the command line agree."""

__version__ = "0.7.0"

PROGRAM = "wsicomp"

SOFTWARE = f"{PROGRAM} {__version__}"
