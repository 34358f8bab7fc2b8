"""Microsoft Azure: the default chain of azure-identity; a bearer token of Entra ID."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import ClassVar, Literal

from pydantic import Field

from metav_audit.audit.endpoint.credentials.base import Lease, Source
from metav_audit.errors import ConfigurationError

_CODE = re.compile(r"AADSTS\d{1,10}")


class Azure(Source):
    """A service principal of the environment, a workload's or managed identity, or what ``az login`` left."""

    kind: ClassVar[str] = "azure"
    library: ClassVar[str] = "azure.identity"
    extra: ClassVar[str] = "azure"
    loggers: ClassVar[tuple[str, ...]] = ("azure", "msal")
    advice: ClassVar[str] = "see what 'az account get-access-token --scope SCOPE' says"

    source: Literal["azure"] = Field(description="where the credentials come from: DefaultAzureCredential")
    scope: str = Field(
        "https://ml.azure.com/.default", description="what the token is good for", pattern=r"^[!-~]{1,200}$"
    )

    def fetch(self) -> Lease:
        """Open a chain of its own, so that no token that it kept from before is given again."""
        from azure.core.exceptions import ClientAuthenticationError
        from azure.identity import DefaultAzureCredential

        with self.told(), DefaultAzureCredential() as chain:
            try:
                given = chain.get_token(self.scope)
            except ClientAuthenticationError as error:
                # The chain raises the same where nothing is found and where what is found is refused.
                code = self.code_of(error)
                raise ConfigurationError(
                    f"{self.name}: azure-identity finds none on this machine that Entra ID takes"
                    f"{f' ({code})' if code else ''}: {self.advice}"
                ) from None
            return Lease((given.token,), datetime.fromtimestamp(given.expires_on, UTC))

    def code_of(self, error: BaseException) -> str:
        """Return the error's number of Entra ID."""
        found = _CODE.search(str(error))
        return found[0] if found else ""
