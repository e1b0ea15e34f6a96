"""Originals: the files from which ours were made, any byte of them at random."""
