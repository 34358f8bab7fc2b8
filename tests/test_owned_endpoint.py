"""A target that only an endpoint serves, from its endpoint file to verdicts over HTTP."""

from __future__ import annotations

import json

import pytest

from tests.owners import served, write_owned
from tests.test_formats import endpoints, run, serving

SEEN = {"two": "numbers in full", "rounded": "numbers of 2 decimals", "label": "labels alone"}


@pytest.mark.soak
@pytest.mark.parametrize("form", list(SEEN))
def test_a_target_that_is_an_endpoint_goes_all_the_way(form, tmp_path, capsys):
    """Its copy is a match and a rival none; how much is asked is said before, what it shows after; nothing twice."""
    with serving(served()) as url:
        project = write_owned(tmp_path, url, form)
        assert run("fit", project, "-o", tmp_path / "bundle", "--jobs", 1) == 0
        said = capsys.readouterr().err
        assert "inputs in 13 requests, 52 at most" in said
        assert f"it shows {SEEN[form]}" in said
        seen = "label" if form == "label" else "two"
        (tmp_path / "endpoints.toml").write_text(endpoints(url, (seen,)))
        run("audit", tmp_path / "bundle", tmp_path / "endpoints.toml", "-o", tmp_path / "audits")
    # The API is gone, and the bundle is made again from what it answered.
    assert run("fit", project, "-o", tmp_path / "again", "--jobs", 1) == 0
    assert "nothing is asked again" in capsys.readouterr().err
    hashes = {(tmp_path / each / "manifest.json").read_bytes() for each in ("bundle", "again")}
    assert len(hashes) == 1
    told = {
        name: json.loads((tmp_path / f"audits/{name}-{seen}/verdict.json").read_text()) for name in ("copy", "rival")
    }
    assert told["copy"]["outcome"] == "match"
    assert told["rival"]["outcome"] != "match"
