"""What the tests of children share with those of actions."""

from tests.actions.conftest import children, files, make_output, witness

__all__ = ["children", "files", "make_output", "witness"]
