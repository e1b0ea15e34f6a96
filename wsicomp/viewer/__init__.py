"""Shows slides beside their conversions in a browser, and writes nothing."""
