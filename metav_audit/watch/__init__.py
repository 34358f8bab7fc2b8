"""Fleets of endpoints, audited on a schedule: what is due, the history, what changed, who is told, and a page of it."""
