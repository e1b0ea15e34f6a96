"""The one place that names the version, so that files, reports and the command line agree."""

__version__ = "0.1.0"

SOFTWARE = f"wsicomp {__version__}"
