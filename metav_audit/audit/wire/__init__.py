"""The wire: transports, hints, identities and refusals of servers."""
