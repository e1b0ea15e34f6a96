"""Files and folders: written whole or not at all, never through a link, no larger than the machine holds."""
