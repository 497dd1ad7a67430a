#!/usr/bin/python3 -I
"""Upload a sealed bundle by HTTP PUT; for notify.command.

The address stands in a file of root's, as it mostly holds a token; the bundle's name is put
behind its path, before a `?`. Azure Blob Storage takes the address of a container with a SAS,
nginx one of a directory with dav_methods PUT.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from http.client import HTTPException
from pathlib import Path

TIMEOUT_S = 8
"""Less than the 10 s that aod gives."""
DETACHED_S = 900
NAME = re.compile(r"aod_\d{19}\.tar\.zst")


def main() -> None:
    """Upload the bundle of the notice on stdin, or the one that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url-file", type=Path, required=True, help="file with the address")
    parser.add_argument("--bundle", type=Path, help="upload this one, without a notice")
    parser.add_argument(
        "--detach", action="store_true", help="in a unit of its own, so that it may take 15 min"
    )
    parser.add_argument("--systemd-run", default="/usr/bin/systemd-run", help="path of systemd-run")
    options = parser.parse_args()
    bundle = options.bundle or from_notice(json.load(sys.stdin))
    if not bundle:
        return
    if options.detach:
        detach(options.systemd_run, options.url_file, bundle)
    else:
        try:
            upload(bundle, options.url_file, DETACHED_S if options.bundle else TIMEOUT_S)
        except (OSError, HTTPException) as error:  # any answer but 2xx among them
            sys.exit(f"{bundle.name} not uploaded: {error}")


def from_notice(notice: dict[str, str]) -> Path | None:
    """Return the sealed bundle, or None where none was kept."""
    return Path(notice["bundle"]) if notice["outcome"] == "sealed" else None


def upload(bundle: Path, url_file: Path, timeout_s: float) -> None:
    """Send the file as it is, without reading it into memory."""
    if not NAME.fullmatch(bundle.name):
        sys.exit(f"{bundle} is not named as a bundle")
    parts = urllib.parse.urlsplit(url_file.read_text().strip())
    if parts.scheme not in ("https", "http"):
        sys.exit(f"{url_file} holds no http address")
    url = parts._replace(path=f"{parts.path.rstrip('/')}/{bundle.name}").geturl()
    fd = os.open(bundle, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(fd, "rb") as file:
        headers = {
            "Content-Type": "application/zstd",
            "Content-Length": str(os.fstat(fd).st_size),
            "x-ms-blob-type": "BlockBlob",  # Azure asks for it, others ignore it
        }
        request = urllib.request.Request(url, file, headers, method="PUT")  # noqa: S310 - as above
        with urllib.request.urlopen(request, timeout=timeout_s):  # noqa: S310 - as above
            pass


def detach(systemd_run: str, url_file: Path, bundle: Path) -> None:
    """Have systemd do it, in a unit `aod-upload-TIME`: what aod starts is ended after 10 s."""
    unit = "aod-upload-" + bundle.name.removeprefix("aod_").removesuffix(".tar.zst")
    limits = [
        "--quiet",
        "--collect",
        "--no-block",
        f"--unit={unit}",
        f"--property=RuntimeMaxSec={DETACHED_S}",
    ]
    again = [str(Path(__file__).resolve()), "--url-file", str(url_file), "--bundle", str(bundle)]
    try:
        subprocess.run([systemd_run, *limits, "--", *again], timeout=TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        sys.exit(f"upload not started: {error}")


if __name__ == "__main__":
    main()
