"""What to tell a person when an endpoint does not answer: what happened, and what to do next."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import datetime
from urllib.parse import urljoin

from metav_audit.adapter import Outcome, Response
from metav_audit.audit.endpoint.file import Endpoint
from metav_audit.audit.endpoint.secrets import VARIABLE, name_of_dropped
from metav_audit.audit.pace.retries import PassingError, RefusedError
from metav_audit.audit.wire.faults import PROXY_ADVICE, FaultKind, TransportError
from metav_audit.audit.wire.hints import wished_pause
from metav_audit.audit.wire.identity import explain
from metav_audit.errors import AnswerError, RemoteError

_MOST_ADDRESS = 200
_CHECK_URL = "check that the URL is right and the service up, then run again"
_FAULT_ADVICE = {
    FaultKind.UNREACHABLE: _CHECK_URL,
    FaultKind.TIMEOUT: "raise limits.read_timeout_s and limits.total_s if the service is slow, then run again",
    FaultKind.RESET: _CHECK_URL,
    FaultKind.TLS: "check the host name, and name the authority's certificate in ca or SSL_CERT_FILE if it is your own",
    FaultKind.OVERSIZE: "check the URL, or raise limits.max_response_bytes",
    FaultKind.MALFORMED: "check the URL",
}


def no_response(endpoint: Endpoint, fault: TransportError) -> RemoteError:
    """Turn a transport's fault into an error, to be tried again where that may help."""
    message, advice = f"{endpoint.url}: {fault}", fault.advice or _FAULT_ADVICE[fault.kind]
    return PassingError(message, advice) if fault.passing else RemoteError(f"{message}: {advice}")


def refusal(endpoint: Endpoint, outcome: Outcome, response: Response, now: datetime) -> RemoteError:
    """Turn a response that is not OK into an error, to be tried again where that may help."""
    message = f"{endpoint.url} answers {explain(response)}"
    if response.status == 407:
        return RemoteError(f"{message}: {PROXY_ADVICE}")
    after = wished_pause(response, now)
    if outcome is Outcome.THROTTLED:
        return PassingError(message, "lower limits.concurrency or wait a while, then run again", after)
    if outcome is Outcome.TRANSIENT:
        digest = hashlib.sha256(response.content).hexdigest()
        return PassingError(message, _CHECK_URL, after, response.status, digest)
    if outcome is Outcome.AUTH:
        return RemoteError(f"{message}: {_credentials(endpoint)}")
    if 300 <= response.status < 400:
        return RemoteError(f"{message}: {_elsewhere(endpoint, response)}")
    return RefusedError(f"{message}: the request is refused; {endpoint.adapter.advice}")


def _elsewhere(endpoint: Endpoint, response: Response) -> str:
    """Say where a redirect leads: the server's word, which is shown and not followed."""
    leads = response.headers.get("location", "").strip()
    if not leads:
        return "redirects are not followed, and it names no address: give the API's own in url"
    with suppress(ValueError):
        leads = urljoin(endpoint.url, leads)
    shown = repr(leads[:_MOST_ADDRESS])
    return f"it leads to {shown}, and redirects are not followed: if that is the API's own address, give it in url"


def _credentials(endpoint: Endpoint) -> str:
    source = endpoint.credentials
    if source is not None:
        region = f", the region {endpoint.signer.region}, this machine's clock" if endpoint.signer is not None else ""
        return f"{source.name} are refused; check what they are allowed{region}, and {source.advice}"
    if endpoint.signer is not None:
        region = f"the region {endpoint.signer.region} and this machine's clock"
        return f"the signature is refused; check the variables {endpoint.signer.variables}_..., {region}"
    used = {name: VARIABLE.findall(value) for name, value in endpoint.headers.items()}
    places = [f"{name} (variable {', '.join(variables)})" for name, variables in used.items() if variables]
    if places:
        return f"the credentials are refused; check the header {' and '.join(places)}"
    return f'it wants credentials; add [endpoints.{endpoint.name}.headers] with Authorization = "Bearer ${{NAME}}"'


def check_kept(response: Response) -> None:
    """Raise AnswerError where a body was dropped: an answer that nobody can read again does not count."""
    name = name_of_dropped(response.content)
    if name is not None:
        raise AnswerError(
            f"the response repeats the value of {name} in another spelling, so its body is not kept, and an answer "
            "without its body does not count: use a credential that the endpoint does not repeat"
        )
