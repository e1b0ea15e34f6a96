"""Text for people: figures with units, paths and foreign words made printable, HTML pages."""
