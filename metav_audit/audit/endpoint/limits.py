"""How hard and how long an endpoint may be asked."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Limits(BaseModel):
    """How hard and how long an endpoint may be asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    concurrency: int = Field(default=4, ge=1, le=64, description="requests in flight at once, at most")
    per_second: float | None = Field(
        default=None, gt=0, le=1e6, description="requests a second at most; endpoints on one host share the lowest"
    )
    requests: int | None = Field(
        default=None, ge=1, description="requests in all, retries included; 4 times the needed if absent"
    )
    attempts: int = Field(default=4, ge=1, le=20, description="attempts for one request")
    connect_timeout_s: float = Field(default=10, gt=0, le=600, description="seconds to connect")
    read_timeout_s: float = Field(default=30, gt=0, le=3600, description="seconds of silence while reading")
    total_s: float = Field(
        default=60, gt=0, le=3600, description="seconds for one request, from connecting to the last byte"
    )
    wall_s: float = Field(default=14400, gt=0, le=30 * 86400, description="seconds for one run of the audit")
    price: float | None = Field(default=None, ge=0, description="what one request costs, for --dry-run")
    max_response_bytes: int = Field(
        default=1 << 20, ge=1024, le=1 << 28, description="bytes of one response, after unpacking"
    )

    def budget(self, needed: int) -> int:
        """Return the ceiling of requests where so many are needed at most, retries aside."""
        return self.requests if self.requests is not None else 4 * needed


DEFAULT_LIMITS = Limits()
