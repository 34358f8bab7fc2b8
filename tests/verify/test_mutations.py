"""Mutations: a folder changed in one place, at random, the list of hashes and often the chain mended; none passes."""

from __future__ import annotations

import pytest

from metav_audit.verify import Expected, verify_audit
from tests.bench.mutations import KEY, sealed, unsealed
from tests.evidence.test_independent import script
from tests.folders import make_sealed_folder
from tests.scale import at_scale


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_sealed_folder(tmp_path_factory.mktemp("sealed"))


@pytest.mark.scaled
def test_no_mutation_of_a_sealed_folder_passes(folder):
    """Fields, records, bytes, files: 500 of them in the soak, every tenth put to the independent script, too."""
    assert verify_audit(folder, Expected(auditor=KEY)).exit_code == 0
    script.check(folder, KEY)
    found = sealed(folder, at_scale(40, 500))
    assert set(found) == {"refused", "script refused"}, found


@pytest.mark.scaled
def test_no_mutation_of_an_unsealed_folder_is_authenticated(tmp_path):
    """Each fails a step, or ends in NOT AUTHENTICATED."""
    found = unsealed(make_sealed_folder(tmp_path, sealed=False), at_scale(3, 60))
    assert not [said for said in found if "PASSED" in said]
