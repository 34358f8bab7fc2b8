"""Credentials that a cloud's own library finds and renews: named in an endpoint file, granted by the command."""
