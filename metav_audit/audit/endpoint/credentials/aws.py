"""AWS: whatever botocore finds, by profile, role, single sign-on, container or instance; it signs requests."""

from __future__ import annotations

import os
import re
from typing import ClassVar, Literal, Self

from pydantic import Field

from metav_audit.audit.endpoint.credentials.base import Lease, Source
from metav_audit.errors import ConfigurationError

_CODE = re.compile(r"[A-Za-z0-9.]{1,60}")


class Aws(Source):
    """Credentials of botocore's own chain; the signature over a request is still made by the table ``signing``."""

    kind: ClassVar[str] = "aws"
    library: ClassVar[str] = "botocore.session"
    extra: ClassVar[str] = "aws"
    signs: ClassVar[bool] = True
    loggers: ClassVar[tuple[str, ...]] = ("botocore",)
    advice: ClassVar[str] = "see what 'aws sts get-caller-identity' says, with --profile where one is named"

    source: Literal["aws"] = Field(description="where the credentials come from: botocore's chain")
    profile: str | None = Field(
        None, description="a profile of ~/.aws/config; AWS_PROFILE or botocore's chain if absent",
        pattern=r"^[^\x00-\x1f\x7f]{1,200}$",
    )  # fmt: skip

    region: str | None = Field(
        None, description="of the token service, where the profile names none; that of signing if absent",
        pattern=r"^[a-z0-9-]{2,60}$",
    )  # fmt: skip

    def near(self, region: str) -> Self:
        """Ask the token service of that region, unless the file or the profile names another."""
        return self if self.region else self.model_copy(update={"region": region})

    def fetch(self) -> Lease:
        """Open a session of its own, so that nothing that it kept from before is given again."""
        import botocore.session
        from botocore.config import Config
        from botocore.exceptions import ProfileNotFound

        with self.told():
            session = botocore.session.Session(profile=self.profile)
            session.set_default_client_config(Config(connect_timeout=10, read_timeout=20))
            try:
                asks = {"mfa_serial", "role_arn"} <= session.get_scoped_config().keys()
            except ProfileNotFound:
                raise ConfigurationError(f"{self.name}: {self._named} is not in ~/.aws/config") from None
            # Without a profile named here, keys of the environment come first, and nobody is asked.
            if asks and (self.profile or not os.environ.get("AWS_ACCESS_KEY_ID")):
                raise ConfigurationError(
                    f"{self.name}: {self._named} asks for a code (mfa_serial), and nobody is there to give it: put "
                    "what 'aws configure export-credentials --format env' prints into variables instead"
                )
            if session.get_config_variable("region") is None:
                session.set_config_variable("region", self.region)
            found = session.get_credentials()
            if found is None:
                raise ConfigurationError(f"{self.name}: botocore finds no credentials: {self.advice}")
            frozen = found.get_frozen_credentials()
            parts = (frozen.access_key, frozen.secret_key, *([frozen.token] if frozen.token else []))
            # botocore has no public name for the end; where this one is gone, a refusal tells.
            return Lease(parts, getattr(found, "_expiry_time", None))

    @property
    def _named(self) -> str:
        return f"the profile {self.profile!r}" if self.profile else "the profile of AWS_PROFILE"

    def code_of(self, error: BaseException) -> str:
        """Return the error's code of the token service."""
        code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
        return code if _CODE.fullmatch(code) else ""
