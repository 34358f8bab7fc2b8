"""DSSE envelopes around in-toto Statements: what is signed, byte for byte.

A statement is canonical JSON (RFC 8785), so there is one way to write it and one way to read it. The signature is over
DSSE's pre-authentication encoding of it, which also binds its type: https://github.com/secure-systems-lab/dsse.
The encoding is one line and Ed25519 is the whole of the cryptography, so no further library stands in between.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import rfc8785

from metav_audit.errors import EvidenceError
from metav_audit.evidence.keys import SigningKey, VerifyingKey
from metav_audit.files import strict_json

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
COMMITS = "urn:metav-audit:commitment:v1"
"""The one kind of statement that may have further subjects, the target's own files."""

OF_TARGET = ("target: ", "model-signing manifest: ", "model-signing subject: ")
"""How their names begin."""


@dataclass(frozen=True, slots=True)
class Statement:
    """An in-toto Statement about one subject, and others that go with it.

    Attributes:
        subject: its name.
        sha256: its hash, in hexadecimal.
        predicate_type: a URI that says what the predicate means.
        predicate: what is stated; JSON types.
        further: other subjects' hashes by name, which stand behind the first in the order of their names.
    """

    subject: str
    sha256: str
    predicate_type: str
    predicate: Mapping[str, Any]
    further: Mapping[str, str] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Write the statement as canonical JSON.

        Raises:
            EvidenceError: it holds what JSON cannot say for certain; see ``canonical``.
        """
        subjects = [(self.subject, self.sha256), *sorted(self.further.items())]
        return write_statement(subjects, self.predicate_type, self.predicate)

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read what ``to_bytes`` wrote, and nothing else.

        Raises:
            EvidenceError: it is no such statement, or is not written canonically.
        """
        try:
            fields = strict_json(content)
            first, *others = ((each["name"], each["digest"]["sha256"]) for each in fields["subject"])
            read = cls(*first, fields["predicateType"], fields["predicate"], dict(others))
            same = read.to_bytes() == content
            if others and (read.predicate_type != COMMITS or not all(name.startswith(OF_TARGET) for name, _ in others)):
                raise ValueError("subjects that go with no such statement")
        except (ValueError, KeyError, TypeError):
            raise EvidenceError("the signed statement is not one of ours") from None
        if not same:
            raise EvidenceError("the signed statement is not canonical JSON: it might be read in two ways")
        return read


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload with one signature, as DSSE has it.

    Attributes:
        payload: what is signed.
        payload_type: how to read it.
        key_id: names the key; a hint, the signature decides.
        signature: 64 bytes.
    """

    payload: bytes
    payload_type: str
    key_id: str
    signature: bytes

    def to_json(self) -> dict[str, Any]:
        """Write the envelope in DSSE's JSON types."""
        signature = {"keyid": self.key_id, "sig": base64.b64encode(self.signature).decode()}
        payload = base64.b64encode(self.payload).decode()
        return {"payload": payload, "payloadType": self.payload_type, "signatures": [signature]}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            TypeError, ValueError, KeyError: a field is missing, unknown or misstated.
        """
        (signature,) = fields["signatures"]
        if fields.keys() != {"payload", "payloadType", "signatures"} or signature.keys() != {"keyid", "sig"}:
            raise ValueError("unknown fields in the envelope")
        payload, signed = decode_base64(fields["payload"]), decode_base64(signature["sig"])
        if not (isinstance(fields["payloadType"], str) and isinstance(signature["keyid"], str)):
            raise TypeError("the envelope's types")
        return cls(payload, fields["payloadType"], signature["keyid"], signed)


def canonical(value: Any) -> bytes:
    """Write JSON types as RFC 8785 has it.

    Raises:
        EvidenceError: a number is NaN, infinite, or so large (2**53 and more) that not every reader reads it exactly;
            a text holds what UTF-8 cannot write; or it is no JSON type.
    """
    try:
        text = rfc8785.dumps(value)
        # A large float is written as an integer that a reader takes for an exact one: it is refused as those are.
        rfc8785.dumps(strict_json(text))
    except (ValueError, RecursionError) as error:
        raise EvidenceError(
            f"this cannot be written as canonical JSON: {error}; write large numbers as texts"
        ) from None
    return text


def write_statement(subjects: Iterable[tuple[str, str]], predicate_type: str, predicate: Mapping[str, Any]) -> bytes:
    """Write an in-toto Statement about one or several subjects as canonical JSON.

    Args:
        subjects: names, each with its SHA-256 in hexadecimal.
        predicate_type: a URI that says what the predicate means.
        predicate: what is stated; JSON types.

    Raises:
        EvidenceError: it holds what JSON cannot say for certain; see ``canonical``.
    """
    return canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in subjects],
            "predicateType": predicate_type,
            "predicate": dict(predicate),
        }
    )


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding: the bytes that a signature is over."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(statement: Statement, key: SigningKey) -> Envelope:
    """Sign a statement.

    Raises:
        EvidenceError: it cannot be written as canonical JSON.
    """
    return sign_payload(statement.to_bytes(), key)


def sign_payload(payload: bytes, key: SigningKey) -> Envelope:
    """Sign a statement that is already written."""
    return Envelope(payload, PAYLOAD_TYPE, key.public.key_id, key.sign(pae(PAYLOAD_TYPE, payload)))


def open_envelope(envelope: Envelope, key: VerifyingKey, predicate_type: str) -> Statement:
    """Return the statement that ``key`` signed.

    Raises:
        EvidenceError: the signature is not this key's, or the statement is of another kind.
    """
    if envelope.payload_type != PAYLOAD_TYPE:
        raise EvidenceError(f"the envelope holds {envelope.payload_type[:80]!r}, not an in-toto statement")
    if not key.verifies(envelope.signature, pae(PAYLOAD_TYPE, envelope.payload)):
        raise EvidenceError("the signature does not hold: the statement was altered, or another key signed it")
    statement = Statement.from_bytes(envelope.payload)
    if statement.predicate_type != predicate_type:
        raise EvidenceError(f"the statement is of the kind {statement.predicate_type[:80]!r}, not {predicate_type!r}")
    return statement


def decode_base64(text: str) -> bytes:
    """Read base64 in either of its alphabets, as DSSE asks.

    Raises:
        ValueError: it is not base64.
    """
    try:
        return base64.b64decode(text.encode("ascii").translate(bytes.maketrans(b"-_", b"+/")), validate=True)
    except (binascii.Error, UnicodeEncodeError, AttributeError):
        raise ValueError("not base64") from None
