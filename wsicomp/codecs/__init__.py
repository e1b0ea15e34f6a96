"""Tile codecs: pixels to bytes and back.

A codec sees pixels, bytes and a `TileEncoding`; it must not know files, slides or masks.
"""
