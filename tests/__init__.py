"""The tests: folders mirror aod/; bpf, vm, service and bench beside them need more than Python."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
"""The checkout."""
DATA = ROOT / "tests" / "data"
