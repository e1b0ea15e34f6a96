"""Slides that are drawn for the tests, each by a function that takes a path and returns the truth."""
