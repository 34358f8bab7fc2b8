"""Google Cloud: application default credentials, as google-auth finds them; a bearer token."""

from __future__ import annotations

import re
from datetime import UTC
from typing import ClassVar, Literal

from pydantic import Field

from metav_audit.audit.endpoint.credentials.base import Lease, Source
from metav_audit.errors import ConfigurationError

_CODE = re.compile(r"[a-z_]{1,60}")


class Google(Source):
    """A service account, a workload's identity, an instance's account, or what gcloud left: whichever is found."""

    kind: ClassVar[str] = "google"
    library: ClassVar[str] = "google.auth.transport.requests"
    extra: ClassVar[str] = "gcp"
    loggers: ClassVar[tuple[str, ...]] = ("google.auth", "google.oauth2")
    advice: ClassVar[str] = "see what 'gcloud auth application-default print-access-token' says"

    source: Literal["google"] = Field(description="where the credentials come from: application default credentials")
    scopes: tuple[str, ...] = Field(
        ("https://www.googleapis.com/auth/cloud-platform",), description="what the token is good for", min_length=1
    )

    def fetch(self) -> Lease:
        """Find the credentials and have them refreshed, whatever is left of an earlier token."""
        import google.auth
        from google.auth.exceptions import DefaultCredentialsError
        from google.auth.transport.requests import Request

        with self.told():
            try:
                found, _ = google.auth.default(scopes=list(self.scopes))
            except DefaultCredentialsError:
                raise ConfigurationError(
                    f"{self.name}: google-auth finds none on this machine, or a file that is none: name a file in "
                    f"GOOGLE_APPLICATION_CREDENTIALS or run 'gcloud auth application-default login'; {self.advice}"
                ) from None
            found.refresh(Request())
            # google-auth tells the time in UTC without saying so.
            expires = None if found.expiry is None else found.expiry.replace(tzinfo=UTC)
            return Lease((found.token,), expires)

    def code_of(self, error: BaseException) -> str:
        """Return the error's code of OAuth 2, such as invalid_grant."""
        told = next((each for each in error.args if isinstance(each, dict)), {}).get("error", "")
        return told if isinstance(told, str) and _CODE.fullmatch(told) else ""
