"""``python -m metav_audit``: the command line."""

from metav_audit.cli import main

main()
