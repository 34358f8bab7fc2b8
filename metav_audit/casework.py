"""A whole audit below the command line: ask, decide, seal, report, list hashes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from metav_audit.audit import (
    ALONE,
    Among,
    Audited,
    Endpoint,
    Grant,
    Progress,
    audit_endpoint,
    audit_side_by_side,
    check_beside,
    control_names,
    control_record,
    earlier_audits,
    gather_controls,
    prepare_folder,
    put_controls,
    signed_beside,
)
from metav_audit.bundle import CoinPlan, FingerprintBundle, ServedPlan
from metav_audit.bundle.integrity import IntegrityPlan, check_enrolled
from metav_audit.errors import ConfigurationError, MetavAuditError
from metav_audit.evidence import Sealer, check_served, close_folder, seal_folder, supplied, write_sums
from metav_audit.report import Entry, EvidenceReport, Paper, report_of, save_reports
from metav_audit.report.drawn import close_coins, close_served
from metav_audit.report.integrity import close_integrity
from metav_audit.report.summary import write_summary
from metav_audit.transcript import Campaign
from metav_audit.verdict import AuditFolder, ControlRecord, Controls, Verdict
from metav_audit.verdict.drawn_folder import CoinDecision, IntegrityDecision, ServedDecision
from metav_audit.verdict.folder import INTEGRITY_PLAN, PLAN, SERVED_PLAN


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one endpoint; that it could not be audited is a result, too.

    Attributes:
        endpoint: who was asked.
        folder: where the evidence stands.
        report: what the answers say, and what vouches for it; None where there is no verdict.
        error: why there is none; None if there is one.
        is_control: whether it is the run's positive control.
        stands: whether the run's positive control passed; None without one, or where this is it.
    """

    endpoint: Endpoint
    folder: AuditFolder
    report: EvidenceReport | None
    error: MetavAuditError | None
    is_control: bool
    stands: bool | None

    @property
    def verdict(self) -> Verdict | None:
        """The verdict; None where there is none."""
        return None if self.report is None else self.report.verdict

    @property
    def entry(self) -> Entry:
        """Its line in a summary of several."""
        if self.error is not None:
            return Entry.failed(self.endpoint.name, self.folder, self.error, is_control=self.is_control)
        return Entry(self.endpoint.name, self.folder.name, self.report, None, self.is_control)


@dataclass(frozen=True, slots=True)
class Casework:
    """What became of a run.

    Attributes:
        results: one an endpoint, in the order of the endpoints, but for the positive control's, which is the first.
        control: what became of the positive control; None without one.
    """

    results: tuple[Result, ...]
    control: ControlRecord | None


def audit_and_report(  # noqa: PLR0913 - a whole audit is what it is
    bundle: FingerprintBundle,
    endpoints: Sequence[Endpoint],
    out: Path,
    *,
    control: str | None = None,
    blind: Path | None = None,
    sealer: Sealer | None = None,
    paper: Paper = "a4",
    parallel: int = 4,
    finish: Callable[[Result], None] = lambda _: None,
    gathered: Callable[[Controls], None] = lambda _: None,
    complain: Callable[[str], None] = lambda _: None,
    progress: Callable[[Progress], None] | None = None,
    grant: Grant = Grant(),  # noqa: B008 - it is frozen
    earlier: int | None = None,
    stop_early: bool = False,
    among: Among = ALONE,
) -> Casework:
    """Audit endpoints side by side, each into ``out/NAME``: ask, decide, seal, report, list the hashes.

    Run again with the same folder, it asks only what is still open.

    1. Whatever is wrong on this side stops everything before anything is sent. Who will seal an audit stands in its
       first record.
    2. A third party's blind controls are asked, and their answers put beside each suspect's.
    3. The endpoints are asked; as soon as one is done its folder is closed: sealed, reported, its hashes listed.
    4. Several endpoints get a summary: ``out/summary.csv``, ``.html`` and ``.pdf``.

    Args:
        bundle: the owner's, with its commitment if it has one.
        endpoints: who is asked.
        out: the folder of the audits' folders.
        control: the name of the endpoint that must come out as a match, see ``with_control``; it is the first to be
            finished, so that the others say whether they stand.
        blind: an endpoint file of models that a third party calls independent, or a file of their answers.
        sealer: who seals each audit at its end; nobody if None.
        paper: the PDFs'.
        parallel: endpoints asked at once.
        finish: told of each result, in the order of ``Casework.results``, as soon as it and those before it are there.
        gathered: told of the blind controls that answered, before the endpoints are asked.
        complain: told why a blind control is missing.
        progress: told of every step of every audit.
        grant: what of this machine an endpoint file of blind controls may take, as a third party's.
        earlier: audits with the bundle that were begun before, as each audit's first record says; those in ``out`` if
            None.
        stop_early: whether each audit takes several looks and ends at the first that is clear: fewer queries, and the
            same promise over all looks.
        among: audits of the same endpoints with other bundles; the folders are named after it, and the summary is
            left to whoever makes them all.

    Raises:
        ConfigurationError: a budget is too small, a variable is not set (SecretError), a folder cannot be written or
            holds the audit of something else, a file of controls is wrong, no endpoint has the control's name.
        TranscriptError: the transcript in a folder is damaged.
    """
    # 1.
    endpoints = [each.signed_by(sealer.key.public.key_id) if sealer else each for each in _ordered(endpoints, control)]
    for endpoint in endpoints:
        prepare_folder(bundle, endpoint, among.folder(out, endpoint.name), stop_early=stop_early)
    # 2.
    if blind is not None:
        signed = supplied(signed_beside(blind), partial(control_names, blind))
        controls = gather_controls(
            bundle, blind, out, parallel=parallel, complain=complain, progress=progress, grant=grant
        )
        for endpoint in endpoints:
            put_controls(controls, among.folder(out, endpoint.name), signed)
        gathered(controls)
    # 3.
    desk = _Desk(control, sealer, paper, finish)
    if earlier is None:
        earlier = earlier_audits(out, bundle, [among.folder(out, each.name).path for each in endpoints])
    campaign = Campaign(len(endpoints) - (control is not None) or 1, earlier)
    audit_side_by_side(
        bundle, endpoints, out, parallel=parallel, finish=desk.take, progress=progress, campaign=campaign,
        stop_early=stop_early, among=among,
    )  # fmt: skip
    # 4.
    if len(desk.results) > 1 and among is ALONE:
        write_summary([result.entry for result in desk.results], out, paper=paper)
    return Casework(tuple(desk.results), desk.control)


def audit_bundles(
    bundles: Mapping[str, FingerprintBundle],
    endpoints: Sequence[Endpoint],
    out: Path,
    *,
    ledger: Path | None = None,
    **options: Any,
) -> Casework:
    """Audit endpoints with several bundles of one task, each into ``out/NAME@BUNDLE``; the summary corrects for all.

    What a bundle asks like one before it is asked once: the later audit takes the answer over, and says from where.

    Args:
        bundles: by the names that the folders bear.
        endpoints: who is asked.
        out: the folder of the audits' folders.
        ledger: the folder in which earlier audits are counted; ``out`` if None.
        options: of ``audit_and_report``, but for its controls.

    Raises:
        ConfigurationError: tasks differ, a bundle is named twice; also see ``audit_and_report``. Nothing was sent.
    """
    check_beside(bundles)
    marks, early, counts = [f"@{name}" for name in bundles], options.get("stop_early", False), []
    audits = [(bundle, Among(marks[at], tuple(marks[:at]))) for at, bundle in enumerate(bundles.values())]
    for bundle, among in audits:
        folders = [among.folder(out, endpoint.name) for endpoint in endpoints]
        counts.append(earlier_audits(ledger or out, bundle, [folder.path for folder in folders]))
        for endpoint, folder in zip(endpoints, folders, strict=True):
            prepare_folder(bundle, endpoint, folder, stop_early=early)
    cases = [
        audit_and_report(bundle, endpoints, out, among=among, earlier=earlier, **options)
        for (bundle, among), earlier in zip(audits, counts, strict=True)
    ]
    results = tuple(result for case in cases for result in case.results)
    write_summary([result.entry for result in results], out, paper=options.get("paper", "a4"))
    return Casework(results, None)


def _ordered(endpoints: Sequence[Endpoint], control: str | None) -> list[Endpoint]:
    """Put the control first."""
    names = [each.name for each in endpoints]
    if control is not None and control not in names:
        raise ConfigurationError(f"the control {control!r} is none of the endpoints: give one of {', '.join(names)}")
    return sorted(endpoints, key=lambda each: each.name != control)


class _Desk:
    """Takes what became of each endpoint, the control's first, so that the others say whether they stand."""

    def __init__(
        self, control: str | None, sealer: Sealer | None, paper: Paper, finish: Callable[[Result], None]
    ) -> None:
        self._name, self._sealer, self._paper, self._finish = control, sealer, paper, finish
        self.control: ControlRecord | None = None
        self._audited: AuditFolder | None = None
        self.results: list[Result] = []

    def take(self, audited: Audited) -> None:
        """Close an endpoint's folder; an error is its result, and no matter for the others."""
        is_control = audited.endpoint.name == self._name
        if is_control:
            self.control, self._audited = control_record(audited), audited.folder
        stands = None if self.control is None or is_control else self.control.passed
        report, error = None, audited.error
        try:
            if self.control is not None and self._audited is not None and not is_control:
                audited.folder.put_positive_control(self.control, self._audited)
            report = self._close(audited)
        except MetavAuditError as problem:
            error = problem
        self.results.append(Result(audited.endpoint, audited.folder, report, error, is_control, stands))
        self._finish(self.results[-1])

    def _close(self, audited: Audited) -> EvidenceReport | None:
        """Seal the audit, write its reports, list the hashes of all its files, and sign the list."""
        if audited.decision is None:
            return None
        if self._sealer is not None:
            seal_folder(audited.folder, self._sealer, datetime.now(UTC))
        report = report_of(audited.folder, audited.decision)
        save_reports(report, audited.folder, paper=self._paper)
        write_sums(audited.folder)
        if self._sealer is not None:
            close_folder(audited.folder, self._sealer.key, datetime.now(UTC))
        return report


def audit_coins(
    plan: CoinPlan,
    endpoint: Endpoint,
    out: Path,
    *,
    paper: Paper = "a4",
    progress: Callable[[Progress], None] | None = None,
) -> CoinDecision:
    """Ask an endpoint what accounts were served with coins, into ``out/NAME``: ask, decide, report, list the hashes.

    Arguments are those of ``audit_and_report``; the plan's copy in the folder is for its owner's eyes alone. Running
    again with the same folder asks only what is still open.

    Raises:
        MetavAuditError: see ``audit_endpoint``.
    """
    folder = AuditFolder(out / endpoint.name)
    transcript = audit_endpoint(plan, endpoint, folder.path, progress=progress)
    plan.save(folder / PLAN)
    return close_coins(folder, plan, transcript, paper=paper)


def audit_served(
    plan: ServedPlan,
    endpoint: Endpoint,
    out: Path,
    *,
    paper: Paper = "a4",
    progress: Callable[[Progress], None] | None = None,
) -> ServedDecision:
    """Ask an endpoint about what accounts were served, into ``out/NAME``; as ``audit_coins`` does.

    Raises:
        EvidenceError: the plan's answers are no rows of the log that it names; nothing was asked.
    """
    check_served(plan)
    folder = AuditFolder(out / endpoint.name)
    transcript = audit_endpoint(plan, endpoint, folder.path, progress=progress)
    plan.save(folder / SERVED_PLAN)
    return close_served(folder, plan, transcript, endpoint.operator, paper=paper)


def audit_integrity(
    plan: IntegrityPlan,
    endpoint: Endpoint,
    out: Path,
    *,
    paper: Paper = "a4",
    progress: Callable[[Progress], None] | None = None,
) -> IntegrityDecision:
    """Ask an endpoint whether it serves what was enrolled, as ``audit_coins`` does; refused with too few sessions."""
    check_enrolled(plan)
    folder = AuditFolder(out / endpoint.name)
    transcript = audit_endpoint(plan, endpoint, folder.path, progress=progress)
    plan.save(folder / INTEGRITY_PLAN)
    return close_integrity(folder, plan, transcript, paper=paper)
