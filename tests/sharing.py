"""How pytest-xdist shares the tests out among its processes."""

from xdist.scheduler import LoadScopeScheduling

LAB = "tests/vm/"


class OneGuest(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """Gives all of the lab to the first process, as one guest runs at a time, and each other test
    to the next one that is free.

    The mark `xdist_group` does not do it: xdist 3.8 does not see it with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        return LAB if nodeid.startswith(LAB) else nodeid
