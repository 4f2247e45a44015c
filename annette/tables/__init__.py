"""Kernel tables of other people: per-kernel latencies of any profiler become a campaign store."""
