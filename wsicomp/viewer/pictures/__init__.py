"""Slides as pictures for a browser: their levels, tiles and views, and how two differ."""
