"""A device that runs anywhere: a compiler and a timing engine for described accelerators."""
