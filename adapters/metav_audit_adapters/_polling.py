"""Fetching the result of a request that only submits a job."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Self
from urllib.parse import quote, urljoin, urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from metav_audit.adapter import AnswerError, Request, Response, Wait, read_json
from metav_audit_adapters._jobs import TICKET
from metav_audit_adapters._paths import walk
from metav_audit_adapters._template import JsonPath


class Poll(BaseModel):
    """How the result of a submitted request is fetched."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ticket: JsonPath = Field(description="path, in the answer to the request, to the job's number or address")
    url: str = Field(TICKET, description="the address to poll, with {{ticket}} for what stood at that path")
    done: JsonPath = Field(description="path, in a poll's answer, to what says whether the job is done")
    equals: str | bool | int | None = Field(None, description="what stands there when it is done; anything if absent")
    failed: tuple[str, ...] = Field((), description="texts that stand there when the job has failed")
    pending: tuple[int, ...] = Field((404,), description="statuses that a poll answers until the job is done")
    every_s: float = Field(2.0, description="seconds between polls", gt=0, le=120)
    at_most: int = Field(30, description="polls before the query is given up", ge=1, le=1000)

    @model_validator(mode="after")
    def _ticket_is_used(self) -> Self:
        if TICKET not in self.url:
            raise ValueError(f'url: put "{TICKET}" where the job\'s number belongs')
        return self


def check_host(poll: Poll | None, url: str) -> None:
    """Raise ValueError where a poll leads to another host than the request."""
    if poll is not None and urlsplit(urljoin(url, poll.url))[:2] != urlsplit(url)[:2]:
        raise ValueError("poll.url: it must be on the host of url, the only one that is asked")


def steps_of(poll: Poll | None) -> int:
    """Return how many requests one takes at most: itself, and the polls after it."""
    return 1 if poll is None else 1 + poll.at_most


def fetched(request: Request, poll: Poll | None) -> Generator[Request | Wait, Response, Response]:
    """Send a request; where it only submits a job, poll until that is done. Return what holds the answer.

    Raises:
        AnswerError: the job is not taken, has failed, or is not done in time.
    """
    response = yield request
    if poll is None:
        return response
    if response.status in poll.pending:
        raise AnswerError(f"the job is not taken: HTTP {response.status}; check url and body")
    address = _poll_address(poll, request.url, response)
    for _ in range(poll.at_most):
        yield Wait(poll.every_s)
        response = yield Request(address, b"", "GET", {})
        if _is_done(poll, response):
            return response
    raise AnswerError(
        f"the job is not done after {poll.at_most} polls, the last answered with HTTP {response.status}: "
        "raise poll.at_most or poll.every_s, or mend poll.url and poll.done"
    )


def _poll_address(poll: Poll, base: str, submitted: Response) -> str:
    ticket = walk(read_json(submitted), poll.ticket, "poll.ticket")
    if isinstance(ticket, bool) or not isinstance(ticket, str | int) or ticket == "":
        raise AnswerError(f"the job's ticket is no text or number but {type(ticket).__name__}: mend poll.ticket")
    if poll.url == TICKET:
        return _joined(base, str(ticket))
    return urljoin(base, poll.url.replace(TICKET, quote(str(ticket), safe="")))


def _is_done(poll: Poll, response: Response) -> bool:
    """Say whether a job is done; what is not there yet counts as not done, as the polls are bounded anyway.

    Raises:
        AnswerError: the job has failed.
    """
    try:
        state: Any = walk(read_json(response), poll.done, "poll.done")
    except AnswerError:
        return False
    if isinstance(state, str) and state in poll.failed:
        raise AnswerError(f"the service says the job has {state[:40]!r}")
    return state is not None if poll.equals is None else type(state) is type(poll.equals) and state == poll.equals


def _joined(base: str, address: str) -> str:
    try:
        return urljoin(base, address)
    except ValueError:
        raise AnswerError("the job's address is not valid: mend poll.ticket") from None
