"""Amazon SageMaker real-time inference, whose body is the container's business; the client signs the requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from metav_audit.adapter import ConfigurationError, Inputs, Outcome, Request, Response
from metav_audit_adapters._shared import join, read_mildly
from metav_audit_adapters._template import TemplateAdapter, TemplateOptions

_MAX_BODY = 6 << 20
_THROTTLED = ("ThrottlingException", "TooManyRequestsException", "ServiceQuotaExceededException")
_STALE = ("ExpiredTokenException", "InvalidSignatureException", "UnrecognizedClientException")
_PASSING = ("ModelNotReadyException", "InternalDependencyException", "InternalFailure", "ServiceUnavailable")


class SageMakerOptions(TemplateOptions):
    """What a SageMaker endpoint is told."""

    url: str = Field(description="such as https://runtime.sagemaker.eu-central-1.amazonaws.com", pattern=r"^https?://")
    endpoint: str = Field(description="the endpoint's name", pattern=r"^[A-Za-z0-9-]{1,63}$")
    variant: str | None = Field(None, description="the production variant to ask; the endpoint's choice if absent")
    target_model: str | None = Field(None, description="the model to ask, on a multi-model endpoint")


class SageMaker(TemplateAdapter):
    """Fills the container's template, reads the scores at a path of its answer."""

    name: ClassVar[str] = "sagemaker"
    summary: ClassVar[str] = "Amazon SageMaker: the container's own JSON, signed with SigV4 by the client"
    Options: ClassVar[type[SageMakerOptions]] = SageMakerOptions
    options: SageMakerOptions

    @property
    def address(self) -> str:
        """The endpoint's invocations."""
        return join(self.options.url, "endpoints", self.options.endpoint, "invocations")

    @property
    def headers(self) -> Mapping[str, str]:
        """Pin the variant or model that answers, if asked to."""
        wanted = {
            "X-Amzn-SageMaker-Target-Variant": self.options.variant,
            "X-Amzn-SageMaker-Target-Model": self.options.target_model,
        }
        return {name: value for name, value in wanted.items() if value is not None}

    def encode(self, inputs: Inputs) -> Request:
        """Fill the template, within what the service takes."""
        request = super().encode(inputs)
        if len(request.content) > _MAX_BODY:
            raise ConfigurationError(
                f"adapter {self.name}: batch: a request of {len(request.content)} bytes is above the 6 MiB that "
                "SageMaker takes: lower batch, or send png_base64"
            )
        return request

    def classify(self, response: Response) -> Outcome:
        """Read the error's type: throttling and stale credentials come as 400, the model's own errors as 424."""
        if 200 <= response.status < 300:
            return Outcome.OK
        kind = _error_type(response)
        if kind in _THROTTLED:
            return Outcome.THROTTLED
        if kind in _STALE:
            return Outcome.AUTH
        if kind in _PASSING:
            return Outcome.TRANSIENT
        if response.status == 424:
            return self._model_error(response)
        return super().classify(response)

    def _model_error(self, response: Response) -> Outcome:
        """Judge the status that the container itself gave; its 500 is its code's error and stays."""
        original = read_mildly(response).get("OriginalStatusCode")
        passing = isinstance(original, int) and original in (408, 429, 502, 503, 504)
        return Outcome.TRANSIENT if passing else Outcome.FATAL


def _error_type(response: Response) -> str:
    """Return the error's name, from the header or the body, without namespace and link."""
    said = response.headers.get("x-amzn-errortype") or read_mildly(response).get("__type")
    return said.split(":")[0].split("#")[-1] if isinstance(said, str) else ""
