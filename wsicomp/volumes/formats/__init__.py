"""The formats of volumes: each is read slice by slice, and written again from its parts."""
