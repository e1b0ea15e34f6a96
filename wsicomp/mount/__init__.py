"""Archives shown as the files that they were made from: mounted, or served to this machine over HTTP."""
