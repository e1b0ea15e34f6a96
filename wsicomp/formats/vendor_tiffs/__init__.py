"""Leica's, Philips's and Ventana's slides, which are TIFFs: where the tiles of each level lie in them."""
