"""What the packages' tests need beside aod: tools that packaging/setup-packages installs."""

import os
import shutil

import pytest


@pytest.fixture
def tool(request: pytest.FixtureRequest) -> str:
    """Return the path of the program that the test's mark `tool` names."""
    mark = request.node.get_closest_marker("tool")
    assert mark
    found: str | None = shutil.which(mark.args[0])
    if found:
        return found
    reason = f"{mark.args[0]} is not installed (packaging/setup-packages build/tools)"
    if os.environ.get("PACKAGES_REQUIRED") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
