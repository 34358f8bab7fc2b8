"""A key's commitments are numbered and chained: one that was left out, or a second of the same number, shows."""

from __future__ import annotations

import json

import pytest

from metav_audit.errors import ConfigurationError, EvidenceError
from metav_audit.evidence import (
    check_commitment,
    check_commitments,
    make_commitment,
    opened_register,
    registration_of,
)
from metav_audit.evidence.attestation import attest
from metav_audit.evidence.envelope import Statement
from metav_audit.files import write_atomically
from metav_audit.verify import Expected, verify_folder
from tests import folders
from tests.builders import make_bundle
from tests.evidence.conftest import signing_key
from tests.evidence.test_commitment import CLAIMED, LATER, altered, carrying
from tests.evidence.test_independent import script

STEP = "the key's commitments, none left out"


def committed(path, key, bundles):
    made = []
    for bundle in bundles:
        with opened_register(path) as register:
            made.append(make_commitment(bundle, key, claimed_at=CLAIMED, register=register))
    return made


@pytest.fixture(scope="module")
def three(key, tmp_path_factory):
    return committed(tmp_path_factory.mktemp("keys") / "owner.pem.commitments", key, map(make_bundle, range(3)))


def test_each_states_its_number_and_the_one_before(three, key):
    """All of them, in any order, are numbered and chained."""
    assert check_commitments([three[2], three[0], three[1], three[0]], key.public.key_id).startswith("all 3 ")
    places = [json.loads(each.envelope.payload)["predicate"]["register"] for each in three]
    assert [place["number"] for place in places] == [1, 2, 3]
    assert [place["previous"] for place in places] == ["0" * 64, three[0].envelope_sha256, three[1].envelope_sha256]


@pytest.mark.parametrize("shown", [(1,), (2,), (0, 2)])
def test_one_that_was_left_out_is_missing(three, key, shown):
    """Of two bundles committed, the one that accuses cannot be shown as if it were the only one."""
    with pytest.raises(EvidenceError, match="is not here: ask its signer"):
        check_commitments([three[at] for at in shown], key.public.key_id)


def test_a_second_of_the_same_number_shows_two_registers(three, key, tmp_path):
    """Whoever begins a register anew has two commitments of one number, and both turn up."""
    (other,) = committed(tmp_path / "another", key, [make_bundle(9)])
    with pytest.raises(EvidenceError, match="two commitments of the number 1"):
        check_commitments([*three, other], key.public.key_id)
    chained = [three[0], committed(tmp_path / "another", key, [make_bundle(8)])[0]]
    with pytest.raises(EvidenceError, match="names another as the one before"):
        check_commitments(chained, key.public.key_id)


def test_only_the_key_s_own_count(three, bundle, key):
    """Another's, an altered one, and one without a number are refused."""
    unnumbered = make_commitment(bundle, key, claimed_at=CLAIMED)
    stranger = make_commitment(bundle, signing_key(5), claimed_at=CLAIMED)
    spoilt = altered(three[0], lambda fields: fields["predicate"]["register"].update(number=2))
    for wrong, said in ((unnumbered, "is not numbered"), (stranger, "was expected"), (spoilt, "does not hold")):
        with pytest.raises(EvidenceError, match=said):
            check_commitments([*three, wrong], key.public.key_id)


@pytest.mark.parametrize("place", [{"number": 0, "previous": "0" * 64}, {"number": 2, "previous": "0" * 64}, {}, "1"])
def test_a_misstated_place_does_not_hold(bundle, key, place):
    """A number from 1, and the hash of the one before it."""
    made = make_commitment(bundle, key, claimed_at=CLAIMED)
    fields = json.loads(made.envelope.payload)
    fields["predicate"]["register"] = place
    statement = Statement(bundle.name, bundle.sha256, fields["predicateType"], fields["predicate"])
    findings = check_commitment(attest(statement, key, None), bundle)
    assert "place in the key's register" in findings.problem


def test_the_report_says_which_number_it_is(three, key):
    """And what to ask for."""
    said = [registration_of(carrying(make_bundle(at), three[at]), LATER).sentence for at in range(3)]
    assert "the first that the key states" in said[0]
    assert "commitment number 2: ask for the one before it" in said[1]
    assert "commitment number 3: ask for the 2 before it" in said[2]
    bare = registration_of(carrying(make_bundle(0), make_commitment(make_bundle(0), key, claimed_at=CLAIMED)), LATER)
    assert "it is not numbered" in bare.sentence


@pytest.mark.parametrize("content", [b"{}\n", b"junk", b'{"number":2}\n', b"\xff\n"])
def test_a_damaged_register_is_refused(tmp_path, content):
    """Nothing is numbered by guesswork."""
    (tmp_path / "register").write_bytes(content)
    with pytest.raises(ConfigurationError, match="no register of commitments"), opened_register(tmp_path / "register"):
        pass


def test_two_commitments_are_not_made_at_once(tmp_path):
    """Or both had the same number; and a link is not followed."""
    path = tmp_path / "register"
    with opened_register(path), pytest.raises(ConfigurationError, match="wait for it"), opened_register(path):
        pass
    (tmp_path / "link").symlink_to(tmp_path / "register")
    with pytest.raises(ConfigurationError, match="cannot write the register"), opened_register(tmp_path / "link"):
        pass


def test_verify_and_the_script_ask_for_what_is_missing(tmp_path, monkeypatch):
    """The second of two is shown: named alone it fails, beside the first it passes."""
    first, second = committed(tmp_path / "register", folders.OWNER, [make_bundle(4), make_bundle()])
    monkeypatch.setattr(folders, "make_commitment", lambda *_, **__: second)
    folder = folders.make_sealed_folder(tmp_path / "audits")
    write_atomically(tmp_path / "first.json", first.to_bytes())
    alone, both = (
        {step.name: step.status for step in verify_folder(folder, Expected(commitments=shown))}
        for shown in ((second,), (first,))
    )
    assert (alone[STEP], both[STEP]) == ("FAIL", "pass")
    assert script.check(folder, commitments=[tmp_path / "first.json"]).startswith("match")
    with pytest.raises(script.WrongError, match="is not here"):
        script.check(folder, commitments=[folder / "bundle/commitment.json"])
