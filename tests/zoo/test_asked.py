"""A target that is an endpoint, asked beforehand: how much, by whom, once, and what of its answers is kept."""

from __future__ import annotations

import asyncio
import json
import signal

import httpx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metav_audit.audit import Grant, gather, load_endpoints
from metav_audit.audit.gather import World
from metav_audit.cli.opened import ask_first
from metav_audit.errors import AnswerError, ConfigurationError, DataError, SecretError
from metav_audit.task import ImageDomain, OutputView
from metav_audit.zoo.asked import FILE, Respondent, ask_beforehand, needed_inputs, read_asked
from metav_audit.zoo.data import OwnerData
from metav_audit.zoo.formats.answers import Book
from metav_audit.zoo.formats.opaque import Opaque, answers_anything, cut_to
from metav_audit.zoo.project import load_project, needed_of, open_target
from metav_audit.zoo.shown import twins_of
from tests.owners import own_endpoint, served, write_owned
from tests.tables import TABLE, rows
from tests.test_formats import run, serving

NOBODY = "http://127.0.0.1:9"


def data() -> OwnerData:
    """An owner's data in miniature."""
    return OwnerData(rows(1, 60), rows(2, 50), rows(3, 40))


class Api:
    """Answers by rule and counts what it is asked."""

    def __init__(self, identity: str = "one", view: OutputView | None = None) -> None:
        self.asked = 0
        self.respondent = Respondent(identity, self.ask)
        self.view = view or OutputView()

    def ask(self, inputs):
        """Two probabilities by the first element."""
        self.asked += len(inputs)
        share = np.clip(inputs[:, 0].astype(np.float64), 0.01, 0.99)
        return np.column_stack([1 - share, share]), self.view


def test_what_is_needed_follows_from_the_data_alone_and_holds_each_input_once():
    """So the number of requests is known before the first, and the same data need nothing new."""
    needed = needed_inputs(data(), TABLE, None, replayed=False)
    assert np.array_equal(needed, needed_inputs(data(), TABLE, None, replayed=False))
    assert len(np.unique(needed, axis=0)) == len(needed)
    assert len(needed_inputs(data(), TABLE, None, replayed=True)) == len(needed) + 40


def test_nothing_is_asked_twice_and_more_data_ask_what_is_new_alone(tmp_path):
    """Another endpoint is asked everything."""
    needed, api = needed_inputs(data(), TABLE, None, replayed=False), Api()
    assert ask_beforehand(tmp_path, needed[:100], TABLE, api.respondent) == 100
    assert ask_beforehand(tmp_path, needed, TABLE, api.respondent) == len(needed) - 100
    assert ask_beforehand(tmp_path, needed, TABLE, api.respondent) == 0
    assert api.asked == len(needed)
    assert ask_beforehand(tmp_path, needed, TABLE, Api("other").respondent) == len(needed)


def test_the_target_is_what_was_answered_and_knows_nothing_else(tmp_path):
    """Its hash hangs on the needed answers alone; what was never asked is refused in words."""
    needed, api = needed_inputs(data(), TABLE, None, replayed=False), Api()
    ask_beforehand(tmp_path, needed[:90], TABLE, api.respondent)
    target = read_asked(tmp_path, needed[:80], TABLE)
    assert not answers_anything(target)
    assert np.allclose(target(torch.from_numpy(needed[:5])).exp().numpy(), api.ask(needed[:5])[0], atol=1e-6)
    assert torch.equal(read_asked(tmp_path, needed[:80], TABLE).content, target.content)
    with pytest.raises(DataError, match="10 of 10 inputs were never asked"):
        target(torch.from_numpy(needed[80:90]))
    with pytest.raises(ConfigurationError, match="run 'metav-audit zoo' first"):
        read_asked(tmp_path, needed, TABLE)


def test_what_an_endpoint_shows_may_become_finer_and_never_change_its_kind(tmp_path):
    """Few answers have few decimals by chance; labels and scores are two things."""
    needed = needed_inputs(data(), TABLE, None, replayed=False)
    for count, decimals in ((50, 1), (100, 2), (150, 1)):
        ask_beforehand(tmp_path, needed[:count], TABLE, Api(view=OutputView(decimals=decimals)).respondent)
    assert read_asked(tmp_path, needed[:150], TABLE).told["shows"] == {"decimals": 2}
    with pytest.raises(DataError, match="showed numbers of 2 decimals before and now shows labels alone"):
        ask_beforehand(tmp_path, needed, TABLE, Api(view=OutputView(label_only=True, top=1)).respondent)


@pytest.mark.parametrize(
    "damage", [lambda old: old[:-9], lambda _: b"no book", lambda old: old.replace(b"told", b"tell")]
)
def test_a_damaged_book_is_told_with_what_to_do(damage, tmp_path):
    """One line: remove it."""
    needed = needed_inputs(data(), TABLE, None, replayed=False)[:20]
    ask_beforehand(tmp_path, needed, TABLE, Api().respondent)
    (tmp_path / FILE).write_bytes(damage((tmp_path / FILE).read_bytes()))
    with pytest.raises(DataError, match="remove it, and the endpoint is asked again"):
        read_asked(tmp_path, needed, TABLE)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_a_book_written_and_read_says_the_same(seed, count):
    """Byte by byte, whatever the order in which it was asked."""
    rng = np.random.default_rng(seed)
    inputs = np.unique(TABLE.domain.sample(count, rng), axis=0)
    answers = rng.uniform(size=(len(inputs), 2))
    book = Book.of(inputs, answers, TABLE)
    assert Book.read(book.written()).written() == Book.of(inputs[::-1], answers[::-1], TABLE).written()
    assert np.array_equal(Book.read(book.written()).answers(inputs, TABLE), answers)


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_no_bytes_break_the_reading_of_a_book(content):
    """They are refused in words."""
    with pytest.raises(DataError, match="a book of answers"):
        Book.read(content)


def test_twins_lie_one_step_apart_and_are_always_the_same():
    """Of a table a number moves, and no category; of a picture one element."""
    inputs = rows(4, 30).inputs
    twins = twins_of(inputs, TABLE.domain)
    assert np.array_equal(twins_of(inputs[::-1].copy(), TABLE.domain), twins[::-1])
    assert ((twins != TABLE.domain.project(inputs)).sum(axis=1) == 1).all()
    image = ImageDomain(1, 4, 4)
    pictures = image.sample(9, np.random.default_rng(0))
    assert ((twins_of(pictures, image) != image.project(pictures)).reshape(9, -1).sum(axis=1) == 1).all()


@pytest.mark.parametrize(
    ("shows", "shown"),
    [({"label": True}, [0, 1]), ({"decimals": 1}, [0.4, 0.6]), ({"decimals": 1, "cut": True}, [0.3, 0.6])],
)
def test_siblings_show_no_more_than_the_target_does(shows, shown):
    """Or it would be told from them by its decimals."""
    numbers = np.log(np.array([[0.36, 0.64]], dtype=np.float32))
    assert np.exp(cut_to(numbers, shows, TABLE))[0] == pytest.approx(shown, abs=1e-6)


def test_an_endpoint_is_asked_in_batches_over_http_and_once(tmp_path, capsys):
    """How many requests is said before; the second command asks nothing, the API may be gone."""
    with serving(served()) as url:
        project = load_project(write_owned(tmp_path, url, "one"))
        (tmp_path / "own.toml").write_text(
            own_endpoint(url, "one", more='positive = "yes"\nlimits = { requests = 20 }')
        )
        ask_first(project, (), allow_python=False)
        assert "in 13 requests, 20 at most" in capsys.readouterr().err
    ask_first(project, (), allow_python=False)
    assert "nothing is asked again; it shows numbers in full" in capsys.readouterr().err
    network, own = open_target(project).network, served()["own"]
    asked = torch.from_numpy(needed_of(project)[:50])
    assert isinstance(network, Opaque)
    assert torch.allclose(network(asked).exp(), own(asked).exp(), atol=1e-5)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (own_endpoint(NOBODY, more="limits = { requests = 12 }"), ConfigurationError, "does not cover the 13 requests"),
        (own_endpoint(NOBODY) + own_endpoint(NOBODY, name="two"), ConfigurationError, "must be the only one in it"),
        (own_endpoint(NOBODY, more='headers = { A = "Bearer ${OWN_TOKEN}" }'), SecretError, "OWN_TOKEN"),
    ],
)
def test_what_is_wrong_with_the_endpoint_file_is_found_before_anything_is_sent(text, kind, message, tmp_path):
    """As it is for audits: secrets are named beside the file."""
    project = load_project(write_owned(tmp_path, NOBODY))
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(kind, match=message):
        ask_first(project, (), allow_python=False)


def test_an_api_that_hides_classes_is_no_target(tmp_path, monkeypatch):
    """It says what it would have to show."""
    from tests.test_formats import SHOWN

    monkeypatch.setitem(SHOWN, "top", lambda shares: {TABLE.output.labels[int(shares.argmax())]: float(shares.max())})
    with serving(served()) as url:
        project = load_project(write_owned(tmp_path, url))
        (tmp_path / "own.toml").write_text(own_endpoint(url).replace("/two", "/top"))
        with pytest.raises(AnswerError, match="has to show all classes, or the label alone"):
            ask_first(project, (), allow_python=False)
    (transcript,) = tmp_path.rglob("transcript.jsonl")
    assert transcript.read_text().count('"kind":"sent"') == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('endpoint = "own.toml"', 'endpoint = "own.toml"\nmodel = "target.onnx"', "and not both"),
        ('endpoint = "own.toml"', 'endpoint = "own.toml"\ntrust = true', "leave them out"),
        ("count = 4", 'source = "synthetic"', "is asked once, before anything is known of it"),
        ('endpoint = "own.toml"', 'endpoint = "own.toml"', "was not yet asked all that its zoo needs"),
    ],
)
def test_a_project_whose_target_is_an_endpoint_is_told_what_it_cannot_have(old, new, message, tmp_path):
    """One clear message each."""
    file = write_owned(tmp_path, NOBODY)
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(ConfigurationError, match=message):
        open_target(load_project(file))


@pytest.mark.parametrize(
    ("options", "old", "new", "said"),
    [
        (["--method", "metav"], "", "", "moves its queries along the target's gradients"),
        (["--log", "log"], "", "", "--log asks it what accounts sent, and a target that is an endpoint is asked once"),
        (["--mode", "integrity"], "", "", "--mode integrity asks it inputs between its classes"),
        (["--identity", "us"], "", "", "are for --method fitprint"),
        ([], "false_match = 0.1", "false_match = 0.01", "takes 99 siblings at least"),
        ([], 'program = "tests.tables:pickle"\nsiblings = 39', "seed = 1", "name the program that fits it below"),
        ([], "tests.tables:pickle", "built-in", "trains networks of torch alone"),
        ([], "tests.tables:pickle", "tests.tables:nothing", "cannot import training program"),
        (
            [],
            'preset = "small"',
            'preset = "small"\narchitectures = ["lenet"]',
            "none of those beside a target without",
        ),
        ([], "count = 4", 'source = "public"\ndata = "nowhere.npz"', "nowhere.npz"),
    ],
)
def test_what_is_known_beforehand_is_refused_before_the_first_request(options, old, new, said, tmp_path, capsys):
    """Nobody listens there: a request would end otherwise."""
    file = write_owned(tmp_path, NOBODY)
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    assert run("fit", file, *options) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.rglob("transcript.jsonl"))


def test_an_interrupted_asking_goes_on_where_it_stopped(tmp_path):
    """After Ctrl-C under way the same call asks the open inputs alone, and a third nothing."""
    (tmp_path / "own.toml").write_text(own_endpoint(NOBODY, more="limits = { concurrency = 1 }"))
    endpoint = load_endpoints(tmp_path / "own.toml", TABLE, Grant())[0]
    inputs, asked, stops = rows(1, 300).inputs, [], [2]

    async def answer(request: httpx.Request) -> httpx.Response:
        sent = json.loads(request.content)["rows"]
        if stops == [len(asked)]:
            stops.clear()
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(5)
        asked.append(len(sent))
        return httpx.Response(200, json={"said": [{"no": 0.25, "yes": 0.75}] * len(sent)})

    world = World(httpx.MockTransport(answer))
    with pytest.raises(KeyboardInterrupt):
        gather(inputs, TABLE.output, endpoint, tmp_path / "asked", world)
    first, _ = gather(inputs, TABLE.output, endpoint, tmp_path / "asked", world)
    again, _ = gather(inputs, TABLE.output, endpoint, tmp_path / "asked", world)
    assert sum(asked) == len(inputs)
    assert np.array_equal(first, again)
