"""What pyproject.toml cannot say to setuptools: the cffi modules and the BPF step of build.py."""

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).parent))
from build import build_with_bpf

setup(
    cffi_modules=["build.py:event_ffi", "build.py:tracer_ffi"],
    cmdclass={"build_py": build_with_bpf},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
