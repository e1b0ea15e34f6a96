"""Convert a slide into a smaller one, and back: prepare, plan, stream, write, report."""
