"""TLS of one endpoint: whom it trusts, the certificate that it shows, and what a refusal of either means."""

from __future__ import annotations

import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from metav_audit.audit.endpoint.way import Way
from metav_audit.audit.wire.faults import FaultKind, TransportError
from metav_audit.errors import ConfigurationError

_CERTIFICATE_REQUEST = 13
"""TLS's number of the message by which a server asks for a client certificate."""

_OURS = {
    "CERTIFICATE_EXPIRED": "it has expired",
    "UNKNOWN_CA": "it does not know the authority that signed it",
    "BAD_CERTIFICATE": "it takes it for a bad one",
    "UNSUPPORTED_CERTIFICATE": "it does not take its kind",
    "CERTIFICATE_REVOKED": "it was revoked",
    "CERTIFICATE_UNKNOWN": "it does not say why",
    "ACCESS_DENIED": "it gives its holder no access",
    "DECRYPT_ERROR": "its signature does not hold: is the key the certificate's?",
}
"""A server's alerts over a client certificate, by the end of OpenSSL's name for each."""

_NAME_ONE = "name cert and key, files in PEM, in the endpoint's table"


@dataclass(slots=True)
class Tls:
    """What TLS needs, and what it has seen of one endpoint.

    Attributes:
        context: for the connections.
        cert: the file of the client certificate, or None.
        wanted: whether the server asked for one.
        accepted: whether it has answered a request.
    """

    context: ssl.SSLContext
    cert: str | None = None
    wanted: bool = False
    accepted: bool = False

    def watch(self) -> None:
        """Take note when the server asks for a client certificate.

        Under TLS 1.3 it refuses only after the handshake, and closes: its reason is then read, or lost, by chance.
        """

        def see(_connection: Any, direction: str, _version: Any, _content: Any, message: Any, _data: bytes) -> None:
            self.wanted = self.wanted or (direction == "read" and message == _CERTIFICATE_REQUEST)

        # Not documented, but in every CPython since 3.8; without it a lost reason reads as a broken connection.
        with suppress(AttributeError):
            self.context._msg_callback = see  # type: ignore[attr-defined]

    def fault(self, error: BaseException) -> TransportError | None:
        """Say what went wrong in TLS's own words; None where nothing of TLS did."""
        found = _ssl_error_in(error)
        if found is None:
            # The connection broke where a refused client's would: the reason has not come through.
            return self._refused("") if self.wanted and not self.accepted else None
        reason = getattr(found, "reason", None) or ""
        if isinstance(found, ssl.SSLCertVerificationError):
            return TransportError(FaultKind.TLS, f"its TLS certificate is not trusted ({found.verify_message})")
        if "ALERT" in reason and (self.wanted or self.cert or reason.endswith("CERTIFICATE_REQUIRED")):
            return self._refused(reason)
        told = reason.replace("_", " ").lower()
        return TransportError(FaultKind.TLS, f"its TLS handshake is not valid{f' ({told})' if told else ''}")

    def _refused(self, reason: str) -> TransportError:
        if self.cert is None:
            told = "it asks for a client certificate, which the endpoint file does not name"
            return TransportError(FaultKind.TLS, told, _NAME_ONE)
        if reason.endswith("CERTIFICATE_REQUIRED"):
            told = f"it asks for another client certificate than {self.cert}: its authorities did not sign that one"
            return TransportError(FaultKind.TLS, told, _NAME_ONE)
        why = next((words for end, words in _OURS.items() if reason.endswith(end)), "it does not say why")
        ended = _ended(Path(self.cert))
        return TransportError(
            FaultKind.TLS,
            f"it refuses the client certificate {self.cert}: {why}{ended}",
            "name a certificate that it takes, with its chain, in cert",
        )


def open_tls(scheme: str, way: Way, password: str) -> Tls:
    """Open TLS as an endpoint's options say; plain HTTP has none.

    It trusts the usual roots, or those of ``ca``, of ``SSL_CERT_FILE`` or of ``SSL_CERT_DIR``.

    Raises:
        ConfigurationError: certificates or a key cannot be read, or do not belong together.
    """
    if scheme != "https":
        return Tls(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    tls = Tls(_trust(way.ca), way.cert)
    if way.cert is not None:
        _show(tls.context, way.cert, way.key, password)
    tls.watch()
    return tls


def _trust(ca: str | None) -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context() if ca is None else ssl.create_default_context(cafile=ca)
    except OSError as error:
        if ca is not None:
            raise ConfigurationError(f"ca: cannot read root certificates, in PEM, in {ca} ({_why(error)})") from None
        raise ConfigurationError(
            f"cannot read the root certificates of TLS ({_why(error)}): SSL_CERT_FILE must name a file of "
            "certificates in PEM, SSL_CERT_DIR a folder; unset both for the usual ones"
        ) from None


def _show(context: ssl.SSLContext, cert: str, key: str | None, password: str) -> None:
    for name, path in (("cert", cert), ("key", key)):
        if path is not None and not Path(path).is_file():
            raise ConfigurationError(f"{name}: there is no file {path}")
    try:
        # An empty password, not none: for that OpenSSL would ask at the terminal.
        context.load_cert_chain(cert, key, lambda: password)
    except ssl.SSLError as error:
        raise ConfigurationError(f"cert: {_why_not_shown(error, cert, key, password)}") from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cert: cannot read {cert} or its key ({error})") from None
    # Some servers ask for it once they have seen the request.
    context.post_handshake_auth = True


def _why_not_shown(error: ssl.SSLError, cert: str, key: str | None, password: str) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"{cert} and the key in {key or cert} do not belong together"
    if b"ENCRYPTED" in Path(key or cert).read_bytes():
        wrong = "the variable of key_password does not open it" if password else 'give key_password = "${NAME}"'
        return f"the key in {key or cert} is encrypted: {wrong}"
    return f"cannot read a certificate in {cert}, and its key in {key or cert}, in PEM ({_why(error)})"


def _why(error: OSError) -> str:
    told = getattr(error, "reason", None) or error.strerror or str(error)
    return told.replace("_", " ").lower() if told.isupper() else told


def _ended(path: Path) -> str:
    """Say when a certificate's time was over, if it was."""
    from cryptography import x509

    try:
        until = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return ""
    return f"; its time was over on {until:%Y-%m-%d}" if until < datetime.now(UTC) else ""


def _ssl_error_in(error: BaseException) -> ssl.SSLError | None:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    return cause
