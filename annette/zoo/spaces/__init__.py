"""Search spaces of architecture search: encodings, the networks they mean, and whole populations as arrays."""
