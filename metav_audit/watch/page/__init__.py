"""The history as a static site: no script, nothing from elsewhere, the same for eyes, keyboard and screen reader."""
