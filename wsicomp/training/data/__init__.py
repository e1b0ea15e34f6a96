"""What networks learn from: labelled and drawn slides, cut into patch sets."""
