"""Slides as files: every format that is read, and the one that is written; nothing here knows tissue."""
