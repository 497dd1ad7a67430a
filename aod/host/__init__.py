"""What this machine offers and how it is touched safely: rights, directories, files, mounts."""
