"""Kernels as programs of instructions, timed cycle for cycle: the cross-check of the tile engines."""
