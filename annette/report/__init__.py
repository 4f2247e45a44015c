"""Reports: one self-contained HTML page of an estimate, an evaluation or a campaign."""
