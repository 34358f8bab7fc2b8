"""Azure Machine Learning online endpoints, whose body is the score.py's business."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field

from metav_audit.adapter import Outcome, Response
from metav_audit_adapters._template import TemplateAdapter, TemplateOptions

_PASSING = {"408": Outcome.TRANSIENT, "429": Outcome.THROTTLED}
_PASSING |= dict.fromkeys(("502", "503", "504"), Outcome.TRANSIENT)


class AzureMLOptions(TemplateOptions):
    """What an Azure ML endpoint is told."""

    url: str = Field(description="the scoring address, .../score", pattern=r"^https?://")
    body: Any = Field(
        {"input_data": "{{inputs}}"}, description='the request as a table, as score.py takes it, with "{{inputs}}"'
    )
    deployment: str | None = Field(
        None, description="the deployment to ask; by the endpoint's traffic rule if absent", pattern=r"^[\w-]{1,64}$"
    )


class AzureML(TemplateAdapter):
    """Fills the template, reads the scores at a path of what score.py returned."""

    name: ClassVar[str] = "azure-ml"
    summary: ClassVar[str] = "Azure Machine Learning online endpoint: score.py's own JSON, with a bearer key"
    Options: ClassVar[type[AzureMLOptions]] = AzureMLOptions
    options: AzureMLOptions

    @property
    def headers(self) -> Mapping[str, str]:
        """Pin the deployment that answers, if asked to."""
        deployment = self.options.deployment
        return {} if deployment is None else {"azureml-model-deployment": deployment}

    def body_of(self, response: Response) -> Any:
        """Parse the body once more where score.py returned ``json.dumps(...)``: JSON within a JSON text."""
        body = super().body_of(response)
        return super().body_of(replace(response, content=body.encode())) if isinstance(body, str) else body

    def classify(self, response: Response) -> Outcome:
        """Judge a 424, the model's own error, by the status that the model's server gave."""
        if response.status == 424:
            return _PASSING.get(response.headers.get("ms-azureml-model-error-statuscode", ""), Outcome.FATAL)
        return super().classify(response)
