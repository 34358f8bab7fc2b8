"""A whole audit, committed before and sealed after, on the command line: it verifies, and no alteration goes unseen."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
import zipfile
from pathlib import Path

import pytest

from metav_audit.cli import main
from metav_audit.errors import EvidenceError
from metav_audit.evidence import check_sums, closing_of, custody_of, make_key, pack_folder, unpacked, write_sums
from metav_audit.report import write_reports
from metav_audit.verdict import CLOSING, AuditFolder
from metav_audit.verify import Expected, verify_audit, verify_folder
from tests.authority import Authority
from tests.builders import linear_model, make_bundle, make_task
from tests.folders import rechain
from tests.scale import at_scale
from tests.servers import ModelServer

ALTERATIONS = at_scale(100, 500)
TASK = make_task()
BUNDLE = make_bundle(queries=8, task=TASK)


ENVIRONMENT = {"METAV_AUDIT_KEY_PASSPHRASE": "a passphrase for tests"}


@pytest.fixture(scope="module", autouse=True)
def passphrase():
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield


def call(*words) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(word) for word in words])
    return exit_.value.code or 0


class Parties:
    """An owner who commits, an auditor who seals, and an authority that stamps the time for both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder / "tsa")
        self.roots = folder / "roots.pem"
        self.roots.write_text(self.authority.roots)
        self.key_id = make_key(folder / "key.pem", ENVIRONMENT).key_id
        BUNDLE.save(folder / "bundle")

    def commit(self) -> None:
        with self.authority:
            stamp = ["--tsa", self.authority.url, "--tsa-cert", self.roots]
            assert call("commit", self.folder / "bundle", "--key", self.folder / "key.pem", *stamp) == 0

    def audit(self, out: str = "audits") -> Path:
        with self.authority, ModelServer(linear_model(TASK, 0)) as server:
            (self.folder / "endpoints.toml").write_text(
                '[operator]\nname = "A. Uditor"\nauthority = "contract 7, clause 3"\nkey = "key.pem"\n'
                f'tsa = "{self.authority.url}"\ntsa_cert = "roots.pem"\n[endpoints.suspect]\n'
                f'adapter = "open-inference-v2"\nurl = "{server.url}"\nmodel = "m"\n'
            )
            assert call("audit", self.folder / "bundle", self.folder / "endpoints.toml", "-o", self.folder / out) == 1
        return self.folder / out / "suspect"


@pytest.fixture(scope="module")
def parties(tmp_path_factory):
    made = Parties(tmp_path_factory.mktemp("parties"))
    made.commit()
    made.audit()
    return made


@pytest.fixture
def folder(parties, tmp_path):
    return shutil.copytree(parties.folder / "audits" / "suspect", tmp_path / "suspect")


def steps(folder, parties):
    return verify_folder(folder, Expected(parties.key_id, parties.key_id, parties.authority.roots))


def failed(folder, parties):
    return {step.name: step.detail for step in steps(folder, parties) if not step.passed}


def test_a_committed_and_sealed_audit_verifies(folder, parties):
    """Every step passes, and says who vouches, since when, and on whose authority."""
    said = {step.name: step.detail for step in steps(folder, parties)}
    assert failed(folder, parties) == {}
    assert said["commitment before the first query"].startswith("Pre-registered")
    assert parties.key_id in said["seal at the end"]
    assert "contract 7, clause 3" in said["chain of custody"]
    assert "clock" in said["chain of custody"]
    report = json.loads((folder / "report.json").read_bytes())
    assert report["custody"]["commitment"]["status"] == "claims to be pre-registered"
    assert report["custody"]["seal"]["status"] == "sealed"
    assert {"address"} <= set(report["identities"][0])


@pytest.mark.scaled
def test_every_altered_byte_is_caught_and_the_file_named(folder, parties):
    """A single byte at a random place of the folder, 500 times: the first step of verify names the file.

    That which signs the list is not in it, and has a step of its own.
    """
    rng = random.Random(5)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock"]
    sizes = [path.stat().st_size for path in files]
    for _ in range(ALTERATIONS):
        (path,) = rng.choices(files, sizes)
        before = path.read_bytes()
        place = rng.randrange(len(before))
        path.write_bytes(before[:place] + bytes([before[place] ^ rng.randint(1, 255)]) + before[place + 1 :])
        if path.name == CLOSING:
            audit = AuditFolder(folder)
            assert not closing_of(audit, audit.transcript(), parties.key_id).holds, place
        else:
            with pytest.raises(EvidenceError) as caught:
                check_sums(AuditFolder(folder))
            assert path.relative_to(folder).as_posix() in str(caught.value), (path, place)
        path.write_bytes(before)
    assert failed(folder, parties) == {}


EVIDENCE = ("bundle/manifest.json", "bundle/tensors.safetensors", "bundle/commitment.json", "transcript.jsonl")
SEALED = (*EVIDENCE, "bodies.pack", "verdict.json", "seal.json")


@pytest.mark.soak
@pytest.mark.parametrize("name", SEALED)
def test_an_alteration_is_caught_without_the_list_of_hashes(folder, parties, name):
    """A forger who writes the list of hashes anew still meets chain, seal, hashes and recomputation."""
    path, rng = folder / name, random.Random(name)
    for _ in range(at_scale(2, 20)):
        before = path.read_bytes()
        place = rng.randrange(len(before))
        path.write_bytes(before[:place] + bytes([before[place] ^ 1]) + before[place + 1 :])
        write_sums(AuditFolder(folder))
        assert failed(folder, parties), (name, place)
        path.write_bytes(before)


def test_whatever_is_sealed_cannot_be_changed_by_any_file(folder, parties):
    """Each file altered or gone, with the list written anew: the closing does not hold, nor for evidence the seal."""
    audit = AuditFolder(folder)
    bundle, transcript = audit.bundle(), audit.transcript()
    unlisted = (".lock", "SHA256SUMS", "closing.json", "seal.json")
    files = [each for each in sorted(folder.rglob("*")) if each.is_file() and each.name not in unlisted]
    for path in files:
        before = path.read_bytes()
        for after in (before + b" ", None):
            path.unlink() if after is None else path.write_bytes(after)
            write_sums(audit)
            assert not closing_of(audit, transcript, parties.key_id).holds, path
            if not path.name.startswith("report."):
                assert not custody_of(audit, bundle, transcript, records=()).seal.holds, path
            path.write_bytes(before)
    write_sums(audit)
    assert closing_of(audit, transcript, parties.key_id).holds
    (folder / "closing.json").unlink()
    assert not closing_of(audit, transcript).holds


def test_each_party_s_key_is_asked_for_by_its_own_option(folder, parties, tmp_path):
    """Whoever is named must have signed; without the auditor nothing is authenticated, whoever committed."""
    other, roots = make_key(tmp_path / "other.pem", ENVIRONMENT).key_id, parties.authority.roots
    cases = {
        Expected(): (6, "NOT AUTHENTICATED: it may be anyone's"),
        Expected(owner=parties.key_id): (6, "NOT AUTHENTICATED: whoever made it"),
        Expected(roots=roots): (6, "NOT AUTHENTICATED: whoever made it"),
        Expected(auditor=parties.key_id): (0, "AUTHENTICATED: sealed by the auditor's key"),
        Expected(parties.key_id, parties.key_id, roots): (0, "AUTHENTICATED"),
        Expected(owner=other, auditor=parties.key_id): (4, "AUTHENTICATED"),
        Expected(auditor=other): (4, "NOT AUTHENTICATED: the key"),
        Expected(parties.key_id, parties.key_id, Authority(tmp_path / "tsa").roots): (4, "NOT AUTHENTICATED: the key"),
    }
    for expected, (code, said) in cases.items():
        found = verify_audit(folder, expected)
        assert (found.exit_code, found.authenticity[: len(said)]) == (code, said), expected


def test_stripped_of_seal_and_commitment_it_is_nobody_s(folder, parties):
    """Whoever strips a folder of all signatures has one that says so, whatever keys the reader names."""
    for name in ("seal.json", "closing.json", "bundle/commitment.json"):
        (folder / name).unlink()

    def change(records):
        records[0]["operator"].pop("key_id")
        records[0]["commitment_sha256"] = None

    rechain(folder / "transcript.jsonl", change)
    AuditFolder(folder).record(AuditFolder(folder).bundle(), AuditFolder(folder).transcript())
    write_reports(folder)
    write_sums(AuditFolder(folder))
    assert verify_audit(folder).exit_code == 6
    for named in (
        Expected(owner=parties.key_id),
        Expected(auditor=parties.key_id),
        Expected(roots=parties.authority.roots),
    ):
        assert verify_audit(folder, named).exit_code == 4


def test_a_transcript_of_another_time_than_its_seal_is_found(folder, parties):
    """A transcript of 2099 under a seal of today, with everything else mended."""
    from datetime import UTC, datetime

    from metav_audit.errors import EvidenceError as Refused
    from metav_audit.evidence import Sealer, read_key, seal_folder

    def change(records):
        for record in records:
            record["at"] = record["at"].replace(record["at"][:4], "2099", 1)

    rechain(folder / "transcript.jsonl", change)
    AuditFolder(folder).record(AuditFolder(folder).bundle(), AuditFolder(folder).transcript())
    (folder / "seal.json").unlink()
    key = read_key(str(parties.folder / "key.pem"), ENVIRONMENT)
    with pytest.raises(Refused, match="which is after the seal"):
        seal_folder(AuditFolder(folder), Sealer(key, parties.authority.stamp), datetime.now(UTC))


def test_in_a_closed_folder_other_reports_are_written_elsewhere(folder, parties, tmp_path, capsys):
    """The same reports are no matter; another paper is refused, and goes elsewhere with -o."""
    assert call("report", folder) == 0
    assert call("report", folder, "--paper", "letter") == 2
    assert "write it with -o" in capsys.readouterr().err
    assert call("report", folder, "--paper", "letter", "-o", tmp_path / "other") == 0
    assert (tmp_path / "other" / "report.pdf").exists()
    assert failed(folder, parties) == {}


def reorder(records):
    records[3], records[5] = records[5], records[3]


def drop(records):
    del records[-4:-2]


def duplicate(records):
    records.insert(4, dict(records[3]))


def replay(records):
    """Answer one query with the recorded answer to another, which it is not by being asked again."""
    answered = [record for record in records if record.get("answers")]
    other = next(record for record in answered if record["answers"] != answered[-3]["answers"])
    answered[-3].update({name: other[name] for name in ("answers", "body", "response_sha256")})


@pytest.mark.parametrize("change", [reorder, drop, duplicate, replay])
@pytest.mark.parametrize("chained", [False, True])
def test_reordered_dropped_duplicated_and_replayed_records_are_caught(folder, parties, change, chained):
    """Chained anew or not: without the chain it breaks, and with it the seal does not hold."""
    path = folder / "transcript.jsonl"
    if chained:
        rechain(path, change)
    else:
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
        change(lines)
        encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        path.write_bytes(b"".join(encoder.encode(line).encode() + b"\n" for line in lines))
    write_sums(AuditFolder(folder))
    failures = failed(folder, parties)
    assert "transcript intact" in failures or "seal at the end" in failures


@pytest.mark.soak
def test_a_chain_sealed_again_with_another_key_is_caught(folder, parties, tmp_path):
    """A forger with a key of their own: the transcript named the auditor's, and the reader expects it."""
    forger = make_key(tmp_path / "forger.pem", ENVIRONMENT)
    rechain(folder / "transcript.jsonl", lambda records: records[0]["operator"].update(key_id=forger.key_id))
    from datetime import UTC, datetime

    from metav_audit.evidence import Sealer, close_folder, read_key, seal_folder
    from metav_audit.transcript import load_transcript

    AuditFolder(folder).record(BUNDLE, load_transcript(folder / "transcript.jsonl"))
    for name in ("seal.json", CLOSING):
        (folder / name).unlink()
    sealer = Sealer(read_key(str(tmp_path / "forger.pem"), ENVIRONMENT), parties.authority.stamp)
    seal_folder(AuditFolder(folder), sealer, datetime.now(UTC))
    write_reports(folder)
    write_sums(AuditFolder(folder))
    close_folder(AuditFolder(folder), sealer.key, datetime.now(UTC))
    assert all(step.passed for step in verify_folder(folder)), "it is consistent in itself"
    assert list(failed(folder, parties)) == ["seal at the end", "list of all files signed"]


def test_a_missing_seal_is_caught(folder, parties):
    """The transcript's first record names the key that was to seal it."""
    (folder / "seal.json").unlink()
    write_sums(AuditFolder(folder))
    assert "is missing" in failed(folder, parties)["seal at the end"]


def test_a_swapped_bundle_is_caught(folder, parties):
    """Another bundle, though intact, is not the one that was asked."""
    make_bundle(seed=5, queries=8, task=TASK).save(folder / "bundle")
    write_sums(AuditFolder(folder))
    assert "transcript recorded with this bundle" in failed(folder, parties)


@pytest.mark.soak
def test_a_commitment_after_the_first_query_is_caught(tmp_path):
    """The audit began without one: one that is put there afterwards is not what the transcript named."""
    parties = Parties(tmp_path)
    folder = parties.audit()
    said = {step.name: step.detail for step in verify_folder(folder)}
    assert "no commitment" in said["commitment before the first query"]
    assert "there is none" in failed(folder, parties)["commitment before the first query"]
    parties.commit()
    shutil.copy(parties.folder / "bundle" / "commitment.json", folder / "bundle" / "commitment.json")
    write_sums(AuditFolder(folder))
    assert "is not the one that the transcript named" in failed(folder, parties)["commitment before the first query"]


def test_a_late_time_stamp_is_not_called_pre_registered(folder, parties):
    """A transcript that claims to have begun before the stamp: the step says that it was late."""

    def change(records):
        records[0]["at"] = "2020-01-01T00:00:00.000Z"

    rechain(folder / "transcript.jsonl", change)
    write_sums(AuditFolder(folder))
    assert "was not time-stamped before" in failed(folder, parties)["commitment before the first query"]


def test_running_again_seals_nothing_anew(parties):
    """A finished audit keeps its seal, byte for byte."""
    seal = (parties.folder / "audits" / "suspect" / "seal.json").read_bytes()
    with parties.authority:
        words = [parties.folder / "bundle", parties.folder / "endpoints.toml", "-o", parties.folder / "audits"]
        assert call("audit", *words) == 1
    assert (parties.folder / "audits" / "suspect" / "seal.json").read_bytes() == seal


def test_an_archive_verifies_like_its_folder(folder, parties, tmp_path, capsys):
    """Packed twice it is the same file; verify takes it; an altered one fails."""
    for name in ("a.zip", "b.zip"):
        assert call("pack", folder, "-o", tmp_path / name) == 0
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert call("verify", tmp_path / "a.zip", "--auditor", parties.key_id, "--tsa-cert", parties.roots) == 0
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "a.zip").write_bytes(content)
    assert call("verify", tmp_path / "a.zip") == 4
    assert "archive" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out", "link"])
def test_an_archive_that_reaches_outside_is_refused(tmp_path, name):
    """Nothing is written outside the temporary folder, and no link is made."""
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = ((stat.S_IFLNK if name == "link" else stat.S_IFREG) | 0o644) << 16
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(EvidenceError, match="no plain file below it"), unpacked(tmp_path / "bad.zip"):
        pass


def test_packing_leaves_nothing_behind_when_it_fails(folder, tmp_path):
    """A folder that cannot be written to gets no half-made archive."""
    from metav_audit.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match="cannot pack"):
        pack_folder(folder, tmp_path / "none" / "a.zip")
    assert os.listdir(tmp_path) == ["suspect"]
