"""Loads the BPF program and reads its ring and maps; the only user of libbpf."""
