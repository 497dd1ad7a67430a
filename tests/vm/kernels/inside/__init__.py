"""What runs inside the guest of `make kernels`, with the guest's own Python."""
