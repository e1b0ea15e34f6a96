"""Segmenters: each finds tissue on an overview of a slide."""
