"""What the tests of children share with those of actions."""

from tests.actions.conftest import context, files, make_output, root, surroundings

__all__ = ["context", "files", "make_output", "root", "surroundings"]
