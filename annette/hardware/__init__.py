"""Declarative descriptions of accelerators: what a data sheet and its compiler manual say."""
