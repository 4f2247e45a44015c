"""Search spaces of architecture search: encodings, the networks they mean, populations as arrays."""
