"""Make the small BTF of a kernel, for the contract test and for kernels that have none."""
