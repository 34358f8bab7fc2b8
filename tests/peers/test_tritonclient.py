from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from metav_audit.adapter import find_adapter
from tests.peers.environments import SERVED, run_in


def divided(body: bytes, head: int | None):
    """A v2 body as any server reads it: the JSON, and each input's values as float32 bytes."""
    told = json.loads(body if head is None else body[:head])
    rest = b"" if head is None else body[head:]
    values = []
    for tensor in told["inputs"]:
        size = tensor.pop("parameters", {}).get("binary_data_size")
        values.append(np.array(tensor.pop("data"), "<f4").tobytes() if size is None else rest[:size])
        rest = rest[size or 0 :]
    assert rest == b""
    return told, values


@pytest.mark.parametrize("output", [None, "probabilities"])
@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
@pytest.mark.parametrize("count", [1, 8])
def test_our_request_is_tritonclient_s(digits, environment, folder, count, binary, output):
    """Triton's own encoder and our adapter name, shape, type and value the same tensor alike, to the last bit."""
    inputs = digits.bundle.inputs[:count]
    told = {"name": "input", "values": inputs.tolist(), "output": output, "binary": binary}
    said = run_in(environment("tritonclient"), folder, "python", SERVED / "triton.py", "encode", told=json.dumps(told))
    their = json.loads(said)
    theirs, their_values = divided(base64.b64decode(their["body"]), their["head"])

    fields = {"url": "http://host", "model": "m", "binary": binary} | ({"output_name": output} if output else {})
    request = find_adapter("open-inference-v2").open(digits.bundle.task, fields).encode(inputs)
    head = request.headers.get("Inference-Header-Content-Length")
    ours, our_values = divided(request.content, None if head is None else int(head))

    assert our_values == their_values == [inputs.tobytes()]
    assert ours["inputs"] == theirs["inputs"]
    if binary:
        assert ours == theirs
    elif output:
        # Its encoder spells out binary_data = false, which is what a server takes where nothing is said.
        assert [each["name"] for each in ours["outputs"]] == [each["name"] for each in theirs["outputs"]]
