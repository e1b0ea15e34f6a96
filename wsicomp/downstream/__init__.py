"""The study of compression and networks that learn from the data, or are asked about them."""
