"""MLflow's scoring server."""

from __future__ import annotations

from enum import StrEnum
from math import prod
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from metav_audit.adapter import Adapter, Answer, Inputs, Request, Response, TaskSpec, read_json
from metav_audit_adapters._inputs import Encoding, InputOptions, check_inputs, write_inputs
from metav_audit_adapters._rows import LabelOptions, RowReader
from metav_audit_adapters._shared import join, json_request, member, refused


class Send(StrEnum):
    """In which of MLflow's forms inputs are sent."""

    INPUTS = "inputs"
    INSTANCES = "instances"
    DATAFRAME_SPLIT = "dataframe_split"
    DATAFRAME_RECORDS = "dataframe_records"


class MlflowOptions(InputOptions, LabelOptions):
    """What an MLflow endpoint is told."""

    url: str = Field(
        description="the server's base, such as http://host:5000, or all of .../invocations", pattern=r"^https?://"
    )
    send: Send = Field(Send.INPUTS, description="inputs, instances, dataframe_split or dataframe_records")
    input_name: str | None = Field(None, description="the name of the input tensor, where the signature has names")
    columns: tuple[str, ...] = Field((), description="the columns of dataframe_split; 0, 1, 2, ... if absent")
    output: str | None = Field(None, description="which of several named outputs holds the scores")

    @model_validator(mode="after")
    def _fits_the_form(self) -> Self:
        frame = self.send is Send.DATAFRAME_SPLIT
        if frame and self.encoding is not Encoding.FLAT:
            raise ValueError('encoding: a data frame has flat rows: set encoding = "flat"')
        if (self.send is Send.DATAFRAME_RECORDS) != (self.encoding is Encoding.ROWS):
            raise ValueError('encoding: dataframe_records and encoding = "rows" belong together')
        if self.columns and not frame:
            raise ValueError('columns: they belong to send = "dataframe_split"')
        if self.input_name is not None and self.send is not Send.INPUTS:
            raise ValueError('input_name: it belongs to send = "inputs"')
        return self


class Mlflow(Adapter):
    """Sends tensors or a data frame; reads ``predictions``, a row of scores or a record of columns each."""

    name: ClassVar[str] = "mlflow"
    summary: ClassVar[str] = "MLflow scoring server: inputs, instances or a data frame in, predictions out"
    Options: ClassVar[type[MlflowOptions]] = MlflowOptions
    options: MlflowOptions

    def __init__(self, task: TaskSpec, options: MlflowOptions) -> None:
        super().__init__(task, options)
        check_inputs(options, task, type(self))
        self._rows = RowReader.open(type(self), task, options)
        self._url = options.url if options.url.endswith("/invocations") else join(options.url, "invocations")
        width = prod(task.domain.shape)
        if options.columns and len(options.columns) != width:
            raise refused(type(self), "columns", f"{len(options.columns)} names for inputs of {width} elements")
        self._columns: list[Any] = list(options.columns) or list(range(width))

    def encode(self, inputs: Inputs) -> Request:
        """Write the inputs in the form asked for."""
        values: Any = write_inputs(inputs, self.options, self.task)
        if self.options.send is Send.DATAFRAME_SPLIT:
            values = {"columns": self._columns, "data": values}
        elif self.options.input_name is not None:
            values = {self.options.input_name: values}
        return json_request(self._url, {self.options.send.value: values})

    def decode(self, response: Response, count: int) -> list[Answer]:
        """Read the predictions."""
        predictions = member(read_json(response), "predictions")
        if self.options.output is not None:
            predictions = member(predictions, self.options.output)
        return self._rows.read_all(predictions, count)
