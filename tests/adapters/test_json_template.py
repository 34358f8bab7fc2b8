from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from metav_audit_adapters.json_template import JsonTemplate
from PIL import Image

from metav_audit.adapter import Outcome, Response, Wait
from metav_audit.errors import AnswerError, ConfigurationError
from tests.adapters.protocols import form, picture
from tests.builders import make_task

TASK = make_task(channels=3)
INPUTS = TASK.domain.sample(2, np.random.default_rng(0))
LABELS = TASK.output.labels


def adapter(body="{{input}}", **more):
    return JsonTemplate.open(TASK, {"url": "http://host/score?v=1", "body": body, **more})


def encoded(count=1, **more):
    request = adapter(**more).encode(INPUTS[:count])
    assert request.url == "http://host/score?v=1"
    return json.loads(request.content)


def decode(response, count=1, **more):
    return [answer.scores for answer in adapter(**more).decode(Response(200, {}, json.dumps(response).encode()), count)]


def test_the_template_is_filled_wherever_the_slot_stands():
    """The slot may be the body itself, or lie deep in tables and lists."""
    assert np.array_equal(np.array(encoded(), np.float32), INPUTS[0])
    deep = encoded(body={"a": [{"x": "{{input}}", "k": 5}], "keep": "text"})
    assert np.array_equal(np.array(deep["a"][0]["x"], np.float32), INPUTS[0])
    assert (deep["a"][0]["k"], deep["keep"]) == (5, "text")


def test_several_inputs_stand_as_a_list():
    """{{inputs}} is the whole batch."""
    body = encoded(2, body={"rows": "{{inputs}}"}, batch=2, encoding="flat")
    assert np.array_equal(np.array(body["rows"], np.float32), INPUTS.reshape(2, -1))


def test_layout_and_scale_are_applied():
    """Channels last, and 0..255 instead of 0..1, whole numbers staying whole."""
    body = encoded(layout="hwc", scale=255)
    values = np.array(body)
    assert values.shape == (5, 5, 3)
    assert np.array_equal(values, TASK.domain.grid(INPUTS)[0].transpose(1, 2, 0))


def test_a_picture_is_sent_as_base64_png_and_loses_nothing():
    """The decoded PNG holds the very levels; a slot within a text is filled too."""
    body = encoded(body={"image": "data:image/png;base64,{{input}}"}, encoding="png_base64")
    picture = Image.open(io.BytesIO(base64.b64decode(body["image"].removeprefix("data:image/png;base64,"))))
    assert np.array_equal(np.array(picture), TASK.domain.grid(INPUTS)[0].transpose(1, 2, 0))


def test_three_forms_of_an_answer_are_read():
    """Numbers in label order, an object of labels, a list of labelled scores under any keys."""
    numbers = [0.1, 0.2, 0.3, 0.4]
    pairs = list(zip(LABELS, numbers, strict=True))[::-1]
    assert decode(numbers) == [tuple(numbers)]
    assert decode({"out": [{"scores": dict(pairs)}]}, answer="out.0.scores") == [tuple(numbers)]
    labelled = [{"name": label, "p": score} for label, score in pairs]
    assert decode(labelled, label_key="name", score_key="p") == [tuple(numbers)]
    many = {"body": ["{{inputs}}"], "batch": 2, "answer": "rows"}
    assert decode({"rows": [numbers, dict(pairs)]}, 2, **many) == [tuple(numbers)] * 2


def test_a_class_that_is_not_shown_is_missing_and_not_0():
    """Top-k answers leave the other classes None."""
    assert decode({LABELS[2]: 0.9, LABELS[0]: None}) == [(None, None, 0.9, None)]
    assert decode([{"label": LABELS[1], "score": 0.6}]) == [(None, 0.6, None, None)]


def test_the_api_s_own_labels_are_mapped():
    """label_map translates, numbers count as their text, and labels without an entry stand for themselves."""
    mapped = {"label_map": {"cat": LABELS[0], "3": LABELS[3]}}
    assert decode({"cat": 0.5, LABELS[1]: 0.2}, **mapped) == [(0.5, 0.2, None, None)]
    assert decode([{"label": 3, "score": 1}], **mapped) == [(None, None, None, 1.0)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"dog": 0.5}', "'dog', which the task lacks"),
        (b'[{"label": true, "score": 1}]', "'True'"),
        (b'[{"label": "class 0", "score": 1}, {"label": "class 0", "score": 0}]', "'class 0' twice"),
        (b'{"class 0": 0.5, "cat": 0.5}', "'class 0' twice"),
        (b'{"class 0": 0.5, "class 0": 0.4}', "twice"),
        (b'[{"label": "class 0"}]', "lacks 'label' or 'score'"),
        (b'[{"label": "class 0", "score": 1}, 3]', "lacks"),
        (b'{"class 0": "high"}', "not a list of numbers"),
        (b"3", "not a list of numbers"),
    ],
)
def test_a_row_that_cannot_be_trusted_is_refused(content, said):
    """Unknown and doubled labels, missing keys and texts for scores are AnswerErrors that name them."""
    with pytest.raises(AnswerError, match=said):
        adapter(label_map={"cat": LABELS[0]}).decode(Response(200, {}, content), 1)


@pytest.mark.parametrize("path", ["result.1", "result.x", "scores", "result.0.0.0"])
def test_a_path_that_leads_nowhere_says_where_it_ends(path):
    """The message names the step and what is there instead."""
    with pytest.raises(AnswerError, match="mend the path"):
        decode({"result": [[0.5]]}, answer=path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"body": {"x": 1}}, "put"),
        ({"body": ["{{input}}", "{{inputs}}"]}, "not both"),
        ({"body": "{{input}}", "batch": 2}, "takes one input"),
        ({"body": "{{input}}", "label_map": {"a": "no such"}}, "no label 'no such'"),
        ({"body": "{{input}}", "scale": 0}, "scale"),
        ({"body": "{{input}}", "encoding": "jpeg"}, "encoding"),
        ({}, "body"),
    ],
)
def test_a_wrong_option_is_named(options, said):
    """Mistakes in the options are found when the adapter is opened."""
    with pytest.raises(ConfigurationError, match=said) as caught:
        JsonTemplate.open(TASK, {"url": "http://host", **options})
    assert "json-template" in str(caught.value)


def test_clouds_that_throttle_with_400_are_understood():
    """SageMaker throttles with 400; other 400s are fatal; 530 is a passing fault."""
    throttled = Response(400, {}, b'{"__type": "ThrottlingException"}')
    assert adapter().classify(throttled) is Outcome.THROTTLED
    assert adapter().classify(Response(400, {}, b"no")) is Outcome.FATAL
    for gateways_own in (507, 509, 520, 524, 530, 561, 598):
        assert adapter().classify(Response(gateways_own, {}, b"")) is Outcome.TRANSIENT
    assert adapter().classify(Response(501, {}, b"")) is Outcome.FATAL
    assert adapter().classify(Response(424, {}, b"")) is Outcome.FATAL


POLL = {"ticket": "id", "url": "http://host/jobs/{{ticket}}", "done": "state", "equals": "done", "failed": ["failed"]}
DONE = {"state": "done", "out": [0.1, 0.2, 0.3, 0.4]}


def drive(*bodies, **more):
    """Drive the flow of a polling adapter over the bodies; return what it asked for and, at the end, the scores."""
    flow = adapter(body={"x": "{{input}}"}, answer="out", poll={**POLL, **more}).flow(INPUTS[:1])
    asked = [flow.send(None)]
    try:
        for body in bodies:
            asked.append(flow.send(Response(200, {}, json.dumps(body).encode())))
            while isinstance(asked[-1], Wait):
                asked.append(flow.send(None))
    except StopIteration as end:
        return asked, [answer.scores for answer in end.value]
    raise AssertionError("the flow did not end")


def test_a_job_is_submitted_and_polled_until_it_is_done():
    """The ticket is quoted into the address; each poll is a GET after a wait."""
    asked, answers = drive({"id": "a/b 1"}, {}, {"state": "running"}, DONE, every_s=0.5)
    assert answers == [(0.1, 0.2, 0.3, 0.4)]
    polls = [step for step in asked[1:] if not isinstance(step, Wait)]
    assert {(poll.method, poll.url, poll.content) for poll in polls} == {("GET", "http://host/jobs/a%2Fb%201", b"")}
    assert [step.seconds for step in asked if isinstance(step, Wait)] == [0.5] * 3


@pytest.mark.parametrize("ticket", ["http://host/r/7", "/r/7", "r/7"])
def test_the_ticket_may_be_an_address_itself(ticket):
    """Whole addresses and relative ones are followed; the client holds them to the endpoint's host."""
    asked, _ = drive({"id": ticket}, DONE, url="{{ticket}}")
    assert asked[-1].url == "http://host/r/7"


@pytest.mark.parametrize(
    "waiting",
    [
        Response(202, {}, b""),
        Response(202, {}, b"pending"),
        Response(204, {}, b""),
        Response(404, {}, b'{"detail": "no such job"}'),
        Response(200, {}, b"<html>working</html>"),
        Response(200, {}, b'{"state": null}'),
    ],
    ids=lambda response: f"{response.status} {response.content.decode()}",
)
def test_a_poll_that_says_not_yet_in_whatever_way_is_asked_again(waiting):
    """No body, a text, a page, or a 404 until the job is done; what such a status means to a submission is an error."""
    polling = adapter(body={"x": "{{input}}"}, answer="out", poll=POLL)
    assert polling.classify(waiting) is Outcome.OK
    flow = polling.flow(INPUTS[:1])
    flow.send(None)
    flow.send(Response(200, {}, b'{"id": 7}'))
    for _ in range(2):
        assert flow.send(None).method == "GET"
        assert isinstance(flow.send(waiting), Wait)
    flow.send(None)
    with pytest.raises(StopIteration) as end:
        flow.send(Response(200, {}, json.dumps(DONE).encode()))
    assert end.value.value[0].scores == (0.1, 0.2, 0.3, 0.4)
    submitted = polling.flow(INPUTS[:1])
    submitted.send(None)
    with pytest.raises(AnswerError):
        submitted.send(waiting)


def test_done_may_be_that_something_is_there():
    """Without equals, anything but null at the path ends the polling."""
    _, answers = drive({"id": 7}, {"out": None}, DONE, done="out", equals=None)
    assert answers == [(0.1, 0.2, 0.3, 0.4)]


@pytest.mark.parametrize("status", [400, 404, 409, 424])
@pytest.mark.parametrize(
    ("words", "passing"),
    [
        ("Model digits is not ready yet.", True),
        ("model is currently loading", True),
        ("The model is warming up", True),
        ("endpoint scaled to zero, try again in a minute", True),
        ("backend is starting", True),
        ("Endpoint is still initializing, please retry", True),
        ("default backend - 404", True),
        ("Space is waking up", True),
        ("input is not a valid image", False),
        ("no such model", False),
    ],
)
def test_who_scales_from_zero_is_asked_again(status, words, passing):
    """A refusal that says "not yet" may pass, whatever its status."""
    expected = Outcome.TRANSIENT if passing else Outcome.FATAL
    assert adapter().classify(Response(status, {}, json.dumps({"error": words}).encode())) is expected


@pytest.mark.parametrize(
    ("bodies", "said"),
    [
        ([{}], "poll.ticket"),
        ([{"id": None}], "ticket is no text or number"),
        ([{"id": "http://[bad"}], "not valid"),
        ([{"id": "1"}, {"state": "failed"}], "the job has 'failed'"),
        ([{"id": "1"}, *[{"state": "running"}] * 3], "not done after 3 polls"),
    ],
)
def test_a_job_that_leads_nowhere_is_an_answer_error(bodies, said):
    """No ticket, a failure, or too many polls."""
    with pytest.raises(AnswerError, match=said):
        drive(*bodies, at_most=3, url="{{ticket}}")


@pytest.mark.parametrize(
    ("poll", "said"),
    [
        ({"url": "http://host/jobs"}, "put"),
        ({"url": "http://elsewhere/{{ticket}}"}, "on the host of url"),
        ({"at_most": 0}, "poll.at_most"),
        ({"every": 3}, "poll.every"),
    ],
)
def test_a_wrong_poll_is_named(poll, said):
    """Mistakes are found when the adapter is opened."""
    with pytest.raises(ConfigurationError, match=said):
        adapter(poll={**POLL, **poll})


def test_polls_are_within_the_budget():
    """The most requests of one batch are told, so that the default budget covers the polls."""
    assert adapter().steps == 1
    assert adapter(poll={**POLL, "at_most": 5}).steps == 6


def test_a_form_carries_the_picture_and_the_texts():
    """The same input makes the same form, boundary included; the standard library reads it."""
    more = {"upload": "file", "body": {"model": "a b", "k": "5"}}
    request = adapter(**more).encode(INPUTS[:1])
    assert request == adapter(**more).encode(INPUTS[:1])
    parts = form(request)
    assert np.array_equal(picture(parts.pop("file")), INPUTS[:1])
    assert parts == {"model": "a b", "k": "5"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"upload": "file", "body": {"x": "{{input}}"}}, "without a slot"),
        ({"upload": "file", "body": {"x": 1}}, "plain texts"),
        ({"upload": "file", "body": {'a"b': "1"}}, "plain texts"),
        ({"upload": "file", "body": None, "batch": 2}, "one input a request"),
        ({"upload": 'a"b', "body": None}, "upload"),
    ],
)
def test_a_wrong_form_is_named(options, said):
    """A form has one picture and texts beside it."""
    with pytest.raises(ConfigurationError, match=said):
        adapter(**options)


def test_numbers_may_stand_in_texts():
    """With a percent sign where percents are declared, and refused where they are not."""
    shares = dict(zip(LABELS, ["97.5 %", " 1.5%", "1", "0.0 %"], strict=True))
    assert decode(shares, scores="percent") == [(97.5, 1.5, 1.0, 0.0)]
    assert decode(["0.9", "1e-1", "0", "0"]) == [(0.9, 0.1, 0.0, 0.0)]
    with pytest.raises(AnswerError, match="percent signs"):
        decode(shares)
    for text in ("", "%", "0x1", "1_0", "1,234.5", "nan", "inf", "1" * 50):
        with pytest.raises(AnswerError):
            decode([text, "0", "0", "0"])


def test_labels_and_scores_may_be_parallel_lists_or_stand_alone():
    """Under label_key and score_key; other keys beside them are nobody's."""
    keys = {"label_key": "names", "score_key": "p"}
    assert decode({"names": [LABELS[2], LABELS[0]], "p": [0.6, 0.3], "took": 3}, **keys) == [(0.3, None, 0.6, None)]
    assert decode({"names": LABELS[1], "p": "0.8", "took": 3}, **keys) == [(None, 0.8, None, None)]
    for wrong in ({"names": [LABELS[0]], "p": [0.5, 0.5]}, {"names": [LABELS[0]], "p": 0.5}, {"names": [[]], "p": [1]}):
        with pytest.raises(AnswerError):
            decode(wrong, **keys)


def test_a_bare_list_may_have_an_order_of_its_own():
    """It names each label once."""
    order = [LABELS[at] for at in (2, 0, 3, 1)]
    assert decode([0.1, 0.2, 0.3, 0.4], order=order) == [(0.2, 0.4, 0.1, 0.3)]
    with pytest.raises(ConfigurationError, match="order"):
        adapter(order=order[:3])


def test_ranges_orders_and_layouts_are_applied():
    """Another range, whole numbers, blue first, no axis for the channel."""
    levels = TASK.domain.grid(INPUTS)[0]
    body = encoded(scale=255, whole=True, colours="bgr")
    assert body == levels[::-1].tolist()
    assert all(type(number) is int for number in np.array(body, object).ravel())
    assert np.allclose(encoded(scale=2, offset=-1), 2 * INPUTS[0] - 1, atol=1e-6)
    grey = make_task()
    inputs = grey.domain.sample(1, np.random.default_rng(0))
    flat = JsonTemplate.open(grey, {"url": "http://host", "body": "{{input}}", "layout": "hw"}).encode(inputs)
    assert np.array_equal(np.array(json.loads(flat.content), np.float32), inputs[0, 0])
    with pytest.raises(ConfigurationError, match="one channel"):
        adapter(layout="hw")
    with pytest.raises(ConfigurationError, match="colours"):
        JsonTemplate.open(grey, {"url": "http://host", "body": "{{input}}", "colours": "bgr"})
    with pytest.raises(ConfigurationError, match="'cells' is for tables"):
        adapter(encoding="cells")


@pytest.mark.parametrize("body", ["{{inputs}}, please", {"x": ["data:image/png;base64,{{inputs}}"]}])
def test_a_list_of_inputs_cannot_stand_inside_a_text(body):
    """It would be sent as it stands, and the whole audit with it."""
    with pytest.raises(ConfigurationError, match="stands alone"):
        adapter(body=body, batch=2)
