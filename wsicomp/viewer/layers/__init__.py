"""What lies over a slide: outlines, its tissue, what became of its tiles, and the worst of them."""
