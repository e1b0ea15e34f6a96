"""What would be: a view by another codec, the size of a conversion, the outline of tissue."""
