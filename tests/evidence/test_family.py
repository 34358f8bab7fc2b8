"""What a verdict says of the ancestor's family, and of rivals, is checked by verify and by the independent script."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from metav_audit.errors import ConfigurationError
from metav_audit.evidence import make_commitment, write_sums
from metav_audit.report import write_reports
from metav_audit.verdict import AuditFolder
from metav_audit.verify import verify_folder
from tests.builders import ANCESTOR, linear_model, make_ancestor_bundle, make_bundle, make_siblings_bundle, make_task
from tests.evidence.conftest import signing_key
from tests.evidence.test_independent import NOW, script
from tests.folders import make_folder

TASK = make_task()
BUNDLE = make_ancestor_bundle(queries=12, task=TASK)
PLAIN = make_bundle(queries=12, task=TASK)
ALONE = replace(PLAIN, provenance={**PLAIN.provenance, "ancestor": ANCESTOR})


def written(folder, model, bundle, **changed):
    """An audit's folder whose verdict was changed afterwards, with all hashes mended."""
    made = make_folder(folder, model, bundle)
    write_reports(made)
    if changed:
        verdict = json.loads((made / "verdict.json").read_text())
        (made / "verdict.json").write_text(json.dumps(verdict | changed))
    write_sums(AuditFolder(made))
    return made


@pytest.mark.parametrize("distance", [0.03, 0.5, 3.0])
def test_the_script_agrees_on_the_family(tmp_path, distance):
    """For a copy, for a rival of the same ancestor and for a stranger to it."""
    made = written(tmp_path, linear_model(TASK, 8001, distance=distance), BUNDLE)
    assert script.check(made)
    assert [step.name for step in verify_folder(made) if not step.passed] == []


def test_a_family_s_p_value_that_does_not_follow_is_found(tmp_path):
    """By both."""
    made = written(tmp_path, linear_model(TASK, 8001, distance=0.5), BUNDLE, p_value_family=0.5)
    with pytest.raises(script.WrongError, match=r"p_value_family is 0\.03"):
        script.check(made)
    assert not all(step.passed for step in verify_folder(made))


def test_a_match_without_rivals_of_the_ancestor_is_found(tmp_path):
    """The figures bear it, and yet nobody knows how rivals who start from the ancestor would score."""
    copy = linear_model(TASK, 8001, distance=0.03)
    assert script.check(written(tmp_path / "honest", copy, ALONE))
    made = written(tmp_path / "forged", copy, ALONE, outcome="match")
    with pytest.raises(script.WrongError, match="usual among what starts from the ancestor"):
        script.check(made)


def test_evidence_states_what_the_target_was_tuned_from():
    """Without it there is no commitment; a bundle without siblings does not need it."""
    bundle = make_siblings_bundle()
    assert make_commitment(bundle, signing_key(1), claimed_at=NOW)
    assert make_commitment(make_bundle(), signing_key(1), claimed_at=NOW)
    silent = replace(bundle, provenance={**bundle.provenance, "training": {"program": "ours:train"}})
    with pytest.raises(ConfigurationError, match="does not state what the target was tuned from"):
        make_commitment(silent, signing_key(1), claimed_at=NOW)
