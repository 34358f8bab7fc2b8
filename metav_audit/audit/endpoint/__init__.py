"""Endpoint files: what is asked where, with which secrets and signatures."""
