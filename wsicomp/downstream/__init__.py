"""What compression does to a network that learns from the data, or is asked about them."""
