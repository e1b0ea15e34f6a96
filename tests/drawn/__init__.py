"""Slides drawn for the tests, by functions that take a path, write the file and return its truth."""
