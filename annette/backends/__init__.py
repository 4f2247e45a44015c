"""Backends: the code that talks to devices, one module a kind of device."""
