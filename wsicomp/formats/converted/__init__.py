"""Our own files: written, read, and rebuilt into their sources."""
