"""DICOM whole slides: where the encoded frames of each level lie in the slide's files."""
