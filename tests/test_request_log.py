"""An audit by the owner's request log, end to end: whose requests a suspect learnt from, and how old the log is."""

from __future__ import annotations

import copy
import json
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import numpy as np
import pytest
from cryptography.exceptions import InvalidSignature

from metav_audit.audit import audit_endpoint, load_operator, post_time_stamp_query
from metav_audit.bundle import FingerprintBundle
from metav_audit.casework import audit_and_report
from metav_audit.errors import ConfigurationError, EvidenceError
from metav_audit.evidence import (
    check_asked,
    fetch_time_stamp,
    log_seals,
    log_sentence,
    read_certificates,
    seal_head,
)
from metav_audit.evidence.attestation import attest
from metav_audit.evidence.envelope import Statement
from metav_audit.evidence.request_log import PREDICATE_TYPE
from metav_audit.verdict import Verdict, VerdictOutcome
from metav_audit.verify import verify_folder
from tests.audit.helpers import endpoint
from tests.authority import Authority
from tests.builders import linear_model, make_siblings_bundle, make_task
from tests.evidence.conftest import signing_key
from tests.evidence.test_independent import script
from tests.logs import make_accounts_bundle, sealed_log
from tests.servers import ModelServer

TASK = make_task()
TARGET, OTHER = linear_model(TASK, 0), linear_model(TASK, 9, distance=3.0)
SENT = {name: TASK.domain.sample(120, np.random.default_rng(seed)) for name, seed in (("thief", 1), ("user", 2))}


def learnt(inputs: np.ndarray) -> np.ndarray:
    """A model that answers as the target on what the thief's account asked, and otherwise as another."""
    known = {each.tobytes() for each in SENT["thief"]}
    asked = np.array([np.asarray(each, np.float32).tobytes() in known for each in inputs])
    return np.where(asked[:, None], TARGET(inputs), OTHER(inputs))


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A log of two accounts, sealed, signed and stamped; and a bundle that asks twelve inputs of each."""
    folder = tmp_path_factory.mktemp("log")
    log = sealed_log(folder / "log", TASK, TARGET, SENT)
    with Authority(folder / "tsa") as authority:
        stamper = partial(
            fetch_time_stamp,
            url=authority.url,
            certificates=read_certificates(authority.root),
            post=post_time_stamp_query,
        )
        seal_head(log, signing_key(1), claimed_at=datetime.now(UTC), stamper=stamper)
    return log, make_accounts_bundle(log, seals=log_seals(log), lineages=50)


def test_whoever_learnt_from_an_account_s_requests_is_found_and_the_account_named(desk, tmp_path):
    """An innocent is not; all of it verifies, here and by the independent script."""
    _, bundle = desk
    with ExitStack() as stack:
        suspects = [
            replace(endpoint(stack.enter_context(ModelServer(model)).url, TASK), name=name)
            for name, model in {"a": learnt, "b": OTHER}.items()
        ]
        case = audit_and_report(bundle, suspects, tmp_path)
    thief, innocent = (result.verdict for result in case.results)
    assert (thief.outcome, thief.p_value_siblings) == (VerdictOutcome.MATCH, 1 / 40)
    assert [(one.name, one.requests, one.queries, one.answered) for one in thief.accounts] == [
        ("thief", 120, 12, 12),
        ("user", 120, 12, 12),
    ]
    assert thief.accounts[0].p_value == 1 / 40
    assert thief.accounts[1].p_value > 0.2
    assert innocent.outcome is not VerdictOutcome.MATCH
    for result in case.results:
        steps = verify_folder(result.folder)
        assert all(step.passed for step in steps), [step for step in steps if not step.passed]
        assert "queries are rows of the sealed log" in {step.name for step in steps}
        assert script.check(result.folder.path)
        written = json.loads((result.folder.path / "verdict.json").read_text())
        assert Verdict.from_json(written) == result.verdict
    found = json.loads((case.results[0].folder.path / "report.json").read_text())
    sentences = " ".join(found["wording"]["weight"])
    assert "The answers to inputs that the account thief sent to the owner's API are those of a model that" in sentences
    assert [one["account"] for one in found["requests"]["repeated"]] == 12 * ["thief"] + 12 * ["user"]
    page = (case.results[0].folder.path / "report.html").read_text()
    assert "The requests that were repeated" in page
    assert "The p-values of 2 accounts" in page
    other = json.loads((case.results[1].folder.path / "report.json").read_text())
    assert "the answers point to none" in " ".join(other["wording"]["weight"])


def altered(bundle: FingerprintBundle, change) -> FingerprintBundle:
    """The bundle, telling something else of its log."""
    told = copy.deepcopy(dict(bundle.provenance))
    change(told["log"])
    return replace(bundle, provenance=told)


FORGERIES = {
    "another input": lambda log: log["rows"][0].update(line=log["rows"][1]["line"]),
    "another account": lambda log: log["rows"][0].update(account=1),
    "another place": lambda log: log["rows"][0].update(place=log["rows"][1]["place"]),
    "a proof cut short": lambda log: log["rows"][0].update(proof=log["rows"][0]["proof"][:-1]),
    "no hexadecimal": lambda log: log["rows"][0].update(proof=["x"]),
    "another day": lambda log: log["rows"][0].update(day="2026-03-02"),
    "another root": lambda log: log["days"][0].update(root="00" * 32),
    "rows in another order": lambda log: log["rows"].reverse(),
    "a row fewer": lambda log: log["rows"].pop(),
    "another member": lambda log: log["accounts"][0].update(members=["nobody"]),
    "a seal of nothing": lambda log: log["seals"][0]["envelope"].update(payload="e30="),
    "no accounts": lambda log: log.pop("accounts"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_nothing_can_be_told_of_the_log_that_is_not_in_it(desk, forgery):
    """Every forgery is found, by the bundle's check and by the independent script."""
    _, bundle = desk
    forged = altered(bundle, FORGERIES[forgery])
    with pytest.raises(EvidenceError):
        check_asked(forged)
    with pytest.raises((script.WrongError, LookupError, ValueError, InvalidSignature)):
        script.check_log(forged.provenance["log"], bundle.inputs, bundle.verifier.tensors["accounts"])


@pytest.mark.parametrize("forgery", sorted(set(FORGERIES) - {"a seal of nothing"}))
def test_queries_that_are_no_rows_of_their_log_are_not_asked(desk, tmp_path, forgery):
    """The first request waits for the proofs: nobody listens at the address, and no folder is begun."""
    forged = altered(desk[1], FORGERIES[forgery])
    with pytest.raises(EvidenceError):
        audit_endpoint(forged, endpoint("http://127.0.0.1:9", TASK), tmp_path / "audit")
    assert not (tmp_path / "audit").exists()


def test_the_cover_says_how_old_the_log_is_beside_the_suspect(desk):
    """Older, younger, without a time stamp, without a seal; and where the auditor says nothing of the suspect."""
    log, bundle = desk
    assert "sealed by 20" in check_asked(bundle)
    told = partial(log_sentence, bundle)
    assert told({"suspect_known_since": "2100-01-01"}).endswith("the log is older, and was not made up for it.")
    assert "nothing shows that the log is older" in told({"suspect_known_since": "2020-01-01"})
    assert "was not stated" in told({})
    unsealed = altered(bundle, lambda told: told["seals"].clear())
    assert "which no seal covers" in log_sentence(unsealed, {"suspect_known_since": "2100-01-01"})
    assert "nothing shows that the log is older" in log_sentence(unsealed, {"suspect_known_since": "2100-01-01"})
    plain = json.loads(attest(Statement("request log", log.head, PREDICATE_TYPE, {}), signing_key(1), None).to_bytes())
    signed = altered(bundle, lambda told: told.update(seals=[plain]))
    assert "not time-stamped" in log_sentence(signed, {})
    assert log_sentence(make_siblings_bundle(), {}) is None
    broken = altered(bundle, FORGERIES["a seal of nothing"])
    assert "does not hold" in log_sentence(broken, {})


def test_the_auditor_dates_the_suspect(tmp_path):
    """In the endpoint file's table of who asks; a date and nothing else."""
    path = tmp_path / "endpoints.toml"
    path.write_text('[operator]\nname = "A"\nsuspect_known_since = 2026-05-01\n')
    assert load_operator(path).words == {"name": "A", "suspect_known_since": "2026-05-01"}
    path.write_text('[operator]\nsuspect_known_since = "spring"\n')
    with pytest.raises(ConfigurationError, match="suspect_known_since"):
        load_operator(path)
