"""The owner's zoo: surrogates derived from the target and independent of it."""
