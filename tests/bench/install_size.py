"""How large an auditor's install is: ``python -m tests.bench.install_size`` installs it into a bare environment.

It prints the megabytes of the environment's packages, in all and for the largest, and leaves nothing behind.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).parents[2]


def main() -> None:
    """Install without extras, measure, print."""
    with tempfile.TemporaryDirectory(prefix="metav-audit-size-") as name:
        folder = Path(name) / "env"
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = folder / "bin" / "python"
        install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*install, "-c", SOURCE / "constraints.txt", SOURCE], check=True)
        (packages,) = (folder / "lib").glob("python*/site-packages")
        sizes = {each.name: megabytes(each) for each in packages.iterdir()}
        # pip and setuptools come with the environment and are no part of the install.
        own = {
            name: size for name, size in sizes.items() if not name.startswith(("pip", "setuptools", "pkg_resources"))
        }
        print(f"{sum(own.values()):.0f} MB in all")
        for package, size in sorted(own.items(), key=lambda item: -item[1])[:8]:
            print(f"{size:6.1f} MB  {package}")


def megabytes(path: Path) -> float:
    """Return the size of a file, or of all files below a folder."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files) / 1e6


if __name__ == "__main__":
    main()
