"""Types of cifs for kernels that do not supply them, such as 5.10."""

from importlib import resources
from pathlib import Path

SHIPPED = Path(str(resources.files("aod").joinpath("data/btf")))


def shipped_btf(release: str, directory: Path = SHIPPED) -> Path | None:
    """Return the BTF file made for just this kernel, or None: another may differ by an offset."""
    file = directory / f"{release}.btf"
    return file if file.is_file() else None
