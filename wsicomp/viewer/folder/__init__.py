"""The slides of a folder or of a comparison, and those of them that are open."""
