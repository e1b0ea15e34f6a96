"""Training data: labelled and drawn slides, cut into patch sets."""
