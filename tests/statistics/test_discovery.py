"""False discoveries are controlled as scipy controls them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from metav_audit.statistics import benjamini_hochberg


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_adjusted_p_values_are_scipy_s(p_values):
    """Benjamini and Hochberg's, in the given order, ties and all."""
    assert np.allclose(benjamini_hochberg(p_values), false_discovery_control(p_values), atol=1e-12)
