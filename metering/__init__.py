"""Usage facts: what was asked, answered and tried, from the journal to the rollups."""
