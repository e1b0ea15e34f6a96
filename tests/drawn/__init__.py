"""Slides drawn for the tests: each function writes a file and returns what is true of it."""
