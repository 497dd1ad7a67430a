"""kill -9 at a hundred random moments of incidents, with real files and real children."""

import json
import subprocess
import sys
from pathlib import Path

from tests import ROOT

KILLS = 100


def test_after_kill_9_at_100_random_moments_there_are_only_whole_bundles(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.killed", str(tmp_path), str(KILLS)]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=250)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(found)  # shown with -s: how much of an incident the moments reached
    assert sum(found["left"].values()) == KILLS
    assert found["left"]["with manifest"] < KILLS
    assert found["states"]["sealed"] > 10
    assert found["states"]["interrupted"] > 10
