"""From a plan to a file: what will be written, the stream of tiles, the writer and the check."""
