"""The only user of libbpf."""
