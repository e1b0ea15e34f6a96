"""Training and measuring the tissue network."""
