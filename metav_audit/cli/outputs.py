"""The files that ``metav-audit audit --write`` leaves for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from metav_audit.cli.echo import complain
from metav_audit.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from metav_audit.audit import Endpoint
    from metav_audit.bundle import FingerprintBundle
    from metav_audit.casework import Casework


class Outputs:
    """Files in which other programs read a run.

    Args:
        paths: the files.
        source: the endpoint file, as it was given.

    Raises:
        ConfigurationError: a file's ending names no format, or it cannot be written.
    """

    def __init__(self, paths: Sequence[Path], source: Path) -> None:
        from metav_audit.report.outputs import check_outputs

        check_outputs(paths)
        self._paths, self._source = paths, source
        self._lines: dict[str, int] = {}

    def locate(self, endpoints: Sequence[Endpoint]) -> None:
        """Find each endpoint's table in the endpoint file, as it is before anything is sent."""
        from metav_audit.audit import table_lines

        if self._paths:
            content = self._source.read_bytes().decode("utf-8", "replace")
            self._lines = table_lines(content, [each.name for each in endpoints])

    def write(self, case: Casework, bundle: FingerprintBundle, name: str, ended: datetime, code: int) -> int:
        """Write the files; return the exit code, which says so where one cannot be written and nothing is graver.

        Args:
            case: what became of the run.
            bundle: what was asked.
            name: the run's.
            ended: when it ended.
            code: the run's exit code.
        """
        from metav_audit.progress import printable
        from metav_audit.report.outputs import write_output
        from metav_audit.report.run import Run

        entries = tuple(result.entry for result in case.results)
        run = Run(name, ended, code, printable(bundle.name), bundle.sha256, _shown(self._source), self._lines, entries,
                  case.control)  # fmt: skip
        for path in self._paths:
            try:
                write_output(run, path)
            except ConfigurationError as error:
                complain(error)
                code = code or error.exit_code
        return code


def _shown(path: Path) -> str:
    """Write a path as seen from the working directory, where that is above it; else as it was given."""
    here = Path.cwd()
    whole = here / path
    return (whole.relative_to(here) if whole.is_relative_to(here) else path).as_posix()
