"""Print the lowest versions that ``pyproject.toml`` promises for the auditor's side, as requirements.

``make test-lowest`` installs them into an environment of their own and runs the tests that need no torch.
"""

from __future__ import annotations

import tomllib
from pathlib import Path


def lowest() -> list[str]:
    """Return every declared dependency at its floor."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    return [requirement.replace(">=", "==") for requirement in project["dependencies"]]


if __name__ == "__main__":
    print("\n".join(lowest()))
