"""Packed slides: all files of a slide of any vendor in one file, byte for byte."""
