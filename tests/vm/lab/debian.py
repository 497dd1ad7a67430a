"""Find the Debian archive that this machine is configured for, and fetch packages from it."""

import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Self

from tests.vm.lab import host
from tests.vm.lab.errors import DownloadError

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_ROLLING = ("stable", "testing", "unstable", "sid")
_UPDATE_TIMEOUT_S = 180.0
_DOWNLOAD_TIMEOUT_S = 900.0
_BOOTSTRAP_TIMEOUT_S = 1200.0


@dataclass(frozen=True, slots=True)
class Source:
    """Name one configured source: where it is, and which release it serves."""

    uri: str
    release: str


def configured() -> list[Source]:
    """List the sources with a component `main`, read by apt itself from either file format."""
    line = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    listing = host.run(
        ["apt-get", "indextargets", "--format", line, "Created-By: Packages"], timeout_s=60
    )
    rows = (row.split() for row in listing.splitlines())
    return [Source(row[0], row[1]) for row in rows if len(row) == 3 and row[2] == "main"]


def sources(suite: str, found: Iterable[Source]) -> list[str]:
    """Return one-line apt sources of a Debian suite, from the mirrors among `found`.

    Raises DownloadError when none of them is a Debian archive.
    """
    rows = list(found)
    security = [row.uri for row in rows if row.release.endswith("-security")]
    codenames = {row.release.removesuffix("-security") for row in rows}
    plain = [row.uri for row in rows if row.release in codenames and "-" not in row.release]
    archives = sorted(plain, key=lambda uri: not uri.rstrip("/").endswith("/debian"))
    if not archives:
        raise DownloadError("no Debian archive among the sources of apt (apt-get indextargets)")
    lines = [_line(archives[0], suite)]
    if suite not in _ROLLING and "-" not in suite:
        lines.append(_line(archives[0], f"{suite}-updates"))
        lines += [_line(uri, f"{suite}-security") for uri in security[:1]]
    return lines


def _line(uri: str, release: str) -> str:
    signed_by = f" signed-by={_KEYRING}" if _KEYRING.exists() else ""
    return f"deb [arch=amd64{signed_by}] {uri} {release} main"


def network_options() -> str:
    """Return apt's network settings of this machine (proxy, certificates) as a config file."""
    wanted = ("Acquire::http", "Acquire::https", "Acquire::Check-", "Acquire::Retries")
    lines = host.run(["apt-config", "dump"], timeout_s=60).splitlines()
    return "".join(f"{line}\n" for line in lines if line.startswith(wanted))


def bootstrap(suite: str, packages: Sequence[str], target: Path, *dpkg_options: str) -> None:
    """Install a suite with some packages into `target`: a tar when it is named so, else a folder.

    Raises DownloadError.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as network:
        network.write(network_options())
        network.flush()
        argv = [
            *("mmdebstrap", "--quiet", "--mode=root", "--variant=apt", "--architectures=amd64"),
            f"--format={'tar' if target.suffix == '.tar' else 'directory'}",
            *([f"--include={','.join(packages)}"] if packages else []),
            f"--aptopt={network.name}",
            '--aptopt=APT::Install-Recommends "false"',
            *(f"--dpkgopt={option}" for option in dpkg_options),
            suite,
            str(target),
            *sources(suite, configured()),
        ]
        host.run(argv, timeout_s=_BOOTSTRAP_TIMEOUT_S, failure=DownloadError)


@dataclass(frozen=True, slots=True)
class Archive:
    """Query and download packages of one suite, apart from this machine's own package lists."""

    place: Path

    @classmethod
    def open(cls, place: Path, suite: str) -> Self:
        """Make a private apt in `place` and fetch the suite's package lists.

        Raises DownloadError.
        """
        for folder in ("state/lists/partial", "cache/archives/partial", "parts"):
            (place / folder).mkdir(parents=True)
        (place / "sources.list").write_text("\n".join(sources(suite, configured())) + "\n")
        (place / "status").touch()
        archive = cls(place)
        archive._apt("apt-get", "update", "--error-on=any", timeout_s=_UPDATE_TIMEOUT_S)
        return archive

    def dependencies(self, package: str) -> list[str]:
        """Return the package and all that it depends on, directly or not."""
        listing = self._apt("apt-cache", "depends", "--recurse", "--important", package)
        return [row for row in listing.splitlines() if row and not row.startswith((" ", "<"))]

    def names(self, pattern: str) -> list[str]:
        """Return the packages whose whole name matches a regular expression."""
        listing = self._apt("apt-cache", "search", "--names-only", f"^{pattern}$")
        return [row.split()[0] for row in listing.splitlines()]

    def version(self, package: str) -> str:
        """Return the newest version of a package in this suite."""
        record = self._apt("apt-cache", "show", "--no-all-versions", package)
        return next(row.split()[1] for row in record.splitlines() if row.startswith("Version:"))

    def unpack(self, package: str, target: Path) -> None:
        """Download a package and unpack its files into `target`; none of its scripts run."""
        file = self._download(package)
        host.run(["dpkg", "-x", file, target], timeout_s=300)
        file.unlink()

    def unpack_one(self, package: str, pattern: str, target: Path) -> None:
        """Download a package and unpack to `target` the one file whose path in it matches."""
        file = self._download(package)
        target.write_bytes(file_in(file, pattern))
        file.unlink()

    def _download(self, package: str) -> Path:
        downloads = self.place / "downloads"
        downloads.mkdir(exist_ok=True)
        self._apt("apt-get", "download", package, timeout_s=_DOWNLOAD_TIMEOUT_S, cwd=downloads)
        return next(downloads.glob("*.deb"))

    def _apt(self, tool: str, *words: str, timeout_s: float = 60.0, cwd: Path | None = None) -> str:
        options = {
            "Dir::State": self.place / "state",
            "Dir::State::status": self.place / "status",
            "Dir::Cache": self.place / "cache",
            "Dir::Etc::sourcelist": self.place / "sources.list",
            "Dir::Etc::sourceparts": self.place / "parts",
            "APT::Architecture": "amd64",
            # A mirror may lag behind; the lists are signed all the same.
            "Acquire::Check-Valid-Until": "false",
            # apt would else fetch as the user _apt, who cannot write below a 0700 folder.
            "APT::Sandbox::User": "root",
        }
        flags = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        return host.run(
            [tool, "-q", *flags, *words], timeout_s=timeout_s, cwd=cwd, failure=DownloadError
        )


def file_in(package: Path, pattern: str) -> bytes:
    """Return what is in the first file of a package whose path matches; the rest stays packed.

    Raises DownloadError when none does.
    """
    command = ["dpkg-deb", "--fsys-tarfile", str(package)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as unpacking:
        try:
            with tarfile.open(fileobj=unpacking.stdout, mode="r|") as archive:
                for member in archive:
                    if fnmatch(member.name, pattern) and (file := archive.extractfile(member)):
                        return file.read()
        finally:
            unpacking.kill()
    raise DownloadError(f"{package.name} has no file {pattern}")
