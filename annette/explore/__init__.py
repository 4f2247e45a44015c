"""Design-space studies on accelerators."""
