"""Networks people know, NAS search spaces, and the suites used for evaluation."""
