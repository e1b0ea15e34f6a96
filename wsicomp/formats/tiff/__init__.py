"""TIFF as scanners write it: directories, levels, tiles, and the words of Aperio, OME and XMP."""
