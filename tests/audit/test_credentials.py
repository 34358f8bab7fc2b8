"""Credentials of a cloud's own library: renewed in mid-run, granted by name, and in no artefact."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from metav_audit.adapter import Request
from metav_audit.audit import Endpoint, Grant, audit_endpoint, load_endpoints
from metav_audit.audit.endpoint.credentials import registry
from metav_audit.audit.endpoint.credentials.base import Lease, RenewalError
from metav_audit.audit.endpoint.credentials.leases import AGAIN, MARGIN, Leases
from metav_audit.audit.endpoint.secrets import Secrets
from metav_audit.cli import main
from metav_audit.errors import ConfigurationError, RemoteError, SecretError
from tests.audit.helpers import Pauses
from tests.audit.leased import Giver, Leased, LeasedKeys, bearer, spellings
from tests.audit.test_secrets import unpacked
from tests.builders import linear_model, make_bundle, make_task
from tests.servers import ModelServer, Reply, free_port

SCRIPT = Path(__file__).parents[2] / "docs" / "verify_independently.py"
TASK = make_task()
BUNDLE = make_bundle(queries=8, task=TASK)
TARGET = linear_model(TASK, 0)
FIELDS = {"adapter": "json-template", "body": {"inputs": "{{inputs}}"}, "answer": "result.rows"}
LEASED = {"source": "leased"}
SIGNING = {"kind": "aws-sigv4", "service": "sagemaker", "region": "eu-central-1"}


@pytest.fixture
def giver(monkeypatch):
    """What the source ``leased`` asks; both of its kinds stand in the registry."""
    asked = Giver()
    monkeypatch.setattr(registry, "SOURCES", {**registry.SOURCES, "leased": Leased, "leased-keys": LeasedKeys})
    monkeypatch.setattr(Leased, "giver", asked, raising=False)
    return asked


def opened(url, **more):
    return Endpoint.open("suspect", {**FIELDS, "url": url, "credentials": LEASED, **more}, TASK)


def ends_after(uses, status=401):
    """A server that refuses a token which it has seen that often, and repeats it in its refusal."""
    seen_of = {}

    def fault(number, seen):
        token = bearer(seen)
        seen_of[token] = seen_of.get(token, 0) + 1
        ended = not token or seen_of[token] > uses
        return Reply(status, json.dumps({"error": f"token {token} has expired"}).encode()) if ended else None

    return fault


def no_token_in(folder, tokens):
    """Whether no file below a folder holds a token or a good part of one."""
    contents = [unpacked(path) for path in folder.rglob("*") if path.is_file()]
    assert contents
    return not [text for text in spellings(tokens) for content in contents if text in content]


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_is_refused_in_mid_run_is_renewed_and_the_audit_goes_on(tmp_path, giver, status):
    """Once for all requests under way; what was refused is asked again, nothing is lost, no token is written."""
    with ModelServer(TARGET, "json-template", fault=ends_after(9, status), delay_s=0.02) as server:
        transcript = audit_endpoint(BUNDLE, opened(server.url), tmp_path, sleep=Pauses())
    assert None not in transcript.answers
    assert len({bearer(seen) for seen in server.log}) == giver.asked == 3
    refused = transcript.requests - 24
    assert 2 <= refused <= 2 * 4
    assert no_token_in(tmp_path, giver.given)
    assert "[redacted:leased-credentials]" in b"".join(map(unpacked, tmp_path.iterdir())).decode("utf-8", "replace")


def test_a_token_is_renewed_before_it_ends(giver):
    """A minute before, or in the last quarter of a shorter life; what has no end is kept."""
    now = [datetime.now(UTC)]

    async def fetches(life, after):
        giver.life = life
        leases, before = Leases(Leased(source="leased"), Secrets({}), lambda: now[0]), giver.asked
        await leases.current(5)
        now[0] += after
        await leases.current(5)
        now[0] -= after
        return giver.asked - before

    second = timedelta(seconds=1)
    hour = timedelta(hours=1)
    assert asyncio.run(fetches(hour, hour - MARGIN - 5 * second)) == 1
    assert asyncio.run(fetches(hour, hour - MARGIN + 5 * second)) == 2
    assert asyncio.run(fetches(40 * second, 25 * second)) == 1
    assert asyncio.run(fetches(40 * second, 35 * second)) == 2
    assert asyncio.run(fetches(None, hour)) == 1
    assert asyncio.run(fetches(-hour, hour)) == 1  # This machine's clock is ahead: the server tells when it has ended.


def test_a_renewal_blocks_nobody_and_is_done_once(giver):
    """Twenty requests that need a token at once wait for one, and the event loop goes on meanwhile."""
    giver.takes_s = 0.2

    async def ask():
        leases, ticks = Leases(Leased(source="leased"), Secrets({}), lambda: datetime.now(UTC)), 0
        waiting = asyncio.gather(*(leases.current(5) for _ in range(20)))
        while not waiting.done():
            await asyncio.sleep(0.01)
            ticks += 1
        return await waiting, ticks

    leased, ticks = asyncio.run(ask())
    assert giver.asked == 1
    assert len(set(map(id, leased))) == 1
    assert ticks >= 3


def test_a_token_that_was_never_taken_is_refused_after_one_request(tmp_path, giver):
    """It has not expired: there is nothing that a renewal would mend."""
    with (
        ModelServer(TARGET, "json-template", fault=ends_after(0)) as server,
        pytest.raises(RemoteError, match=r"leased-credentials are refused; .*'leased print-token'") as raised,
    ):
        audit_endpoint(BUNDLE, opened(server.url), tmp_path)
    assert (len(server.log), giver.asked) == (1, 1)
    assert giver.given[0] not in str(raised.value)


def test_what_is_refused_after_a_renewal_too_is_not_renewed_again(tmp_path, giver):
    """One renewal, one more request, then the usual refusal."""

    def fault(number, seen):
        return Reply(403, b"no longer") if number >= 6 else None

    with ModelServer(TARGET, "json-template", fault=fault) as server, pytest.raises(RemoteError, match="403"):
        audit_endpoint(BUNDLE, opened(server.url, limits={"concurrency": 1}), tmp_path, sleep=Pauses())
    assert giver.asked == 2
    assert len(server.log) <= 6 + 2 + 3


def test_the_same_token_given_again_is_not_sent_again(giver, monkeypatch):
    """A library, or an instance's metadata, may keep what a server has revoked."""
    monkeypatch.setattr(giver, "give", lambda: Lease(("always-the-same-token",)))

    async def refused():
        leases = Leases(Leased(source="leased"), Secrets({}), lambda: datetime.now(UTC))
        lease = await leases.current(5)
        leases.accepted(lease)
        return await leases.replaces(lease, 5), await leases.replaces(lease, 5)

    assert asyncio.run(refused()) == (False, False)


def test_a_renewal_that_fails_ends_the_run_in_one_line_and_running_again_goes_on(tmp_path, giver):
    """The line names the source and the kind of error, none of the library's words: they may hold a secret."""
    giver.faults[1] = ValueError("the client secret hunter2-hunter2\nis wrong")
    with ModelServer(TARGET, "json-template", fault=ends_after(6)) as server:
        asked = opened(server.url, limits={"concurrency": 1})
        with pytest.raises(RemoteError, match=r"leased-credentials: json gives none \(ValueError\): see") as raised:
            audit_endpoint(BUNDLE, asked, tmp_path, sleep=Pauses())
        assert len(server.log) == 7
        assert "hunter2" not in str(raised.value)
        assert "\n" not in str(raised.value)
        assert audit_endpoint(BUNDLE, asked, tmp_path, sleep=Pauses()).finished
    assert no_token_in(tmp_path, [*giver.given, "hunter2-hunter2"])


def test_what_still_holds_is_used_where_a_renewal_before_its_end_fails(giver):
    """And the next renewal is tried a little later, not for every request."""
    now = [datetime.now(UTC)]
    giver.faults = {1: OSError("no route"), 2: ConfigurationError("gone"), 3: OSError("no route")}

    async def ask():
        leases = Leases(Leased(source="leased"), Secrets({}), lambda: now[0])
        first = await leases.current(5)
        now[0] = first.expires - MARGIN / 2
        assert await leases.current(5) is first
        assert await leases.current(5) is first
        assert giver.asked == 2
        now[0] += AGAIN
        assert await leases.current(5) is first
        assert giver.asked == 3
        now[0] = first.expires
        with pytest.raises(RenewalError, match="OSError"):
            await leases.current(5)

    asyncio.run(ask())


def test_no_credentials_on_this_machine_is_found_before_anything_is_sent_and_can_be_mended(tmp_path, giver):
    """Exit code 2's error; the folder takes the mended file, even one that names a variable instead."""
    giver.faults[0] = ConfigurationError("leased-credentials: none on this machine")
    with ModelServer(TARGET, "json-template") as server:
        with pytest.raises(ConfigurationError, match="none on this machine"):
            audit_endpoint(BUNDLE, opened(server.url), tmp_path)
        assert server.log == []
        plain = Endpoint.open("suspect", {**FIELDS, "url": server.url}, TASK)
        assert audit_endpoint(BUNDLE, plain, tmp_path).finished
        # What is finished needs nobody's credentials.
        giver.faults[1] = AssertionError("asked for nothing")
        assert audit_endpoint(BUNDLE, opened(server.url), tmp_path).finished


@pytest.mark.parametrize("parts", [("short",), ("a token\r\nX-More: 1",), ("späte-umlaute",), (None,)])
def test_what_no_header_takes_is_refused(giver, monkeypatch, parts):
    """Nor is what is too short to be kept out of the records."""
    monkeypatch.setattr(giver, "give", lambda: Lease(parts))
    with pytest.raises(RenewalError, match="nothing that a header takes"):
        asyncio.run(Leases(Leased(source="leased"), Secrets({}), lambda: datetime.now(UTC)).current(5))


def test_a_library_that_does_not_answer_is_not_waited_for(giver):
    """Within the time for one request."""
    giver.takes_s = 0.5
    with pytest.raises(RenewalError, match="none came within"):
        asyncio.run(Leases(Leased(source="leased"), Secrets({}), lambda: datetime.now(UTC)).current(0.05))


def test_keys_sign_every_request_and_are_renewed_like_tokens(tmp_path, giver):
    """With a session token that the server no longer takes after nine requests."""
    giver.parts, uses = 3, {}

    def fault(number, seen):
        token = seen.headers["x-amz-security-token"]
        uses[token] = uses.get(token, 0) + 1
        body = json.dumps({"message": f"The security token {token} is expired"}).encode()
        return Reply(403, body, {"x-amzn-errortype": "ExpiredTokenException"}) if uses[token] > 9 else None

    fields = {**FIELDS, "adapter": "sagemaker", "endpoint": "e", "signing": SIGNING}
    with ModelServer(TARGET, "sagemaker", fault=fault) as server:
        fields |= {"url": server.url, "credentials": {"source": "leased-keys"}}
        endpoint = Endpoint.open("suspect", fields, TASK)
        assert endpoint.variables({}) == []
        assert audit_endpoint(BUNDLE, endpoint, tmp_path, sleep=Pauses()).finished
    assert len(uses) == giver.asked == 3
    for seen in server.log:
        _check_signature(endpoint, server.url, seen, giver.given)
    assert no_token_in(tmp_path, giver.given)


def _check_signature(endpoint, url, seen, given):
    """The keys that go with the session token sign the request, once more."""
    at = given.index(seen.headers["x-amz-security-token"])
    signed = seen.headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    headers = {name: seen.headers[name] for name in signed if not name.startswith("x-amz-")}
    when = datetime.strptime(seen.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    again = endpoint.signer.sign(Request(url + seen.path, seen.body), headers, given[at - 2 : at + 1], when)
    assert again["authorization"] == seen.headers["authorization"]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run ``metav-audit audit`` on an endpoint file; return exit code, stdout and stderr."""
    BUNDLE.save(tmp_path / "bundle")
    monkeypatch.chdir(tmp_path)

    def call(text, *options):
        (tmp_path / "endpoints.toml").write_text(text)
        with pytest.raises(SystemExit) as end:
            main(["audit", "bundle", "endpoints.toml", *map(str, options)])
        shown = capsys.readouterr()
        return end.value.code or 0, shown.out, shown.err

    return call


def table(url, name="a", source="leased", more=""):
    return (
        f'[endpoints.{name}]\nadapter = "json-template"\nurl = "{url}"\nbody = {{ inputs = "{{{{inputs}}}}" }}\n'
        f'answer = "result.rows"\n{more}[endpoints.{name}.credentials]\nsource = "{source}"\n'
    )


def test_a_whole_audit_with_a_loud_server_leaves_no_token_anywhere(run, tmp_path, giver, capsys, caplog):
    """Transcript, bodies, reports, stdout, stderr, debug logs; an older token that comes back late is found, too."""
    caplog.set_level(logging.DEBUG)

    def loud(number, seen):
        if reply := ends_after_7(number, seen):
            return reply
        rows = TARGET(json.loads(seen.body)["inputs"]).tolist()
        return Reply(200, json.dumps({"echo": [bearer(seen), *giver.given], "result": {"rows": rows}}).encode())

    ends_after_7 = ends_after(7)
    with ModelServer(TARGET, "json-template", fault=loud) as server:
        code, out, err = run(table(server.url), "--secret", "leased-credentials")
    assert code == 1, err
    assert giver.asked >= 3
    assert no_token_in(tmp_path / "audits", giver.given)
    assert not [text for text in spellings(giver.given) if text in (out + err + caplog.text).encode()]
    with pytest.raises(SystemExit) as end:
        main(["verify", "audits/a"])
    assert end.value.code == 6
    assert "FAIL" not in capsys.readouterr().out
    done = subprocess.run([sys.executable, SCRIPT, "audits/a"], capture_output=True, text=True, check=False)
    assert "FAIL" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout


def test_a_fault_s_traceback_holds_no_token(run, tmp_path, giver, monkeypatch):
    """Whatever breaks, and whatever it says."""

    def broken(response):
        raise RuntimeError(f"a defect that repeats {giver.given}")

    monkeypatch.setattr("metav_audit.audit.asking.identify", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with ModelServer(TARGET, "json-template") as server:
        code, _, err = run(table(server.url), "--secret", "leased-credentials")
    assert code == 70
    (told,) = tmp_path.glob("metav-audit-*.txt")
    assert "a defect that repeats ['***']" in told.read_text()
    assert giver.given[0] not in told.read_text() + err


def test_no_file_uses_a_cloud_s_credentials_that_the_command_did_not_name(run, giver):
    """Nor any for another host than the named one; nothing is fetched, nothing sent."""
    with ModelServer(TARGET, "json-template") as server:
        host = server.url.removeprefix("http://")
        for options in ((), ("--secret", "leased-credentials@other.example"), ("--secret", "LEASED")):
            code, _, err = run(table(server.url), *options)
            assert code == 2
            assert f"leased-credentials, which a cloud's library finds on this machine, for {host}" in err
        assert (giver.asked, server.log) == (0, [])
        assert run(table(server.url), "--secret", f"leased-credentials@{host}")[0] == 1


def test_a_third_party_s_controls_never_use_them(run, tmp_path, giver):
    """Not even with a name that is bound to their host."""
    with ModelServer(TARGET, "json-template") as server:
        host = server.url.removeprefix("http://")
        (tmp_path / "theirs.toml").write_text(table(server.url))
        options = ["--secret", "leased-credentials", "--secret", f"leased-credentials@{host}"]
        code, _, err = run(table(server.url), *options, "--blind-controls", "theirs.toml")
        assert (code, giver.asked, server.log) == (2, 0, [])
        assert "a third party's file may not" in err
    grant = Grant(frozenset({"leased-credentials@h", "NAME@h", "NAME"})).for_strangers()
    assert grant.secrets == {"NAME@h"}


def test_from_python_a_file_uses_none_by_default(tmp_path, giver):
    """``load_endpoints`` follows the same rule."""
    (tmp_path / "endpoints.toml").write_text(table("https://host"))
    with pytest.raises(SecretError, match="leased-credentials"):
        load_endpoints(tmp_path / "endpoints.toml", TASK)
    assert load_endpoints(tmp_path / "endpoints.toml", TASK, Grant(frozenset({"leased-credentials"})))


def test_a_dry_run_says_which_source_goes_to_which_host(run, giver):
    """In text and in JSON, without asking the library for anything."""
    text = table("https://api.example.com:8443/v1")
    _, out, _ = run(text, "--secret", "leased-credentials", "--dry-run")
    assert "leased-credentials would go to api.example.com:8443" in out
    _, out, _ = run(text, "--secret", "leased-credentials", "--dry-run", "--format", "json")
    told = json.loads(out)
    assert (told["variables"], told["credentials"]) == ({}, {"leased-credentials": "api.example.com:8443"})
    assert giver.asked == 0


@pytest.mark.parametrize(
    ("source", "extra", "more"),
    [
        ("aws", "aws", 'signing = { kind = "aws-sigv4", service = "sagemaker", region = "eu-central-1" }\n'),
        ("google", "gcp", ""),
        ("azure", "azure", ""),
    ],
)
def test_a_missing_library_names_its_extra(run, monkeypatch, source, extra, more):
    """Exit code 2, one line, nothing sent; without the table the library is not even looked for."""
    library = registry.SOURCES[source].library
    monkeypatch.setitem(sys.modules, library, None)
    text = table(f"http://127.0.0.1:{free_port()}", source=source, more=more)
    code, out, err = run(text, "--secret", f"{source}-credentials")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"pip install 'metav-audit[{extra}]'" in err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"credentials": "aws"}, "source is missing: a table with source = one of aws, google, azure"),
        ({"credentials": {"source": "googel"}}, r"'googel'; did you mean 'google'\?"),
        ({"credentials": {"source": ["aws"]}}, "source is missing"),
        ({"credentials": {"source": "aws"}}, "add the table signing"),
        (
            {"credentials": {"source": "aws"}, "signing": {**SIGNING, "variables": "OTHER"}},
            r"signing\.variables: credentials\.source stands in their place",
        ),
        ({"credentials": {"source": "google"}, "signing": SIGNING}, "signing: credentials.source gives the header"),
        (
            {"credentials": {"source": "azure"}, "headers": {"authorization": "Bearer ${T}"}},
            r"headers\.Authorization: credentials\.source gives",
        ),
        ({"credentials": {"source": "google", "scope": "x"}}, r"credentials\.scope: this key is unknown.*'scopes'"),
        ({"credentials": {"source": "google", "scopes": []}}, r"credentials\.scopes"),
        ({"credentials": {"source": "azure", "client_secret": "hunter2hunter2"}}, "looks like a credential"),
        ({"credentials": {"source": "aws", "profile": "${PROFILE}"}, "signing": SIGNING}, "only header values"),
    ],
)
def test_a_wrong_table_is_one_clear_line(more, said):
    """A source that is unknown, has no use, or has rivals is a ConfigurationError that repeats no secret."""
    with pytest.raises(ConfigurationError, match=said) as caught:
        Endpoint.open("suspect", {**FIELDS, "url": "http://h", **more}, TASK)
    assert "hunter2" not in str(caught.value)


@pytest.mark.usefixtures("giver")
def test_a_bearer_token_does_not_leave_the_machine_unencrypted():
    """Whoever reads it may do what its account may; a signature tells no secret key."""
    with pytest.raises(ConfigurationError, match=r"leased-credentials go to models\.example over https alone"):
        opened("http://models.example/v1")
    for url in ("https://models.example/v1", "http://127.0.0.1:8080/v1", "http://[::1]:8080/v1"):
        assert opened(url).credentials is not None
    aws = {"credentials": {"source": "aws"}, "signing": SIGNING}
    assert Endpoint.open("suspect", {**FIELDS, "url": "http://models.example", **aws}, TASK)


def test_the_transcript_says_that_a_source_gave_them_and_not_whose():
    """Profile and scope may change while an audit goes on."""
    aws = {"credentials": {"source": "aws", "profile": "the-auditor"}, "signing": SIGNING}
    endpoint = Endpoint.open("suspect", {**FIELDS, "url": "http://h", **aws}, TASK)
    assert endpoint.record().options["credentials"] == {"source": "aws"}
    assert endpoint.credentials.region == SIGNING["region"]
    assert "the-auditor" not in json.dumps(endpoint.record().to_json())


def test_a_library_logs_nothing():
    """At debug level it would log the answers that hold its credentials."""
    logging.getLogger("leased").setLevel(logging.DEBUG)
    Leased(source="leased").load()
    assert logging.getLogger("leased").level == logging.CRITICAL


def test_a_library_is_imported_only_by_an_audit_that_names_it():
    """Reading an endpoint file that does loads none of them: another file of that machine may."""
    program = (
        "import sys\nfrom metav_audit.audit.endpoint.credentials.registry import open_source\n"
        "for kind in ('aws', 'google', 'azure'): open_source({'source': kind})\n"
        "print(*({'botocore', 'google.auth', 'azure.identity'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
