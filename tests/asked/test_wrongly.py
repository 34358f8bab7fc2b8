"""An endpoint that is asked wrongly is neither cleared nor accused, and where it can be told the mistake is named."""

from __future__ import annotations

import pytest

from metav_audit.audit.folder import audit_into_folder
from metav_audit.verdict import VerdictOutcome
from tests.asked.world import build_world, probabilities
from tests.asked.wrong import PICTURES, ROWS, shifted, with_sigmoid
from tests.audit.helpers import endpoint
from tests.once import once_a_run
from tests.servers import ModelServer

MATCH, NO_MATCH, INCONCLUSIVE = VerdictOutcome


@pytest.fixture(scope="session", params=["pictures", "table"])
def world(request, tmp_path_factory):
    """A task with its bundle, and models that the bundle does not know."""
    with once_a_run(tmp_path_factory, request.param) as folder:
        return request.param, build_world(request.param, folder)


def ways(name, network):
    """A model, asked wrongly in every way that its task knows."""
    model = probabilities(network)
    changes = PICTURES if name == "pictures" else ROWS
    asked = {way: lambda inputs, change=change: model(change(inputs)) for way, change in changes.items()}
    return {**asked, "sigmoid for softmax": with_sigmoid(network), "labels shifted by one": shifted(model)}


def audit(world, model, folder):
    with ModelServer(model) as server:
        task = world.bundle.task
        return audit_into_folder(world.bundle, endpoint(server.url, task, limits={"concurrency": 4}), folder)


@pytest.mark.soak
@pytest.mark.parametrize("derived", [True, False])
def test_asked_wrongly_no_one_is_cleared_or_accused_wrongly(world, derived, tmp_path):
    """Twelve ways over HTTP: a copy is never cleared, an independent model never accused, and the cause is named."""
    name, world = world
    network = world.typical(derived=derived)
    wrong, named = MATCH if not derived else NO_MATCH, 0
    rightly = audit(world, probabilities(network), tmp_path / "rightly")
    assert rightly.outcome is not wrong
    assert rightly.score is not None, rightly.reasons
    for number, (way, model) in enumerate(ways(name, network).items()):
        verdict = audit(world, model, tmp_path / str(number))
        print(f"{name:9} {'copy' if derived else 'indep.':7} {way:24} {verdict.outcome:13} {verdict.natural} | "
              + "; ".join(verdict.reasons))  # fmt: skip
        assert verdict.outcome is not wrong, way
        named += any("what fits" in reason for reason in verdict.reasons)
    print(f"{name}: cause named {named} times of {number + 1}")
