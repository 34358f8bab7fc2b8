"""A Python function on this machine, asked like any endpoint."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from metav_audit.adapter import (
    Adapter,
    AdapterOptions,
    Answer,
    Inputs,
    Outcome,
    Request,
    Response,
    read_json,
    read_rows,
)
from metav_audit_adapters._shared import json_request, member


class PythonCallableOptions(AdapterOptions):
    """Which function is asked."""

    url: str = Field(
        description="python:module:function; it takes float32 inputs (batch, ...) and returns scores (batch, classes)",
        pattern=r"^python:[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
    )


class PythonCallable(Adapter):
    """Hands inputs to a function, and reads the scores it returns."""

    name: ClassVar[str] = "python-callable"
    summary: ClassVar[str] = "a Python function of yours, in a process of its own: no server needed"
    Options: ClassVar[type[PythonCallableOptions]] = PythonCallableOptions

    @property
    def advice(self) -> str:
        """Whose fault it is."""
        return "it is the function's own fault: call it with a batch of such inputs, and mend it"

    def encode(self, inputs: Inputs) -> Request:
        """Write the inputs for the client's local transport."""
        return json_request(self.options.url, {"inputs": inputs.tolist()})

    def decode(self, response: Response, count: int) -> list[Answer]:
        """Read the rows of scores."""
        return read_rows(member(read_json(response), "scores"), count, self.task.output)

    def classify(self, response: Response) -> Outcome:
        """Ask no function again that raised: it would raise again."""
        return Outcome.FATAL if response.status == 500 else super().classify(response)
