"""Find the tissue of a slide, and the tiles that are glass; nothing here knows codecs or targets."""
