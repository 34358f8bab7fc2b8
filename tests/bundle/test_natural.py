"""Natural inputs in a bundle: written, read, hashed and refused like all else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metav_audit.bundle import FingerprintBundle
from metav_audit.errors import BundleError
from tests.builders import make_bundle, make_task, with_natural

PLAIN = make_bundle(task=make_task(classes=6), spread=0.2)
BUNDLE = with_natural(PLAIN)


def test_natural_inputs_are_part_of_the_bundle_and_of_its_hash(tmp_path):
    """What is saved is loaded, and the hash covers it; a bundle without them is what it was before there were any."""
    BUNDLE.save(tmp_path / "bundle")
    loaded = FingerprintBundle.load(tmp_path / "bundle")
    assert loaded.sha256 == BUNDLE.sha256 != PLAIN.sha256
    for name, array in BUNDLE.natural.tensors().items():
        assert np.array_equal(loaded.natural.tensors()[name], array)
    assert loaded.natural.stated() == BUNDLE.natural.stated()
    assert '"schema_version": 4' in (tmp_path / "bundle" / "manifest.json").read_text()
    PLAIN.save(tmp_path / "plain")
    assert FingerprintBundle.load(tmp_path / "plain").natural is None
    assert '"schema_version": 3' in (tmp_path / "plain" / "manifest.json").read_text()


WRONG = {
    "source": {"source": "the web"},
    "natural.reference": {"reference": BUNDLE.natural.reference[:3]},
    "natural.models": {"models": np.full_like(BUNDLE.natural.models, np.nan)},
    "natural.misread": {"misreadings": ("one too many", "another", "and another")},
    "natural.twins": {"twins": BUNDLE.natural.twins + np.float32(0.001)},
    "natural.inputs": {"inputs": BUNDLE.natural.inputs[:0]},
}


@pytest.mark.parametrize("part", WRONG)
def test_natural_inputs_that_do_not_fit_are_refused(part):
    """A part of another shape, that is not finite, or no valid input, is named."""
    with pytest.raises(BundleError, match=part):
        replace(BUNDLE, natural=replace(BUNDLE.natural, **WRONG[part]))
