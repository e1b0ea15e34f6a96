"""Volumes of radiology: NIfTI, NRRD and DICOM series, made smaller with the same honesty as slides.

A volume is a stack of slices and knows nothing of slides, levels or tissue.
"""
