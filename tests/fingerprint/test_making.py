"""The making of a bundle: what is usual is filled in once, and all that decides it is in its address."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metav_audit.errors import ConfigurationError
from metav_audit.fingerprint.making import FEW_LINEAGES, Making, is_scarce
from metav_audit.fingerprint.methods.registry import METHODS
from metav_audit.zoo.plan import Split


def test_what_is_not_said_is_the_project_s(toy):
    """The default method of the task, and the project's seed and number of queries; 0 is a seed, not "none"."""
    usual = Making.of(toy.workshop, toy.zoo)
    assert (usual.method.name, usual.seed, usual.queries) == ("siblings", 7, 6)
    asked = Making.of(toy.workshop, toy.zoo, "metav", seed=0, queries=4)
    assert (asked.method.name, asked.seed, asked.queries) == ("metav", 0, 4)


def test_said_or_filled_in_is_the_same_making(toy):
    """Naming what is usual changes nothing, so that a standing bundle is used again."""
    assert Making.of(toy.workshop, toy.zoo) == Making.of(toy.workshop, toy.zoo, "siblings", seed=7, queries=6)


CHANGES = [{"method": METHODS["metav"]}, {"seed": 8}, {"queries": 5}]


@pytest.mark.parametrize("change", CHANGES, ids=["method", "seed", "queries"])
def test_the_address_follows_each_choice(toy, change):
    """Another method, seed or number of queries is another making."""
    usual = Making.of(toy.workshop, toy.zoo)
    assert replace(usual, **change).address != usual.address


def test_the_address_follows_the_zoo(toy):
    """A zoo that lacks one model is another making, whose hash stands in the provenance."""
    usual = Making.of(toy.workshop, toy.zoo)
    less = replace(usual, zoo=replace(toy.zoo, surrogates=toy.zoo.surrogates[1:]))
    assert less.address != usual.address
    assert less.provenance["making_sha256"] == less.address
    assert less.provenance["zoo_sha256"] == less.zoo.sha256 != toy.zoo.sha256


def test_an_unknown_method_is_refused(toy):
    """It is refused before anything is fitted, and the message names those that can."""
    with pytest.raises(ConfigurationError, match="use one of"):
        Making.of(toy.workshop, toy.zoo, "no such method")


def test_a_scarce_zoo_has_few_independents_to_fit_with(toy):
    """Below ``FEW_LINEAGES`` of them in the fit split a zoo is scarce, however many the other splits have."""
    lineages = sorted({one.plan.lineage for one in toy.zoo.select(Split.FIT, derived=False)})
    assert len(lineages) >= FEW_LINEAGES
    assert not is_scarce(toy.zoo)
    gone = set(lineages[FEW_LINEAGES - 1 :])
    kept = tuple(one for one in toy.zoo.surrogates if one.plan.lineage not in gone)
    assert is_scarce(replace(toy.zoo, surrogates=kept))
