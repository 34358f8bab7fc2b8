"""A rebuild's statement: what is said of a bundle that somebody made again, or nobody."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from metav_audit.evidence import AttestedStatus, make_rebuild_statement, rebuild_of
from metav_audit.files import write_atomically
from metav_audit.report import load_report
from metav_audit.report.layout.cover import lay_out_cover
from metav_audit.verdict import AuditFolder
from metav_audit.verify import verify_folder
from tests.builders import linear_model, make_task
from tests.evidence.conftest import signing_key
from tests.evidence.test_independent import script
from tests.folders import close, make_folder

CLAIMED = datetime(2026, 3, 4, 8, tzinfo=UTC)
STEP = "bundle made again by another party"


def stated(bundle, sha256=None, differences=(), key=None):
    return make_rebuild_statement(
        bundle, sha256 or bundle.sha256, differences, key or signing_key(7), claimed_at=CLAIMED
    ).to_bytes()


def test_its_absence_is_said(bundle):
    """Nobody signed: then the calibration is the owner's word."""
    said = rebuild_of(bundle, None)
    assert said.status is AttestedStatus.NONE
    assert "the owner's word" in said.sentence


def test_the_same_bundle_is_borne_out(bundle):
    """By whose key, and whether that is the owner's own."""
    key = signing_key(7)
    carrying = replace(bundle, rebuild=stated(bundle))
    assert rebuild_of(carrying, None).status is AttestedStatus.REBUILT
    assert f"says the key {key.public.key_id}" in rebuild_of(carrying, signing_key(1).public.key_id).sentence
    assert "the owner's own key" in rebuild_of(carrying, key.public.key_id).sentence


@pytest.mark.parametrize(
    "change",
    [
        lambda bundle: stated(bundle, "0" * 64),
        lambda bundle: stated(bundle, differences=["calibration.answers: 4 % of its numbers differ"]),
        lambda bundle: stated(replace(bundle, name="another")),
        lambda bundle: stated(bundle)[:-9],
    ],
)
def test_what_does_not_bear_it_out_is_invalid(bundle, change):
    """Another hash, a difference, another bundle, a damaged file."""
    assert rebuild_of(replace(bundle, rebuild=change(bundle)), None).status is AttestedStatus.INVALID


@pytest.mark.parametrize("same", [None, True, False])
def test_cover_verify_and_script_say_so(tmp_path, same):
    """Absent, borne out, or not: a line of the cover, a step, and the independent script's word."""
    folder = AuditFolder(make_folder(tmp_path / "suspect", linear_model(make_task(), 0)))
    if same is not None:
        differences = [] if same else ["rates: tuned"]
        write_atomically(folder / "bundle/rebuild.json", stated(folder.bundle(), differences=differences))
    close(folder, sealed=False)
    rows = dict(lay_out_cover(load_report(folder)).glance)
    step = {step.name: step for step in verify_folder(folder)}[STEP]
    assert step.status == {None: "none", True: "pass", False: "FAIL"}[same]
    assert {None: "Nobody has signed", True: "came out the same", False: "does not bear it out"}[same] in rows[
        "Rebuild"
    ]
    if same is False:
        with pytest.raises(script.WrongError, match="came out different"):
            script.check(folder.path)
    else:
        assert script.check(folder.path).startswith("match")
