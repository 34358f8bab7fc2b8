"""``metav-audit keygen`` and ``commit``: from a bundle to an audit's folder that shows when the bundle was fixed."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from metav_audit.audit import prepare_folder
from metav_audit.bundle import FingerprintBundle
from metav_audit.cli import main
from metav_audit.config import PASSPHRASE
from metav_audit.evidence import AttestedStatus, load_attestation, registration_of
from metav_audit.verdict import AuditFolder
from tests.audit.helpers import endpoint
from tests.authority import Authority
from tests.builders import make_bundle

PHRASE = "correct horse battery"
LATER = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def run(capsys, monkeypatch):
    monkeypatch.setenv(PASSPHRASE, PHRASE)

    def call(*words):
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        shown = capsys.readouterr()
        assert PHRASE not in shown.out + shown.err
        return end.value.code or 0, shown.out, shown.err

    return call


@pytest.fixture
def desk(tmp_path, run):
    """A folder with a bundle and a key."""
    make_bundle().save(tmp_path / "bundle")
    run("keygen", tmp_path / "owner.pem")
    return tmp_path


def test_a_key_a_commitment_and_an_audit_that_takes_it_along(run, desk):
    """The whole way: the key id is printed, the stamp is told, and the audit's copy is pre-registered."""
    code, out, _ = run("keygen", desk / "other.pem")
    assert (code, out.split()[0]) == (0, f"{desk / 'other.pem'}.pub")
    with Authority(desk / "tsa") as authority:
        stamping = ("--tsa", authority.url, "--tsa-cert", authority.root)
        code, out, err = run("commit", desk / "bundle", "--key", desk / "other.pem", *stamping)
    assert (code, out) == (0, f"{desk / 'bundle' / 'commitment.json'}\n")
    assert "time stamp: " in err
    assert "by the time-stamp authority CN=Time,O=Test" in err
    bundle = FingerprintBundle.load(desk / "bundle")
    prepare_folder(bundle, endpoint("http://127.0.0.1:9", bundle.task), AuditFolder(desk / "audit"))
    assert registration_of(AuditFolder(desk / "audit").bundle(), LATER).status is AttestedStatus.CLAIMED


def test_an_audit_keeps_the_first_commitment_that_it_got(run, desk):
    """A commitment that comes later is added where there was none, and never takes another's place."""
    bare = FingerprintBundle.load(desk / "bundle")
    suspect = endpoint("http://127.0.0.1:9", bare.task)
    prepare_folder(bare, suspect, AuditFolder(desk / "audit"))
    for number in range(2):
        run("commit", desk / "bundle", "--key", desk / "owner.pem", "-o", desk / f"{number}.json")
        (desk / "bundle" / "commitment.json").write_bytes((desk / f"{number}.json").read_bytes())
        prepare_folder(FingerprintBundle.load(desk / "bundle"), suspect, AuditFolder(desk / "audit"))
    prepare_folder(bare, suspect, AuditFolder(desk / "audit"))
    first = (desk / "0.json").read_bytes()
    assert first != (desk / "1.json").read_bytes()
    assert (desk / "audit" / "bundle" / "commitment.json").read_bytes() == first


def test_without_an_authority_a_warning_says_what_is_missing(run, desk, monkeypatch):
    """Signed alone, with a key from a variable, into another file."""
    monkeypatch.setenv("OWNER_KEY", (desk / "owner.pem").read_text())
    words = ("commit", desk / "bundle", "--key", "env:OWNER_KEY", "-o", desk / "mine.json")
    code, _, err = run(*words)
    assert (code, "name its register" in err) == (2, True)
    code, out, err = run(*words, "--register", desk / "numbers")
    assert (code, out) == (0, f"{desk / 'mine.json'}\n")
    assert "warning: without --tsa" in err
    assert load_attestation(desk / "mine.json").time_stamp is None
    assert registration_of(FingerprintBundle.load(desk / "bundle"), LATER).status is AttestedStatus.NONE


def test_the_commitments_of_a_key_are_numbered_beside_it(run, desk):
    """One after the other, whatever they commit to; a reader of the second asks for the first."""
    for number in range(2):
        run("commit", desk / "bundle", "--key", desk / "owner.pem", "-o", desk / f"{number}.json")
    lines = (desk / "owner.pem.commitments").read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == [1, 2]
    assert (desk / "owner.pem.commitments").stat().st_mode & 0o077 == 0
    made = [load_attestation(desk / f"{number}.json") for number in range(2)]
    assert [json.loads(line)["sha256"] for line in lines] == [each.envelope_sha256 for each in made]


def test_nothing_is_written_when_the_authority_fails(run, desk):
    """Its fault is one line and exit code 4; the bundle stays as it was."""
    with Authority(desk / "tsa") as authority:
        authority.change = lambda answer: answer[:-1]
        stamping = ("--tsa", authority.url, "--tsa-cert", authority.root)
        code, out, err = run("commit", desk / "bundle", "--key", desk / "owner.pem", *stamping)
    assert (code, out, err.count("\n")) == (4, "", 1)
    assert not (desk / "bundle" / "commitment.json").exists()
    assert (desk / "owner.pem.commitments").read_bytes() == b"", "what was not made has no number"


def test_a_commitment_is_never_replaced(run, desk):
    """A second one is refused before anything is signed or sent."""
    run("commit", desk / "bundle", "--key", desk / "owner.pem")
    before = (desk / "bundle" / "commitment.json").read_bytes()
    with Authority(desk / "tsa") as authority:
        stamping = ("--tsa", authority.url, "--tsa-cert", authority.root)
        code, _, err = run("commit", desk / "bundle", "--key", desk / "owner.pem", *stamping)
    assert (code, authority.queries) == (2, 0)
    assert "never overwritten" in err
    assert (desk / "bundle" / "commitment.json").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["keygen"], 2, "Missing argument 'KEY'"),
        (["keygen", "@/owner.pem"], 2, "never overwritten"),
        (["commit", "@/bundle"], 2, "--key"),
        (["commit", "@/none", "--key", "@/owner.pem"], 2, "there is no bundle"),
        (["commit", "@/bundle", "--key", "@/none.pem"], 2, "cannot read the key"),
        (["commit", "@/bundle", "--key", "env:NOT_SET"], 2, "NOT_SET is not set"),
        (["commit", "@/bundle", "--key", "-----BEGIN PRIVATE KEY-----hush"], 2, "literal"),
        (["commit", "@/bundle", "--key", "@/owner.pem", "--tsa", "http://127.0.0.1:9"], 2, "go together"),
        (["commit", "@/bundle", "--key", "@/owner.pem", "--tsa-cert", "@/x.pem"], 2, "go together"),
        (["commit", "@/bundle", "--key", "@/owner.pem", "--tsa", "x", "--tsa-cert", "@/x.pem"], 2, "cannot read"),
        (["commit", "@/bundle", "--key", "@/owner.pem", "-o", "@/owner.pem"], 2, "never overwritten"),
    ],
)  # fmt: skip
def test_whatever_is_wrong_is_one_line(run, desk, words, code, said):
    """And the documented exit code; nothing secret is repeated."""
    got, out, err = run(*(word.replace("@", str(desk)) for word in words))
    assert (got, out, err.count("\n")) == (code, "", 1), err
    assert said in err
    assert "hush" not in err


def test_no_passphrase_no_key(run, tmp_path, monkeypatch):
    """A key is never kept in the clear."""
    monkeypatch.delenv(PASSPHRASE)
    code, _, err = run("keygen", tmp_path / "owner.pem")
    assert (code, err.count("\n")) == (2, 1)
    assert PASSPHRASE in err


def test_a_commitment_s_file_holds_no_private_key(run, desk):
    """Envelope, public key, time stamp: nothing else."""
    run("commit", desk / "bundle", "--key", desk / "owner.pem")
    text = (desk / "bundle" / "commitment.json").read_text()
    assert set(json.loads(text)) == {"format", "schema_version", "envelope", "public_key", "time_stamp"}
    assert "PRIVATE" not in text
