"""Whole populations of a search space as arrays: their layers, mappings and prices, no network built."""
