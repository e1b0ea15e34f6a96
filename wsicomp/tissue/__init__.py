"""Where on a slide there is tissue, and which tiles are glass; nothing here knows codecs or targets."""
