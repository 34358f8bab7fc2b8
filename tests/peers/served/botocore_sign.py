"""botocore's own signatures: a JSON list of requests on standard input, the headers it adds on standard output."""

import json
import sys
from datetime import datetime
from unittest import mock

from botocore import auth, awsrequest, credentials

ADDED = ("x-amz-date", "x-amz-security-token", "authorization")


def signed(told):
    request = awsrequest.AWSRequest(told["method"], told["url"], dict(told["headers"]), told["body"].encode())
    signer = auth.SigV4Auth(credentials.Credentials(*told["credentials"]), told["service"], told["region"])
    with mock.patch.object(auth, "get_current_datetime", return_value=datetime.fromisoformat(told["now"])):
        signer.add_auth(request)
    added = {name.lower(): value for name, value in request.headers.items()}
    return {name: added[name] for name in ADDED if name in added}


if __name__ == "__main__":
    json.dump([signed(told) for told in json.load(sys.stdin)], sys.stdout)
