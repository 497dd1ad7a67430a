"""What is SMB's own: protocol facts, filter, probes, module, names of ids."""
