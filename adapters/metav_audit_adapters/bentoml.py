"""BentoML services: one address a method, its arguments as JSON, its result bare."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from metav_audit_adapters._shared import join
from metav_audit_adapters._template import TemplateAdapter, TemplateOptions


class BentoMLOptions(TemplateOptions):
    """What a BentoML service is told."""

    url: str = Field(description="the service's base, such as http://host:3000", pattern=r"^https?://")
    api: str = Field(description="the method's route, such as classify", pattern=r"^[\w./-]+$")


class BentoML(TemplateAdapter):
    """Sends a method's arguments by their names; reads what it returned."""

    name: ClassVar[str] = "bentoml"
    summary: ClassVar[str] = "BentoML: a method's keyword arguments as JSON or a form in, its bare result out"
    Options: ClassVar[type[BentoMLOptions]] = BentoMLOptions
    options: BentoMLOptions

    @property
    def address(self) -> str:
        """The method's route."""
        return join(self.options.url, *self.options.api.strip("/").split("/"))
