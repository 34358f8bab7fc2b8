"""How fast and how often: retries, pacing, budgets."""
