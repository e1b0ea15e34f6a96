"""Codecs: the voxels of slices as bytes, and back."""
