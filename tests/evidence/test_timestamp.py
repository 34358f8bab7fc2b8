"""Time stamps of a real authority: what is accepted, and everything that is not."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metav_audit.audit import post_time_stamp_query
from metav_audit.errors import ConfigurationError, EvidenceError, RemoteError
from metav_audit.evidence import TimeStamp, check_time_stamp, fetch_time_stamp, read_certificates
from tests.authority import Authority, openssl
from tests.servers import free_port

CONTENT = b"what was committed to"


@pytest.fixture(scope="module")
def stamp(authority):
    return authority.stamp(CONTENT)


def in_the_year(year):
    """Restate the time in a TSTInfo: the same day of another year."""
    return lambda info: re.sub(rb"\d{4}(\d{10}[.\d]*Z)", str(year).encode() + rb"\1", info)


def test_a_stamp_fetched_over_http_says_when(authority):
    """Asked on the loopback, checked offline: the time is now, and the authority is named."""
    before = datetime.now(UTC).replace(microsecond=0)
    with authority:
        fetched = fetch_time_stamp(CONTENT, authority.url, authority.roots, post_time_stamp_query)
    stamped = check_time_stamp(fetched, CONTENT)
    assert before <= stamped.at <= datetime.now(UTC)
    assert stamped.authority == "CN=Time,O=Test"
    assert not stamped.trusted
    assert stamped.latest == stamped.at


def test_the_roots_that_a_reader_gives_are_those_that_count(authority, own_authority, stamp):
    """Given the right root the stamp is trusted; given another it is refused, whatever came along with it."""
    assert check_time_stamp(stamp, CONTENT, authority.roots).trusted
    assert check_time_stamp(stamp, CONTENT, own_authority.roots + authority.roots).trusted
    with pytest.raises(EvidenceError, match="does not hold"):
        check_time_stamp(stamp, CONTENT, own_authority.roots)


def test_openssl_agrees(authority, stamp, tmp_path):
    """An independent implementation accepts the same stored answer, and refuses it over other data."""
    (tmp_path / "answer").write_bytes(stamp.response)
    (tmp_path / "content").write_bytes(CONTENT)
    words = ("ts", "-verify", "-in", "answer", "-data", "content", "-CAfile", authority.root)
    assert b"Verification: OK" in openssl(*words, cwd=tmp_path)
    (tmp_path / "content").write_bytes(CONTENT + b".")
    with pytest.raises(AssertionError):
        openssl(*words, cwd=tmp_path)


def test_a_stamp_over_other_data_is_refused(stamp):
    """One byte more is other data."""
    with pytest.raises(EvidenceError, match="Mismatch"):
        check_time_stamp(stamp, CONTENT + b".")


def test_a_stamp_of_another_request_is_refused(stamp):
    """The nonce of the request must be the answer's."""
    with pytest.raises(EvidenceError, match="Nonce"):
        check_time_stamp(replace(stamp, nonce=stamp.nonce + 1), CONTENT)


def test_an_authority_that_repeats_an_old_answer_is_refused(authority, stamp):
    """Even over the same data: the nonce is new."""
    with pytest.raises(EvidenceError, match="Nonce"):
        fetch_time_stamp(CONTENT, "", authority.roots, lambda url, query: stamp.response)


def test_an_authority_of_the_same_name_is_refused(authority, stamp, tmp_path):
    """Names are no proof: the chain is."""
    twin = Authority(tmp_path / "twin")
    with pytest.raises(EvidenceError, match="does not hold"):
        check_time_stamp(twin.stamp(CONTENT), CONTENT, authority.roots)
    with pytest.raises(EvidenceError, match="does not hold"):
        check_time_stamp(replace(stamp, certificates=twin.roots), CONTENT)


@pytest.mark.parametrize(("start", "end", "said"), [(2020, 2021, "expired"), (2050, 2060, "not yet valid")])
def test_a_certificate_not_valid_at_the_stamped_time_is_refused(own_authority, start, end, said):
    """Expired, or from the future."""
    own_authority.certify(start, end)
    with pytest.raises(EvidenceError, match=said):
        own_authority.stamp(CONTENT)


def test_a_certificate_that_expired_since_is_no_harm(own_authority):
    """What counts is the stamped time: evidence is checked years later."""
    stamp = own_authority.stamp(CONTENT)
    own_authority.certify(2020, 2021)
    old = replace(stamp, response=own_authority.sign_again(stamp.response, in_the_year(2020)))
    assert check_time_stamp(old, CONTENT).at.year == 2020
    older = replace(stamp, response=own_authority.sign_again(stamp.response, in_the_year(2019)))
    with pytest.raises(EvidenceError, match="not yet valid"):
        check_time_stamp(older, CONTENT)


def test_a_time_altered_in_the_answer_is_refused(stamp):
    """The signature covers the time."""
    altered = in_the_year(2020)(stamp.response)
    assert altered != stamp.response
    with pytest.raises(EvidenceError, match="does not hold"):
        check_time_stamp(replace(stamp, response=altered), CONTENT)


@pytest.mark.parametrize("use", ["two_uses", "no_use"])
def test_a_certificate_for_other_uses_is_refused(own_authority, use):
    """The key usage is time stamping alone; a server's certificate of the same root will not do."""
    stamp = own_authority.stamp(CONTENT)
    own_authority.certify(use=use)
    with pytest.raises(EvidenceError, match="purpose"):
        check_time_stamp(replace(stamp, response=own_authority.sign_again(stamp.response)), CONTENT)


def test_the_authority_s_own_accuracy_counts(tmp_path):
    """Where the authority says how far off it may be, the latest time is that much later."""
    rough = Authority(tmp_path / "rough", accuracy="secs:2, millisecs:500")
    stamped = check_time_stamp(rough.stamp(CONTENT), CONTENT)
    assert stamped.latest - stamped.at == timedelta(seconds=2.5)


def test_a_refusal_is_told(own_authority):
    """An authority that rejects the request says why."""
    line = "default_policy = 1.2.3.4.1\ndigests = sha256, sha512"
    configuration = own_authority.folder / "openssl.cnf"
    configuration.write_text(configuration.read_text().replace(line, line.replace("sha256, ", "")))
    with pytest.raises(EvidenceError, match="refuses, status 2"):
        own_authority.stamp(CONTENT)


@pytest.mark.parametrize(
    "answer", [b"", b"<html>", b"\x30\x80", b"\x30\x05\x30\x03\x02\x01\x00", b"\x30\x05\x30\x03\x02\x01\x02"]
)
def test_an_answer_that_is_no_stamp_is_refused(authority, answer):
    """Empty, a web page, torn, granted without a token, rejected without one."""
    with pytest.raises(EvidenceError):
        fetch_time_stamp(CONTENT, "", authority.roots, lambda url, query: answer)


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_answer_never_breaks_the_program(stamp, data):
    """Any byte changed, or any part cut off: refused, or harmless and of the same time."""
    content = bytearray(stamp.response)
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255))
    damaged = bytes(content) if data.draw(st.booleans()) else bytes(content[:place])
    try:
        stamped = check_time_stamp(replace(stamp, response=damaged), CONTENT)
    except EvidenceError:
        return
    assert stamped == check_time_stamp(stamp, CONTENT)


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_are_no_stamp(content):
    """Bytes of no meaning are refused."""
    with pytest.raises(EvidenceError):
        check_time_stamp(TimeStamp(content, 1, ""), CONTENT)


def test_what_is_no_certificate_is_a_configuration_error(tmp_path, authority):
    """Missing, not PEM, or a key in the place of a certificate."""
    (tmp_path / "text.pem").write_bytes(b"\xff certificate")
    for wrong in (tmp_path / "none.pem", tmp_path / "text.pem", authority.folder / "tsa.key"):
        with pytest.raises(ConfigurationError, match="certificate"):
            read_certificates(wrong)


def test_an_authority_that_fails_is_a_remote_error(own_authority):
    """Another status, or nobody there; the host alone is named."""
    with own_authority:
        own_authority.status = 503
        with pytest.raises(RemoteError, match="status 503"):
            post_time_stamp_query(f"{own_authority.url}?token=hush", b"query")
    with pytest.raises(RemoteError, match="could not be asked") as caught:
        post_time_stamp_query(f"http://127.0.0.1:{free_port()}/?token=hush", b"query")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["", "tsa.example", "file:///etc/passwd", "http://", "http://[", "http://h:x/", "http://u:hush@h/", "http://h /"],
)
def test_an_address_that_is_none_is_refused(url):
    """Before anything is sent, and without repeating it."""
    with pytest.raises(ConfigurationError) as caught:
        post_time_stamp_query(url, b"query")
    assert "hush" not in str(caught.value)
