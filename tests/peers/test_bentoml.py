from __future__ import annotations

import pytest

from tests.peers.digits import TRUTHS
from tests.peers.environments import SERVED, variables
from tests.peers.processes import serving
from tests.servers import free_port

TABLE = """
adapter = "bentoml"
url = "$url"
api = "$suspect"
body = { images = "{{inputs}}" }
batch = 2
limits = { attempts = 10 }
"""


@pytest.fixture(scope="module")
def url(environment, digits, folder):
    """A BentoML service that takes one request at a time and refuses the others with 429."""
    bentoml, port = environment("bentoml"), free_port()
    url = f"http://127.0.0.1:{port}"
    words = [bentoml / "bin" / "bentoml", "serve", "bento_service:Digits", "--working-dir", SERVED]
    more = {"DIGITS_WEIGHTS": str(digits.weights), "BENTOML_HOME": str(folder / "bentoml")}
    options = ["--host", "127.0.0.1", "--port", port]
    with serving([*words, *options], f"{url}/readyz", folder / "bentoml.log", variables(bentoml, folder, more)):
        yield url


def test_bentoml_that_answers_429(audit, url):
    """Two audits at once on a service for one: refused requests are asked again, and all come home."""
    found = audit(TABLE, dict.fromkeys(TRUTHS, url))
    assert any(429 in each.statuses() for each in found.values())


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (TABLE.replace("images", "pictures"), "400, '1 validation error for Input'"),
        (TABLE.replace("$suspect", "nobody"), "404"),
    ],
    ids=["no such argument", "no such method"],
)
def test_what_bentoml_refuses_is_told_in_one_line(refused, url, table, said):
    """A method or an argument that the service lacks ends the audit."""
    assert said in refused(table.replace("$suspect", "finetuned"), url)
