"""Estimates: map the network, price its kernels, add up."""
