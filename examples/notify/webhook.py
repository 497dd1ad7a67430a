#!/usr/bin/python3 -I
"""Post aod's notice to a webhook; for notify.command.

The address stands in a file of root's, as it mostly holds a token, and arguments can be seen.
"""

import argparse
import json
import sys
import urllib.request
from http.client import HTTPException
from pathlib import Path

TIMEOUT_S = 8
"""Less than the 10 s that aod gives."""


def main() -> None:
    """Read the notice from stdin and post it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url-file", type=Path, required=True, help="file with the address")
    parser.add_argument(
        "--text", action="store_true", help='post {"text": ...}, as chat programs want it'
    )
    options = parser.parse_args()
    notice = json.load(sys.stdin)
    try:
        post(notice, options.url_file, as_text=options.text)
    except (OSError, HTTPException) as error:  # any answer but 2xx among them
        sys.exit(f"notice not posted: {error}")


def post(notice: dict[str, str], url_file: Path, *, as_text: bool) -> None:
    """Post the notice, or a text of it."""
    url = url_file.read_text().strip()
    if not url.startswith(("https://", "http://")):
        sys.exit(f"{url_file} holds no http address")
    body = {"text": text_of(notice)} if as_text else notice
    request = urllib.request.Request(  # noqa: S310 - checked above
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310 - checked above
        pass


def text_of(notice: dict[str, str]) -> str:
    """Return the notice as a person reads it."""
    kept = notice["bundle"] if notice["outcome"] == "sealed" else f"not kept: {notice['reason']}"
    return f"aod on {notice['host']}: {notice['sentence']} ({kept})"


if __name__ == "__main__":
    main()
