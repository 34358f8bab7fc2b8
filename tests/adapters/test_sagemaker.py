from __future__ import annotations

import numpy as np
import pytest

from metav_audit.adapter import Outcome
from metav_audit.errors import ConfigurationError
from tests.adapters.helpers import opened, outcome, refuses
from tests.adapters.protocols import TASK
from tests.builders import make_task

FIELDS = {"endpoint": "my-endpoint", "body": {"instances": "{{inputs}}"}}
ADAPTER = opened("sagemaker", **FIELDS)
INPUTS = TASK.domain.sample(1, np.random.default_rng(0))


def test_address_and_headers_are_the_service_s():
    """The endpoint's name stands in the path, the variant and the model in headers."""
    request = opened("sagemaker", url="https://host/", variant="blue", target_model="m.tar.gz", **FIELDS).encode(INPUTS)
    assert request.url == "https://host/endpoints/my-endpoint/invocations"
    assert request.headers["X-Amzn-SageMaker-Target-Variant"] == "blue"
    assert request.headers["X-Amzn-SageMaker-Target-Model"] == "m.tar.gz"
    assert set(ADAPTER.encode(INPUTS).headers) == {"Content-Type"}


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (400, "ThrottlingException", Outcome.THROTTLED),
        (400, "com.amazonaws#ThrottlingException", Outcome.THROTTLED),
        (400, "ValidationError", Outcome.FATAL),
        (400, "ExpiredTokenException", Outcome.AUTH),
        (403, "AccessDeniedException", Outcome.AUTH),
        (429, "ModelNotReadyException", Outcome.TRANSIENT),
        (530, "InternalDependencyException", Outcome.TRANSIENT),
        (503, "ServiceUnavailable", Outcome.TRANSIENT),
        (424, "ModelError", Outcome.FATAL),
    ],
)
def test_the_error_s_type_decides_wherever_it_stands(status, kind, expected):
    """AWS writes it in the body's __type or in a header, with a link behind it."""
    assert outcome(ADAPTER, status, {"__type": kind}) is expected
    assert outcome(ADAPTER, status, {}, x_amzn_errortype=f"{kind}:http://internal.amazon.com/") is expected


def test_a_model_error_is_judged_by_the_container_s_own_status():
    """A busy container may be asked again, code that raised may not."""
    assert outcome(ADAPTER, 424, {"OriginalStatusCode": 503}) is Outcome.TRANSIENT
    assert outcome(ADAPTER, 424, {"OriginalStatusCode": 500}) is Outcome.FATAL


def test_a_request_above_the_service_s_limit_is_not_built():
    """6 MiB is the most; the message says what to change."""
    task = make_task(channels=3, side=512)
    adapter = opened("sagemaker", task, **FIELDS)
    inputs = task.domain.sample(1, np.random.default_rng(0))
    with pytest.raises(ConfigurationError, match="above the 6 MiB"):
        adapter.encode(inputs)


def test_a_wrong_option_is_named():
    """The endpoint's name goes into the path and is held to its form."""
    refuses("sagemaker", "endpoint", **{**FIELDS, "endpoint": "../e"})
    refuses("sagemaker", "put", endpoint="e", body={})
