"""How the voxels of slices become bytes and back."""
