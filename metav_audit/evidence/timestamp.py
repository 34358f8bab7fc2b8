"""RFC 3161 time stamps: asked of an authority, and checked offline ever after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from rfc3161_client import (
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)
from rfc3161_client.base import HashAlgorithm

from metav_audit.errors import ConfigurationError, EvidenceError
from metav_audit.files import read_regular

MAX_RESPONSE_BYTES = 1 << 20
MAX_CERTIFICATE_BYTES = 1 << 20

Post = Callable[[str, bytes], bytes]
"""Sends a time-stamp query to an address and returns the answer: ``metav_audit.audit.post_time_stamp_query``."""

Stamper = Callable[[bytes], "TimeStamp"]
"""Fetches a time stamp over some bytes; see ``fetch_time_stamp``."""


@dataclass(frozen=True, slots=True)
class TimeStamp:
    """What an authority answered, and what it takes to check that.

    Attributes:
        response: the whole TimeStampResp, DER.
        nonce: the number that was sent along, so that no old answer could be passed off as this one.
        certificates: the authority's root certificates as the signer gave them, PEM.
    """

    response: bytes
    nonce: int
    certificates: str


@dataclass(frozen=True, slots=True)
class Stamped:
    """When an authority saw some bytes.

    Attributes:
        at: the time it states, UTC.
        accuracy: how far off it may be, as the authority states it; nought where it states nothing.
        authority: the name in its certificate.
        anchors: SHA-256 of each root certificate that it was checked against, in hexadecimal.
        trusted: whether the one who checks gave those roots; else they came along with the stamp.
    """

    at: datetime
    accuracy: timedelta
    authority: str
    anchors: tuple[str, ...]
    trusted: bool

    @property
    def latest(self) -> datetime:
        """The latest time it may have been."""
        return self.at + self.accuracy


def fetch_time_stamp(content: bytes, url: str, certificates: str, post: Post) -> TimeStamp:
    """Ask an authority for a time stamp over ``content``, and check it at once.

    Args:
        content: what is stamped; only its SHA-256 leaves this machine.
        url: the authority's address.
        certificates: its root certificates, PEM; see ``read_certificates``.
        post: the way to the network.

    Raises:
        RemoteError: the authority could not be asked.
        EvidenceError: its answer is refused; see ``check_time_stamp``.
    """
    request = TimestampRequestBuilder().data(content).hash_algorithm(HashAlgorithm.SHA256).build()
    assert request.nonce is not None
    stamp = TimeStamp(post(url, request.as_bytes()), request.nonce, certificates)
    check_time_stamp(stamp, content)
    return stamp


def check_time_stamp(stamp: TimeStamp, content: bytes, roots: str | None = None) -> Stamped:
    """Check a time stamp offline.

    1. The answer is one, and grants a stamp.
    2. It is over ``content``, carries the nonce, and is signed by a certificate that is made for time stamps and
       nothing else, whose chain ends in a root and was valid at the stamped time.
    3. That certificate is named beyond doubt.

    Args:
        stamp: what the authority answered.
        content: what was stamped.
        roots: the roots to trust, PEM; those that came along with the stamp if None.

    Raises:
        EvidenceError: any of it does not hold.
    """
    anchors = _load(roots if roots is not None else stamp.certificates)
    # 1.
    response = _decode(stamp.response)
    # 2.
    try:
        VerifierBuilder(roots=anchors, nonce=stamp.nonce).build().verify_message(response, content)
    except VerificationError as error:
        raise EvidenceError(f"the time stamp does not hold: {_reason(error)}") from None
    # 3.
    signer = _signer(response)
    info = response.tst_info
    return Stamped(
        at=info.gen_time.astimezone(UTC),
        accuracy=_accuracy(response),
        authority=signer.subject.rfc4514_string(),
        anchors=tuple(anchor.fingerprint(SHA256()).hex() for anchor in anchors),
        trusted=roots is not None,
    )


def read_certificates(path: Path) -> str:
    """Read the root certificates of an authority from a PEM file, and write them in PEM anew.

    Raises:
        ConfigurationError: the file cannot be read, or holds no certificate.
    """
    try:
        text = read_regular(path, MAX_CERTIFICATE_BYTES, follow=True).decode()
        return "".join(each.public_bytes(Encoding.PEM).decode() for each in _load(text))
    except OSError as error:
        raise ConfigurationError(f"cannot read the certificate {path}: {error.strerror}") from error
    except (UnicodeDecodeError, EvidenceError):
        raise ConfigurationError(f"{path} holds no certificate in PEM: fetch it from the authority's pages") from None


def _load(pem: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        raise EvidenceError("the time-stamp authority's certificates are not PEM, or damaged") from None


def _decode(content: bytes) -> TimeStampResponse:
    try:
        response = decode_timestamp_response(content)
        if response.status != 0:
            said = " ".join(response.status_string)[:200]
            raise EvidenceError(f"the time-stamp authority refuses, status {response.status}: {said or 'no reason'}")
        _ = response.tst_info.gen_time, response.signed_data.certificates
    except ValueError:
        raise EvidenceError("the time-stamp authority's answer is no time stamp, or damaged") from None
    return response


def _signer(response: TimeStampResponse) -> x509.Certificate:
    """Return the one certificate that signed; two of the same name and number would leave a choice."""
    try:
        (info,) = response.signed_data.signer_infos
        (signer,) = (
            each
            for each in map(x509.load_der_x509_certificate, response.signed_data.certificates)
            if (each.issuer, each.serial_number) == (info.issuer, info.serial_number)
        )
    except ValueError:
        raise EvidenceError("the time stamp does not name one certificate that signed it") from None
    return signer


def _accuracy(response: TimeStampResponse) -> timedelta:
    stated = response.tst_info.accuracy
    if stated is None:
        return timedelta()
    return timedelta(seconds=stated.seconds or 0, milliseconds=stated.millis or 0, microseconds=stated.micros or 0)


def _reason(error: VerificationError) -> str:
    """Take from OpenSSL's stack of errors what a reader can use."""
    text = str(error)
    _, found, rest = text.partition('data: "Verify error: ')
    return rest.partition('"')[0] if found else text[:200]
