"""The kernels that aod is tried on: one of each shape that cifs has had in the field."""

MATRIX = {
    "bullseye": "5.10: no BTF of modules, no connection ids",
    "bookworm": "6.1: Debian 12",
    "trixie": "6.12: Debian 13; reads and writes go through netfslib",
    "trixie-backports@6.18": "6.18: the last with callbacks that take a request alone",
    "sid": "7.2: callbacks take connection and request",
    "trixie-backports": "7.x: the newest there is; holds types of cifs twice",
}
"""What is particular of a kernel, by its name in the lab (SUITE or SUITE@LINE)."""
