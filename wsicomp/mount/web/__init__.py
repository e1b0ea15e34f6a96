"""An archive's tree over HTTP, for this machine alone."""
