"""The decision: bundle and transcript in, verdict out; pure, offline, the same every time."""

from __future__ import annotations

from dataclasses import replace

from metav_audit.bundle import FingerprintBundle
from metav_audit.errors import TranscriptError
from metav_audit.statistics import verbal
from metav_audit.task import features
from metav_audit.transcript import Transcript
from metav_audit.verdict.blind import Controls, score_controls
from metav_audit.verdict.reading import _too_little, find_faults, view_of
from metav_audit.verdict.rule import Judgement, Rule, check_table, guard
from metav_audit.verdict.sanity import run_sanity_controls, sanity_seed
from metav_audit.verdict.verdict import Verdict, VerdictOutcome


def decide(bundle: FingerprintBundle, transcript: Transcript, controls: Controls | None = None) -> Verdict:
    """Decide what the answers say of the suspect.

    1. The transcript belongs to the bundle.
    2. The answers become canonical features with a mask.
    3. If too little was answered, or the answers are not those of one model of the task, no verdict is given.
    4. The meta-verifier scores the suspect, and every calibration model through the same view.
    5. A likelihood ratio weighs the two propositions, from the bundle's table where all is shown and answered, and
       otherwise fitted to what the same view shows of the calibration.
    6. Two conformal p-values say how the score sits among independents and among derived models, and so decide, unless
       the likelihood ratio contradicts them. Behind noise they have to say the same without noise on the calibration.
    7. The same rule judges the sanity controls, and a third party's blind controls where there are any: if it fails
       on them, it decides nothing.
    8. A match stands only where the calibration knows independents of the target's own architecture.

    Raises:
        TranscriptError: the transcript or the controls were recorded with another bundle.
        AnswerError: an answer does not fit the task.
        BundleError: the bundle's table of likelihood ratios does not follow from its calibration.
    """
    # 1.
    if transcript.bundle_sha256 != bundle.sha256 or len(transcript.exchanges) != len(bundle.inputs):
        raise TranscriptError("the transcript was recorded with another bundle: give the bundle whose hash it names")
    if controls is not None and controls.bundle_sha256 != bundle.sha256:
        raise TranscriptError("the controls were asked another bundle's fingerprint: ask them this one's")
    # 2.
    shown = features(transcript.answers, bundle.task.output, transcript.endpoint.scores)
    # 3.
    reasons = (*_too_little(shown), *find_faults(bundle, transcript, shown))
    if reasons:
        return _verdict(bundle, transcript, reasons, None)
    # 4.
    score = float(bundle.verifier.scores(shown.values[None], shown.mask[None])[0])
    view = view_of(bundle, transcript)
    rule = Rule.through(bundle, view, shown.answered)
    # 5.
    if rule.weight is bundle.weight:
        check_table(bundle, rule.held_out)
    # 6.
    judgement = rule.judge(score)
    # 7.
    seed, promised = sanity_seed(bundle.sha256, transcript.head), bundle.rates.false_match
    sanity = run_sanity_controls(shown, bundle.reference, bundle.task.output, view, rule, promised, seed)
    blind = None
    if controls is not None:
        lineages = len(rule.held_out.lineage_scores(derived=False))
        blind = score_controls(controls, bundle.task.output, view, shown.answered, rule, promised, lineages)
    failures = (*sanity.failures, *(blind.failures if blind else ()))
    # 8.
    judgement = replace(judgement, outcome=VerdictOutcome.INCONCLUSIVE) if failures else guard(judgement, rule.held_out)
    verdict = _verdict(bundle, transcript, failures or (judgement.reason,), judgement)
    return replace(verdict, sanity=sanity, controls=blind)


def _verdict(
    bundle: FingerprintBundle, transcript: Transcript, reasons: tuple[str, ...], judgement: Judgement | None
) -> Verdict:
    lineages = {(card.derived, card.lineage) for card in bundle.calibration.models}
    derived = sum(side for side, _ in lineages)
    return Verdict(
        outcome=judgement.outcome if judgement else VerdictOutcome.INCONCLUSIVE,
        score=judgement.score if judgement else None,
        p_value=judgement.p_value if judgement else None,
        p_value_derived=judgement.p_value_derived if judgement else None,
        log10_lr=judgement.log10_lr if judgement else None,
        log10_lr_bounds=judgement.log10_lr_bounds if judgement else None,
        verbal=verbal(judgement.log10_lr) if judgement else None,
        independents=len(lineages) - derived,
        derived=derived,
        false_match_rate=bundle.rates.false_match,
        false_no_match_rate=bundle.rates.false_no_match,
        queries=len(bundle.inputs),
        answered=sum(answer is not None for answer in transcript.answers),
        requests=transcript.requests,
        reasons=reasons,
        bundle_sha256=bundle.sha256,
        transcript_sha256=transcript.head,
        endpoint=transcript.endpoint.name,
        url=transcript.endpoint.url,
        view=view_of(bundle, transcript).words(bundle.task.output),
    )
