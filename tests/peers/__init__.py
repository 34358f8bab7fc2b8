"""The auditing client against real model servers: ``make test-peers``, not ``make test``. See docs/peers.md.

``environments`` makes one virtual environment a server, ``digits`` the owner's bundle and the suspects, ``processes``
starts and ends a server, ``auditing`` runs ``metav-audit audit`` on it. ``served/`` runs in the servers' environments.
"""
