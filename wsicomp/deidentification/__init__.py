"""Slides without anything that could name a patient."""
