"""``metav-audit audit --beside``: several owners' bundles of one task, the same endpoints, in one run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metav_audit.cli.echo import echo
from metav_audit.cli.lines import Lines, exit_code

if TYPE_CHECKING:
    from metav_audit.audit import Endpoint, Grant
    from metav_audit.bundle import FingerprintBundle
    from metav_audit.casework import Casework


@dataclass(frozen=True, slots=True)
class Several:
    """Several bundles, and whom they ask.

    Attributes:
        bundles: by the names of their folders.
        endpoints: the endpoint file.
        grant: what of this machine it may take.
    """

    bundles: Mapping[str, FingerprintBundle]
    endpoints: Path
    grant: Grant

    @classmethod
    def load(cls, paths: Sequence[Path], endpoints: Path, grant: Grant) -> Several:
        """Load the bundles; see ``check_beside`` for what is refused."""
        from metav_audit.audit import check_beside
        from metav_audit.bundle import FingerprintBundle
        from metav_audit.errors import ConfigurationError

        bundles: dict[str, FingerprintBundle] = {}
        for path in paths:
            name = path.absolute().name.removesuffix(".bundle")
            if name in bundles:
                raise ConfigurationError(f"two bundles' folders are named {name}: the audits' folders bear that name")
            bundles[name] = FingerprintBundle.load(path)
        check_beside(bundles)
        return cls(bundles, endpoints, grant)

    def audit(self, lines: Lines, out: Path, ledger: Path, *, dry_run: bool, **options: Any) -> int:
        """Audit every endpoint with every bundle, or say what that would send; return the exit code.

        Args:
            lines: print what became of each.
            out: the folder of the audits' folders.
            ledger: the folder in which earlier audits are counted.
            dry_run: whether nothing is sent.
            options: of ``audit_bundles``.
        """
        from metav_audit.audit import load_endpoints
        from metav_audit.casework import audit_bundles
        from metav_audit.cli.ending import leave_traceback
        from metav_audit.cli.stamping import sealer_of
        from metav_audit.errors import FaultError

        task = next(iter(self.bundles.values())).task
        suspects, sealer = load_endpoints(self.endpoints, task, self.grant), sealer_of(self.endpoints)
        if dry_run:
            for line in self._outlooks(lines, suspects):
                echo(line)
            return 0
        case = audit_bundles(self.bundles, suspects, out, ledger=ledger, sealer=sealer, finish=lines.finish, **options)
        for line in ranks(case):
            echo(line, err=True)
        faults = [each.error for each in case.results if isinstance(each.error, FaultError)]
        if faults:
            leave_traceback(faults[0])
        return exit_code(case)

    def _outlooks(self, lines: Lines, suspects: Sequence[Endpoint]) -> Iterator[str]:
        from metav_audit.audit import shared_inputs
        from metav_audit.bundle import planned_places

        before: list[FingerprintBundle] = []
        for name, bundle in self.bundles.items():
            queries, shared = len(bundle.inputs), shared_inputs(bundle, before)
            for suspect in suspects:
                yield lines.outlook(suspect, queries, planned_places(bundle) - queries, name, shared)
            before.append(bundle)


def ranks(case: Casework) -> Iterator[str]:
    """Say of each endpoint which bundle comes first, and what its p-value is worth among all that was asked."""
    from metav_audit.report.entries import corrected
    from metav_audit.report.summary import in_order

    entries = in_order(result.entry for result in case.results)
    told = corrected(entries)
    several = len({entry.bundle for entry in entries})
    for name in dict.fromkeys(entry.endpoint for entry in entries):
        first = next(entry for entry in entries if entry.endpoint == name)
        value = told.get(first.folder)
        worth = "" if value is None else f", p = {value:.4f} corrected for {len(entries)} audits (Holm)"
        yield f"{name}: first of {several} bundles comes {first.bundle}, {first.outcome or 'no verdict'}{worth}"
