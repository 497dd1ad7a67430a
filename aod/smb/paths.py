"""How a share is written: as a mount names it."""


def share_path(server: str, share: str) -> str:
    """Return `//server/share`, with `?` for a server that is not known, or `//server`, or ""."""
    if share:
        return f"//{server or '?'}/{share}"
    return f"//{server}" if server else ""
