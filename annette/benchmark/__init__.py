"""What to time and how: micro-kernels, sweeps, multi-layer blocks, and the campaign that runs them."""
