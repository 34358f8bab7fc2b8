"""How large an auditor's install is: ``python -m tests.bench.install_size`` installs it into a bare environment.

It prints the megabytes of the environment's packages, in all and for the largest, and leaves nothing behind. For each
extra that is named, ``python -m tests.bench.install_size aws gcp azure``, it prints by how many it grows.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).parents[2]
CONSTRAINTS = (SOURCE / "constraints.txt", SOURCE / "tests" / "clouds" / "constraints.txt")


def main(extras: list[str]) -> None:
    """Install without extras, measure, print; then with each extra alone."""
    with tempfile.TemporaryDirectory(prefix="metav-audit-size-") as name:
        own = installed(Path(name) / "env", "", CONSTRAINTS[bool(extras)])
        print(f"{sum(own.values()):.0f} MB in all")
        for package, size in sorted(own.items(), key=lambda item: -item[1])[:8]:
            print(f"{size:6.1f} MB  {package}")
        for extra in extras:
            more = installed(Path(name) / extra, f"[{extra}]", CONSTRAINTS[1])
            print(f"{sum(more.values()) - sum(own.values()):6.1f} MB  more with the extra {extra!r}")


def installed(folder: Path, extra: str, constraints: Path) -> dict[str, float]:
    """Install into a fresh environment; return the megabytes of each package and module."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install = [folder / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*install, "-c", constraints, f"{SOURCE}{extra}"], check=True)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    sizes = {each.name: megabytes(each) for each in packages.iterdir()}
    # pip and setuptools come with the environment and are no part of the install.
    return {name: size for name, size in sizes.items() if not name.startswith(("pip", "setuptools", "pkg_resources"))}


def megabytes(path: Path) -> float:
    """Return the size of a file, or of all files below a folder."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files) / 1e6


if __name__ == "__main__":
    main(sys.argv[1:])
