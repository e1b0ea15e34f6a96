"""Slides of which nothing is left that could name a patient."""
