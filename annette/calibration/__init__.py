"""A model of a device from the latencies of a few whole networks on it."""
