"""aod: keeps the evidence of slow, failing and hanging SMB operations."""
