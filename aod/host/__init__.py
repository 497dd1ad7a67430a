"""What this machine offers, touched safely: capabilities, directories, files, mounts."""
