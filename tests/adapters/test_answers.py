"""Answers as real APIs write them: each form of the same scores is read as the same scores, or refused in words."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from metav_audit_adapters.json_template import JsonTemplate

from metav_audit.adapter import Response
from metav_audit.audit import audit_endpoint
from metav_audit.bundle import planned_places
from metav_audit.errors import AnswerError, ConfigurationError
from metav_audit.task import check_answer
from metav_audit.verdict import VerdictOutcome, decide, read
from tests.audit.helpers import Pauses, endpoint
from tests.builders import linear_model, make_bundle, make_task, with_natural
from tests.servers import ModelServer, Reply

TASK = make_task()
TWO = make_task(classes=2)
LABELS = TASK.output.labels
SCORES = (0.1, 0.2, 0.3, 0.4)
SHOWN = dict(zip(LABELS, SCORES, strict=True))


def opened(task=TASK, **options):
    body = "{{inputs}}" if options.get("batch", 1) > 1 else "{{input}}"
    return JsonTemplate.open(task, {"url": "http://host", "body": body, **options})


def read_as(content, count=1, task=TASK, **options):
    """The scores that an adapter with these options reads from a body, of bytes or to be written as JSON."""
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    adapter = opened(task, **options)
    answers = adapter.decode(Response(200, {}, content), count)
    for answer in answers:
        check_answer(answer, task.output, adapter.options.scores)
    return [answer.scores for answer in answers]


STREAM = (
    b'event: start\r\ndata: {"state": "working"}\r\n\r\n: ping\r\n\r\n'
    b"data: [0.1, 0.2,\r\ndata: 0.3, 0.4]\r\n\r\ndata: [DONE]\r\n\r\n"
)
NUMBERS = dict(zip("0123", LABELS, strict=True))
HALVED = {label: score / 2 for label, score in SHOWN.items()}
TOP = [["class 3", 0.4], ["class 2", 0.3], ["class 1", 0.2], ["class 0", 0.1]]
FORMS = {
    "pairs": (TOP, {}),
    "pairs of texts": ([[label, str(score)] for label, score in TOP], {}),
    "pairs of numbered classes": ([[3, 0.4], [2, 0.3], [1, 0.2], [0, 0.1]], {"label_map": NUMBERS}),
    "texts without a zero": ([".1", ".2", ".30", ".4"], {}),
    "decimal commas": (["0,1", "0,2", ",3", "0,4"], {}),
    "percents with commas": (["10,0 %", "20,00%", "30 %", "40,0%"], {"scores": "percent"}),
    "JSON in a text": ({"statusCode": 200, "body": json.dumps({"scores": SCORES})}, {"answer": "body.scores"}),
    "a list in a text": ({"body": json.dumps(SCORES)}, {"answer": "body"}),
    "JSON that is all a text": (json.dumps({"s": SCORES}), {"answer": "s"}),
    "the last event of a stream": (STREAM, {}),
    "one event and no line after it": (b"data: [0.1, 0.2, 0.3, 0.4]", {}),
    "a byte order mark": (b"\xef\xbb\xbf[0.1, 0.2, 0.3, 0.4]", {}),
    "UTF-16": (json.dumps(SCORES).encode("utf-16"), {}),
    "labels with line ends": ({f"{label}\r\n": score for label, score in SHOWN.items()}, {}),
    "labels with marks of a tokenizer": ({f"\u2581{label}": score for label, score in SHOWN.items()}, {}),
    "JMESPath, an index": ({"result": [{"scores": SCORES}]}, {"answer": "result[0].scores"}),
    "JMESPath, a filter": (
        {"heads": [{"name": "a", "p": [1]}, {"name": "b", "p": SCORES}]},
        {"answer": "heads[?name=='b'].p | [0]"},
    ),
    "JMESPath, a projection": ({"classes": [{"p": score} for score in SCORES]}, {"answer": "classes[*].p"}),
    "a dotted path whose key has a hyphen and a colon": ({"x-y": {"a:b": SCORES}}, {"answer": "x-y.a:b"}),
    "a class more by its place": ([0.1, 0.2, 0.0, 0.3, 0.4], {"ignore": [2]}),
    "a class more by its name": ({**SHOWN, "background": 0.0}, {"ignore": ["background"]}),
    "half of it with a class more": ([0.05, 0.1, 0.15, 0.2, 0.5], {"ignore": [4]}),
    "half of it with a class more, named": ({**HALVED, "none": 0.5}, {"ignore": ["none"]}),
    "log-probabilities with a class more": (
        [math.log(score / 2) for score in (*SCORES, 1)],
        {"ignore": [4], "scores": "log_probability"},
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_the_same_scores_is_read_as_the_same(form):
    """Whatever way an API writes them."""
    body, options = FORMS[form]
    (scores,) = read_as(body, **options)
    kind = options.get("scores")
    shares = np.exp(scores) if kind == "log_probability" else np.array(scores) / (100 if kind == "percent" else 1)
    assert np.allclose(shares, SCORES, atol=1e-12)


@pytest.mark.parametrize(
    "beside", [{"latency": 0.031}, {"latency": 12.3}, {"count": 1}, {"threshold": 0.25}, {"id": "a1b2"}, {"at": None}]
)
def test_what_is_no_share_is_left_out_and_shared_out_to_nobody(beside):
    """A time, a number of the request, a text: the classes' own shares stay as they are."""
    assert read_as({**SHOWN, **beside}, ignore=list(beside)) == [SCORES]


@pytest.mark.parametrize(
    ("body", "options", "expected"),
    [
        (0.97, {"positive": "class 1"}, (0.03, 0.97)),
        ([0.97], {"positive": "class 0"}, (0.97, 0.03)),
        ("97 %", {"positive": "class 1", "scores": "percent"}, (3.0, 97.0)),
        ({"p": "0,97"}, {"positive": "class 1", "answer": "p"}, (0.03, 0.97)),
        (-2.5, {"positive": "class 1", "scores": "logit"}, (0.0, -2.5)),
        (math.log(0.97), {"positive": "class 1", "scores": "log_probability"}, (math.log(0.03), math.log(0.97))),
        (None, {"positive": "class 1"}, (None, None)),
        ([0.03, 0.97], {"positive": "class 1"}, (0.03, 0.97)),
    ],
)
def test_the_one_score_of_two_labels_tells_the_other(body, options, expected):
    """A share completes to one, a sigmoid's logit stands against 0."""
    (scores,) = read_as(body, task=TWO, **options)
    assert scores == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "body", ["class 2", ["class 2"], {"label": "class 2"}, {"label": "class 2", "confidence": 0.97}, "class 2\n"]
)
def test_a_label_with_whatever_beside_it_is_a_label(body):
    """Where labels are declared, a confidence beside one is left alone."""
    assert read_as(body, scores="label") == [(None, None, 1.0, None)]


@pytest.mark.parametrize("kind", ["probability", "percent", "label"])
@pytest.mark.parametrize("body", [[], {}])
def test_nothing_above_a_threshold_shows_nothing(kind, body):
    """An empty list or object is an answer without a class."""
    assert read_as({"out": body}, answer="out", scores=kind) == [(None,) * 4]


NUMBERED = [{"index": at, "scores": [0.1 * at, 1 - 0.1 * at, 0.0, 0.0]} for at in (2, 0, 1)]


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("key", [int, str])
def test_answers_in_any_order_are_put_into_that_of_the_inputs(first, key):
    """By the number that each names, from 0 or from 1, a number or a text."""
    rows = [{**row, "index": key(row["index"] + first)} for row in NUMBERED]
    answers = read_as({"rows": rows}, 3, answer="rows", each="scores", index_key="index", batch=3)
    assert [scores[0] for scores in answers] == [0.0, 0.1, 0.2]


@pytest.mark.parametrize(
    ("body", "options", "said"),
    [
        (NUMBERED, {"each": "scores"}, "declare index_key = 'index'"),
        ([{"index": at, "label": "class 0", "score": 1.0} for at in (2, 0, 1)], {}, "declare index_key = 'index'"),
        (NUMBERED[:2], {"each": "scores", "index_key": "index"}, "do not name each of them once"),
        ([NUMBERED[0]] * 3, {"each": "scores", "index_key": "index"}, "do not name each of them once"),
        ([{"error": {"message": "bad pixel"}}, *NUMBERED[:2]], {"each": "scores"}, "'bad pixel'"),
        ({"p": [{"s": SCORES}, {}, {"s": SCORES}]}, {"answer": "p[*].s"}, "3 inputs were sent, 2 answers"),
    ],
)
def test_a_batch_whose_answers_may_be_shifted_is_refused(body, options, said):
    """One too few, one that failed, or numbers that are no order: never another input's answer."""
    with pytest.raises(AnswerError, match=said):
        read_as(body, 3, batch=3, **options)


@pytest.mark.parametrize(
    ("body", "options", "said"),
    [
        (0.97, {}, "positive"),
        ([["0", "1"]], {"label_map": {"0": "class 0"}}, "not a list of numbers"),
        ([[0, 1]], {"label_map": {"0": "class 0"}}, "not a list of numbers"),
        (["1,5", "2,5"], {"scores": "logit"}, "decimal_comma"),
        (["1,234.5", "0"], {}, "not a list of numbers"),
        ([0.5, 0.3, 0.2], {}, "3 scores, the task has 2 classes"),
        ({"class 0": 0.5, "other": 0.5}, {}, "ignore it"),
        (b'{"error": "the model is asleep"}', {"answer": "scores"}, "'the model is asleep'"),
        (b'{"a": [1, 2}', {}, "at character 11"),
        (b"data: never ends", {}, "not JSON"),
        ({"a": 1}, {"answer": "a[*].b"}, "finds nothing"),
        ({"a": "x"}, {"answer": "sum(a)"}, "cannot be applied"),
    ],
)
def test_what_may_mean_two_things_is_refused_in_words(body, options, said):
    """Inconclusive before a guess: the message says what came and what to declare."""
    with pytest.raises(AnswerError, match=said):
        read_as(body, task=TWO, **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"answer": "a[0"}, "no valid JMESPath"),
        ({"positive": "class 0"}, "two labels"),
        ({"ignore": ["class 1"]}, "one of the task's labels"),
        ({"ignore": ["kitty"], "label_map": {"kitty": "class 1"}}, "one of the task's labels"),
        ({"ignore": [True]}, "ignore"),
    ],
)
def test_a_wrong_option_for_answers_is_named(options, said):
    """When the adapter is opened."""
    with pytest.raises(ConfigurationError, match=said):
        opened(**options)


BUNDLE = with_natural(make_bundle(queries=24, task=TASK, spread=0.5, lineages=40), spread=0.5)


def audited(model, write, tmp_path, **options):
    """The verdict on a model behind a real server whose body is what ``write`` makes of the rows."""

    def reply(number, seen):
        inputs = np.array(json.loads(seen.body)["x"], np.float32).reshape(-1, 1, 5, 5)
        return Reply(200, write(model(inputs)), {"Content-Type": "application/json"})

    options = {"answer": "", **options}
    with ModelServer(None, fault=reply) as server:
        body = {"x": "{{inputs}}" if options.get("batch", 1) > 1 else "{{input}}"}
        suspect = endpoint(server.url, TASK, "json-template", body=body, **options)
        transcript = audit_endpoint(BUNDLE, suspect, tmp_path, sleep=Pauses())
        return decide(BUNDLE, read(BUNDLE, transcript)), len(server.log)


def test_an_api_that_shows_nothing_below_a_threshold_gets_its_verdict(tmp_path):
    """Some of the queries, canaries and natural inputs are answered with an empty list, and nothing fails."""
    target, shown = linear_model(TASK, 0), []

    def write(rows):
        kept = [[label, float(share)] for label, share in zip(LABELS, rows[0], strict=True) if max(rows[0]) >= 0.5]
        shown.append(len(kept))
        return json.dumps(kept).encode()

    verdict, asked = audited(target, write, tmp_path)
    assert 0 < shown.count(0) < len(shown) // 2
    assert (verdict.outcome, asked) == (VerdictOutcome.MATCH, planned_places(BUNDLE))
    assert verdict.answered < 24


def test_an_api_that_never_shows_anything_is_left_after_few_requests(tmp_path):
    """A wrong path may lead to an empty list as well."""
    with pytest.raises(AnswerError, match="the first 8 answers show no class at all"):
        audited(linear_model(TASK, 0), lambda rows: b'{"scores": []}', tmp_path, answer="scores")


def test_a_batch_that_drops_or_mixes_answers_is_asked_one_by_one(tmp_path):
    """Every third batch loses a row, and the verdict is that of an undisturbed audit."""
    count = [0]

    def write(rows):
        count[0] += 1
        kept = rows[1:] if count[0] % 3 == 0 and len(rows) > 1 else rows
        return json.dumps({"p": [{"s": row.tolist()} for row in kept]}).encode()

    verdict, asked = audited(linear_model(TASK, 0), write, tmp_path, answer="p[*].s", batch=8)
    assert verdict.outcome is VerdictOutcome.MATCH
    assert verdict.answered == 24
    assert asked > planned_places(BUNDLE) // 8


def test_the_words_of_an_error_with_status_200_stand_first(tmp_path):
    """The server's own words, then where the answer was looked for."""
    body = b'{"error": "quota exceeded for plan"}'
    with pytest.raises(AnswerError, match="the endpoint says 'quota exceeded for plan': the path"):
        audited(linear_model(TASK, 0), lambda rows: body, tmp_path, answer="scores")
