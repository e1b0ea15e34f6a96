"""TIFF as scanners write it: directories, levels, tiles, and the texts of Aperio, OME and XMP."""
