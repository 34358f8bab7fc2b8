"""Envelopes: what is signed byte for byte, and that nothing else is read out of them."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import replace

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope as TheirEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

from metav_audit.errors import EvidenceError
from metav_audit.evidence.envelope import (
    PAYLOAD_TYPE,
    Envelope,
    Statement,
    canonical,
    decode_base64,
    open_envelope,
    pae,
    sign,
)
from tests.evidence.conftest import signing_key

KIND = "urn:test:v1"
STATEMENT = Statement("toy", "0" * 64, KIND, {"rate": 0.05, "of": ["é", None, True, 3]})
SAFE = 2**53 - 1
NUMBERS = st.integers(-SAFE, SAFE) | st.floats(-SAFE, SAFE)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def test_the_encoding_is_dsse_s_own_example():
    """The pre-authentication encoding of the specification's test vector."""
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@given(TEXTS, st.binary(), TEXTS, st.binary())
def test_no_two_payloads_are_encoded_alike(kind, payload, other_kind, other_payload):
    """Type and payload follow from the encoding; lengths count bytes."""
    assert (pae(kind, payload) == pae(other_kind, other_payload)) == ((kind, payload) == (other_kind, other_payload))
    size = int(pae(kind, payload).split(b" ")[1])
    assert size == len(kind.encode())


@given(JSON)
def test_canonical_json_is_read_back_as_it_was(value):
    """What is written is JSON of the same value, and is written the same again."""
    text = canonical(value)
    assert json.loads(text) == value
    assert canonical(json.loads(text)) == text


@given(JSON)
def test_the_order_of_keys_does_not_matter(value):
    """An object is written in one way alone."""
    fields = {"b": value, "a": value}
    assert canonical(fields) == canonical(dict(reversed(fields.items())))


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, 2**53, -(2**53), 10**30, float(2**53), 1e20, -1e17, "\ud800", {1: 2}, {1, 2}, b"x"],
)
def test_what_json_cannot_say_for_certain_is_refused(value):
    """NaN, infinities, numbers that not every reader reads exactly, lone surrogates, other types."""
    with pytest.raises(EvidenceError, match="canonical JSON"):
        canonical({"deep": [value]})


def test_nesting_without_end_is_refused():
    """No crash of the interpreter."""
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(EvidenceError):
        canonical(deep)


def test_a_signed_statement_is_read_back(key):
    """Signed, written, read and opened: the same statement."""
    envelope = Envelope.from_json(json.loads(json.dumps(sign(STATEMENT, key).to_json())))
    assert open_envelope(envelope, key.public, KIND) == STATEMENT


@given(st.data())
def test_an_altered_envelope_is_refused(data):
    """Whichever bit of payload, type or signature is turned."""
    key = signing_key(1)
    envelope = sign(STATEMENT, key)
    part = data.draw(st.sampled_from(["payload", "signature", "payload_type"]))
    value = getattr(envelope, part)
    content = bytearray(value if isinstance(value, bytes) else value.encode())
    bits = 8 if isinstance(value, bytes) else 7
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, bits - 1))
    changed = bytes(content) if isinstance(value, bytes) else content.decode()
    with pytest.raises(EvidenceError, match=r"does not hold|not an in-toto statement"):
        open_envelope(replace(envelope, **{part: changed}), key.public, KIND)


def test_another_key_s_signature_is_refused(key):
    """The given public key decides, whatever key the envelope names."""
    forged = replace(sign(STATEMENT, signing_key(2)), key_id=key.public.key_id)
    with pytest.raises(EvidenceError, match="another key signed it"):
        open_envelope(forged, key.public, KIND)


def test_a_statement_of_another_kind_is_refused(key):
    """A seal is no commitment, and what is no statement is neither."""
    with pytest.raises(EvidenceError, match="of the kind"):
        open_envelope(sign(STATEMENT, key), key.public, "urn:other:v1")
    for other in ("text/plain", "\ud800"):
        with pytest.raises(EvidenceError, match="not an in-toto statement"):
            open_envelope(replace(sign(STATEMENT, key), payload_type=other), key.public, KIND)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b"NaN",
        STATEMENT.to_bytes() + b"\n",
        STATEMENT.to_bytes().replace(b'{"_type"', b'{"_type":1,"_type"'),
        STATEMENT.to_bytes().replace(b'"_type"', b'"a":1,"_type"'),
        STATEMENT.to_bytes().replace(b"}]", b'},{"digest":{"sha256":"1"},"name":"b"}]'),
        rfc8785.dumps({"_type": "x", "subject": [{"name": 1, "digest": {"sha256": 2}}], "predicateType": KIND}),
    ],
)
def test_a_payload_that_may_be_read_in_two_ways_is_refused(key, payload):
    """Signed or not: not JSON, repeated keys, further fields, white space, several subjects."""
    envelope = Envelope(payload, PAYLOAD_TYPE, key.public.key_id, key.sign(pae(PAYLOAD_TYPE, payload)))
    with pytest.raises(EvidenceError):
        open_envelope(envelope, key.public, KIND)


@given(st.binary())
def test_base64_is_read_in_both_alphabets(content):
    """As DSSE asks of every verifier."""
    assert decode_base64(base64.b64encode(content).decode()) == content
    assert decode_base64(base64.urlsafe_b64encode(content).decode()) == content


@pytest.mark.parametrize("text", ["a", "a===", "YQ==\n", "Y Q==", "é", None, 3])
def test_what_is_not_base64_is_a_value_error(text):
    """Nothing is skipped."""
    with pytest.raises(ValueError, match="base64"):
        decode_base64(text)


def their_key(key):
    return SSlibKey.from_crypto(key.public.public, key.public.key_id)


def test_securesystemslib_reads_our_envelopes(key):
    """An independent implementation verifies what we sign, and refuses it once altered."""
    theirs = TheirEnvelope.from_dict(sign(STATEMENT, key).to_json())
    assert theirs.pae() == pae(PAYLOAD_TYPE, STATEMENT.to_bytes())
    assert theirs.verify([their_key(key)], 1)
    theirs.payload += b" "
    with pytest.raises(VerificationError):
        theirs.verify([their_key(key)], 1)


def test_we_read_securesystemslib_s_envelopes(key):
    """And the other way round."""
    theirs = TheirEnvelope(STATEMENT.to_bytes(), PAYLOAD_TYPE, {})
    theirs.sign(CryptoSigner(key.private, their_key(key)))
    assert open_envelope(Envelope.from_json(theirs.to_dict()), key.public, KIND) == STATEMENT
