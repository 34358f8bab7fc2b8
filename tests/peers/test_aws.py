from __future__ import annotations

import itertools
import json
import random
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest

from metav_audit.adapter import Request
from metav_audit.audit import Endpoint, audit_endpoint
from metav_audit.audit.endpoint.signing import SigV4
from metav_audit.bundle import Schedule, asked_inputs, planned_places
from metav_audit.cli import main
from tests.builders import NONCE
from tests.peers.digits import TRUTHS
from tests.peers.environments import SERVED, run_in, variables
from tests.peers.processes import serving
from tests.servers import ModelServer, free_port

KEYS = ["AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "FwoGZXIvYXdzEXAMPLE/token+="]
REGION = "eu-central-1"
SIGNING = {"kind": "aws-sigv4", "service": "sagemaker", "region": REGION}
BATCH = 8
TABLE = f"""
adapter = "sagemaker"
url = "$url"
endpoint = "$suspect"
variant = "$suspect"
body = {{ instances = "{{{{inputs}}}}" }}
answer = "predictions"
batch = {BATCH}
signing = {{ kind = "aws-sigv4", service = "sagemaker", region = "{REGION}" }}
"""
FIELDS = {
    "adapter": "sagemaker",
    "endpoint": "digits",
    "variant": "blue",
    "body": {"instances": "{{inputs}}"},
    "answer": "predictions",
    "batch": BATCH,
    "signing": SIGNING,
}


@pytest.fixture(autouse=True)
def _credentials(monkeypatch):
    for name, value in zip(("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"), KEYS, strict=True):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("METAV_AUDIT_AUDIT_SECRET", "AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN")


@pytest.fixture(scope="module")
def url(environment, digits, folder):
    """moto's server; for every request that an audit sends it holds the suspect's own answer, in one region alone."""
    aws, port = environment("aws"), free_port()
    url = f"http://127.0.0.1:{port}"
    words = [aws / "bin" / "moto_server", "-H", "127.0.0.1", "-p", port]
    with serving(words, f"{url}/moto-api/data.json", folder / "moto.log", variables(aws, folder)):
        for name in TRUTHS:
            _can(url, name, digits)
        yield url


def _can(url, name, digits):
    """moto gives its next canned result to the next new request: announce one, ask for it, and so on.

    It tells requests apart by body and SageMaker's headers, not by the endpoint: the variant stands for the suspect.
    """
    fields = {**FIELDS, "endpoint": name, "variant": name, "url": url}
    endpoint = Endpoint.open(name, fields, digits.bundle.task)
    schedule = Schedule.for_bundle(digits.bundle, NONCE)
    inputs_of = asked_inputs(digits.bundle)[list(schedule.numbers)]
    size = endpoint.batch_of(planned_places(digits.bundle))
    starts = [*range(0, schedule.closing, size), *range(schedule.closing, len(schedule.numbers))]
    for start, end in itertools.pairwise([*starts, len(schedule.numbers)]):
        inputs = inputs_of[start:end]
        answer = json.dumps({"predictions": digits.network(name).predict_proba(inputs).tolist()})
        result = {"Body": answer, "ContentType": "application/json", "InvokedProductionVariant": name}
        canned = {"region": REGION, "results": [result]}
        _post(f"{url}/moto-api/static/sagemaker/endpoint-results", json.dumps(canned).encode(), {})
        request = endpoint.adapter.encode(inputs)
        headers = {"accept": "*/*", **{key.lower(): value for key, value in request.headers.items()}}
        signature = endpoint.signer.sign(request, headers, KEYS, datetime.now(UTC))
        assert _post(request.url, request.content, {**headers, **signature}) == answer.encode()


def _post(url, body, headers):
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10) as response:
        return response.read()


def test_moto_s_sagemaker(audit, url, monkeypatch, capsys):
    """Signed for the region, which moto reads from the signature: right verdicts, and the variant is recorded."""

    def in_this_process(*words):
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        return ended.value.code, *capsys.readouterr()

    # What moto was told beforehand is what will be asked, batch by batch.
    monkeypatch.setattr("metav_audit.audit.journal.chance.token_hex", lambda _: NONCE)
    monkeypatch.setattr("tests.peers.auditing.command", in_this_process)
    for name, found in audit(TABLE, dict.fromkeys(TRUTHS, url)).items():
        assert [each["x-amzn-invoked-production-variant"] for each in found.transcript.identities] == [name]


def test_another_region_has_no_such_answer(refused, url):
    """The region in the signature counts: elsewhere moto has nothing but its default, which is no answer."""
    table = TABLE.replace("$suspect", "finetuned").replace(REGION, "us-east-1")
    assert "not JSON" in refused(table, url)


def botocores(environment, folder, cases):
    """What botocore adds to each request."""
    done = run_in(environment("aws"), folder, "python", SERVED / "botocore_sign.py", told=json.dumps(cases))
    return json.loads(done)


def test_signatures_on_the_wire_are_botocore_s_own(digits, environment, folder, tmp_path):
    """What a server receives is signed as botocore signs the same request, headers and all."""
    network = digits.network("finetuned")
    with ModelServer(network.predict_proba, "tensorflow-serving-v1") as server:
        endpoint = Endpoint.open("suspect", {**FIELDS, "url": server.url}, digits.bundle.task)
        audit_endpoint(digits.bundle, endpoint, tmp_path / "audit")
        cases = [_case(server.url, seen) for seen in server.log]
    theirs = botocores(environment, folder, cases)
    assert len(cases) >= 12
    assert [each["authorization"] for each in theirs] == [seen.headers["authorization"] for seen in server.log]


def _case(base, seen):
    """The request as botocore is told it: the signed headers, but for those that it adds itself."""
    names = seen.headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    headers = {name: seen.headers[name] for name in names if name != "host" and not name.startswith("x-amz-")}
    when = datetime.strptime(seen.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    told = {"method": "POST", "url": base + seen.path, "headers": headers, "body": seen.body.decode()}
    return {**told, "credentials": KEYS, "service": "sagemaker", "region": REGION, "now": when.isoformat()}


def test_two_thousand_random_requests_are_signed_as_botocore_signs_them(environment, folder):
    """Any method, host, port, path, query, headers, body, time, region, service and credentials."""
    rng = random.Random(0)
    cases = [_random_case(rng) for _ in range(2000)]
    theirs = botocores(environment, folder, cases)
    for case, expected in zip(cases, theirs, strict=True):
        assert _ours(case) == expected, case


def _ours(case):
    signer = SigV4(kind="aws-sigv4", service=case["service"], region=case["region"])
    request = Request(case["url"], case["body"].encode(), case["method"], {})
    return signer.sign(request, case["headers"], case["credentials"], datetime.fromisoformat(case["now"]))


def _random_case(rng):
    def text(letters, most, least=0):
        return "".join(rng.choices(letters, k=rng.randint(least, most)))

    printable = "".join(map(chr, range(32, 127)))
    # Dots and doubled slashes aside, which botocore removes and no adapter's address holds.
    path = "/".join(text("abcXYZ019-_~%:@!$&'()*+,;=", 8, 1) for _ in range(rng.randint(0, 4)))
    query = "&".join(f"{text('ab1%-_', 4, 1)}={text('ab1%-_', 4)}" for _ in range(rng.randint(0, 3)))
    host = rng.choice(["host.test", "runtime.sagemaker.eu-central-1.amazonaws.com", "127.0.0.1", "[::1]"])
    port = rng.choice(["", ":443", ":80", ":8080"])
    names = rng.sample(["accept", "content-type", "x-a", "x-amzn-sagemaker-target-variant", "user-agent"], k=3)
    return {
        "method": rng.choice(["GET", "POST", "PUT"]),
        "url": f"{rng.choice(['http', 'https'])}://{host}{port}/{path}" + (f"?{query}" if query else ""),
        "headers": {name: text(printable, 20) for name in names},
        "body": text("aé{}[]0.5\n", 60),
        "credentials": [text("ABC234567", 20, 16), text(printable, 40, 1), *rng.choice([[], [text(printable, 60, 1)]])],
        "service": rng.choice(["sagemaker", "execute-api", "bedrock"]),
        "region": rng.choice([REGION, "us-east-1", "cn-north-1"]),
        "now": (datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=rng.randint(0, 1 << 30))).isoformat(),
    }
