"""What is wrong with a file is one line: where, what, and what may have been meant."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from metav_audit.audit import Endpoint
from metav_audit.config import first_problem
from metav_audit.errors import ConfigurationError
from tests.builders import make_task


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Inner(Strict):
    wanted: int = 0


class Outer(Strict):
    inner: Inner | None = None
    renamed: int = Field(0, alias="other-name")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"iner": {}}, "iner: this key is unknown: check its spelling; did you mean 'inner'?"),
        ({"othername": 1}, "did you mean 'other-name'?"),
        ({"INNER": {}}, "did you mean 'inner'?"),
        ({"inner": {"wantd": 1}}, "inner.wantd: this key is unknown: check its spelling; did you mean 'wanted'?"),
        ({"zebra": 1}, "zebra: this key is unknown: check its spelling"),
    ],
)
def test_a_misspelt_key_is_told_with_the_nearest(fields, said):
    """At the top and in a table below; nothing is offered where nothing is near."""
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(fields)
    assert first_problem(caught.value, model=Outer).endswith(said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"adapter": "json-templat"}, "did you mean 'json-template'?"),
        ({"answr": "rows"}, "did you mean 'answer'?"),
        ({"bach": 3}, "did you mean 'batch'?"),
        ({"limit": {"requests": 3}}, "did you mean 'limits'?"),
        ({"limits": {"conccurrency": 3}}, "did you mean 'concurrency'?"),
    ],
)
def test_an_endpoint_file_s_names_are_told_so_too(change, said):
    """Adapter, an option of it, a table beside, a field of that."""
    fields = {"adapter": "json-template", "url": "http://127.0.0.1:9", "body": "{{inputs}}", "answer": "rows"}
    with pytest.raises(ConfigurationError) as caught:
        Endpoint.open("suspect", fields | change, make_task())
    assert str(caught.value).endswith(said)
