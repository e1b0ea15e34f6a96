"""Check that a written file is whole, shows its source, and shows it to other programs too."""
