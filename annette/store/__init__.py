"""What lasts: campaign stores (SQLite) and platform bundles (folders without pickles)."""
