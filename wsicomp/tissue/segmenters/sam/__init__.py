"""Segment Anything: outlines what a person points at."""
