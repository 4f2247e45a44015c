"""How good the estimates are on networks that were never measured for training."""
