"""aod: keeps the evidence of slow, failing and hanging SMB operations."""

import os

# numpy's OpenBLAS would start a thread per processor, with memory for each; aod needs none.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
