"""What botocore's own SigV4Auth makes of some requests; ``python -m tests.audit.sigv4_vectors`` writes them anew.

botocore stands outside the project's environment: any environment that has it beside this project can remake the file.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

VECTORS = Path(__file__).with_name("sigv4_vectors.json")
NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
KEYS = ["AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"]
BASE = "https://runtime.sagemaker.eu-central-1.amazonaws.com"
JSON = {"content-type": "application/json"}
CASES: dict[str, dict[str, Any]] = {
    "sagemaker": {"url": f"{BASE}/endpoints/my-endpoint/invocations", "body": '{"instances":[[0.5]]}', "headers": JSON},
    "variant": {
        "url": f"{BASE}/endpoints/e/invocations",
        "headers": JSON | {"x-amzn-sagemaker-target-variant": "blue  green ", "user-agent": "x", "accept": "*/*"},
    },
    "session": {"url": f"{BASE}/endpoints/e/invocations", "token": "FwoGZXIvYXdzEXAMPLE/token+=", "headers": JSON},
    "port": {"url": "http://127.0.0.1:5000/endpoints/e/invocations", "body": "{}"},
    "usual port": {"url": "https://host.test:443/a", "method": "GET"},
    "odd path": {"url": "https://host.test/a%20b/%C3%A9~-_./c:d", "body": "é"},
    "no path": {"url": "https://host.test", "method": "GET"},
    "query": {"url": "https://host.test/x?b=2&a=1&a=0&c=%20d&e", "method": "GET", "service": "execute-api"},
}


def botocores_own(
    url: str,
    body: str = "",
    method: str = "POST",
    headers: dict[str, str] | None = None,
    token: str | None = None,
    service: str = "sagemaker",
) -> dict[str, str]:
    """The headers botocore adds to a request at NOW."""
    from botocore import auth, awsrequest, credentials

    request = awsrequest.AWSRequest(method, url, dict(headers or {}), body.encode())
    signer = auth.SigV4Auth(credentials.Credentials(*KEYS, token), service, "eu-central-1")
    with mock.patch.object(auth, "get_current_datetime", return_value=NOW):
        signer.add_auth(request)
    added = {name.lower(): value for name, value in request.headers.items()}
    return {name: added[name] for name in ("x-amz-date", "x-amz-security-token", "authorization") if name in added}


if __name__ == "__main__":
    vectors = {name: botocores_own(**case) for name, case in CASES.items()}
    VECTORS.write_text(json.dumps(vectors, indent=1) + "\n")
    sys.stdout.write(f"{len(vectors)} vectors\n")
