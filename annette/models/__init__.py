"""What is learned from measurements: layer models and the mapping model."""
