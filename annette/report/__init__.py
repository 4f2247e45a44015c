"""What people look at: summaries as tables, JSON and HTML."""
