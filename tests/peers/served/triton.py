"""Triton's client as a second opinion: JSON on standard input, JSON on standard output.

``encode``: {"name", "values", "output", "binary"} -> {"body" (base64), "head" (bytes of JSON in it, or null)}.
``ask``: {"host", "model", "name", "values", "output", "binary", "batch"} -> {"scores"}, from a live server.
"""

import base64
import json
import sys

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput


def tensors(told):
    values = np.array(told["values"], np.float32)
    tensor = InferInput(told["name"], list(values.shape), "FP32")
    tensor.set_data_from_numpy(values, binary_data=told["binary"])
    outputs = [InferRequestedOutput(told["output"], binary_data=told["binary"])] if told["output"] else None
    return [tensor], outputs


def encode(told):
    body, head = InferenceServerClient.generate_request_body(*tensors(told))
    return {"body": base64.b64encode(body).decode(), "head": head}


def ask(told):
    """Ask in batches, as an auditor does."""
    rows = []
    with InferenceServerClient(told["host"]) as client:
        for place in range(0, len(told["values"]), told["batch"]):
            inputs, outputs = tensors({**told, "values": told["values"][place : place + told["batch"]]})
            found = client.infer(told["model"], inputs, outputs=outputs)
            (output,) = found.get_response()["outputs"]
            rows += found.as_numpy(output["name"]).tolist()
    return {"scores": rows}


if __name__ == "__main__":
    json.dump({"encode": encode, "ask": ask}[sys.argv[1]](json.load(sys.stdin)), sys.stdout)
