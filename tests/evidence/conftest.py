"""An authority, a key and a bundle for all of these tests."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from metav_audit.evidence import SigningKey
from tests.authority import Authority
from tests.builders import make_bundle


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """An authority that no test changes."""
    return Authority(tmp_path_factory.mktemp("tsa") / "tsa")


@pytest.fixture
def own_authority(tmp_path):
    """An authority for one test to spoil."""
    return Authority(tmp_path / "tsa", "Other")


@pytest.fixture(scope="session")
def bundle():
    return make_bundle()


@pytest.fixture(scope="session")
def key():
    return signing_key(1)


def signing_key(seed: int) -> SigningKey:
    return SigningKey(Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))
