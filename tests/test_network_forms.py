"""Networks in each of their forms: fit, and the audit of a copy and of an independent over HTTP, end to end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import numpy as np
import pytest
import tomlkit

from metav_audit.serving.model import endpoint_fields, predictor
from metav_audit.serving.open_inference import ServedModel, answer
from metav_audit.zoo.data import LabelledData
from metav_audit.zoo.project import load_project, open_target
from metav_audit.zoo.target import in_form_of
from tests.networks import FORMS, write_form
from tests.serving.helpers import served
from tests.test_formats import run
from tests.toy import TASK, install_presets, pictures


@contextmanager
def endpoints_of(models) -> Iterator[str]:
    """Serve networks by name; give their endpoint file."""
    with ExitStack() as stack:
        told = {}
        for name, model in models.items():
            one = ServedModel(name, "1", TASK, predictor(model))
            told[name] = endpoint_fields(one, stack.enter_context(served(partial(answer, one))).url)
        yield tomlkit.dumps({"endpoints": told})


@pytest.mark.soak
@pytest.mark.parametrize("form", list(FORMS))
def test_a_network_in_each_form_goes_all_the_way(form, tmp_path):
    """From its own file to verdicts: its copy is a match, and a rival of other data and another seed is none."""
    install_presets()
    project = write_form(tmp_path, form)
    assert run("fit", project, "-o", tmp_path / "bundle", "--jobs", 1) == 0
    assert json.loads((tmp_path / "bundle" / "manifest.json").read_text())["method"] == "siblings"
    target = open_target(load_project(project))
    inputs, labels = pictures(5, 120)
    rival = in_form_of(target, FORMS[form][1](77, LabelledData(inputs.astype(np.float32), labels)), "rival")
    with endpoints_of({"copy": target.network, "rival": rival}) as text:
        (tmp_path / "endpoints.toml").write_text(text)
        assert run("audit", tmp_path / "bundle", tmp_path / "endpoints.toml", "-o", tmp_path / "audits") == 1
    told = {path.parent.name: json.loads(path.read_text()) for path in (tmp_path / "audits").glob("*/verdict.json")}
    assert told["copy"]["outcome"] == "match", told
    assert told["rival"]["outcome"] != "match", told
