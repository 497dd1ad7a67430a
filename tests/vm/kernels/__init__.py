"""`make kernels`: one workload on every kernel, and aod's counts against those of cifs itself."""
