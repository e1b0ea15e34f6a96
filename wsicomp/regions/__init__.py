"""What matters where: regions of a slide by class, read from whatever draws or finds them."""
