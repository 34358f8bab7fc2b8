"""Events on their way: at least once, under one id, grouped, held in quiet hours, no secret in any message."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from datetime import UTC

import pytest

from metav_audit.audit import Grant
from metav_audit.errors import ConfigurationError, RemoteError, SecretError
from metav_audit.watch.channels import Mail, Webhook, kinds_of, open_channels
from metav_audit.watch.events import Event, Teller
from metav_audit.watch.fleet import KINDS, NotifyTable, load_fleet
from metav_audit.watch.hours import QuietHours
from metav_audit.watch.outbox import Manners, Message, deliver
from tests.servers import ModelServer, Reply, always, free_port
from tests.watch.fleets import START
from tests.watch.receivers import MailServer
from tests.watch.test_claims import drawn

DRAW = drawn()
ALWAYS = Manners(QuietHours((), UTC), frozenset({"match"}), 0.0)
TELLER = Teller({"there": frozenset(KINDS)})
EVENT = Event("e" * 32, "change", START, "a", "digits", "https://a.example/v1", 7, 3, "44 of 48 answered <otherwise>")
MESSAGE = Message("m" * 32, START, (EVENT,))


@dataclass
class There:
    """A channel that takes messages, or does not."""

    taken: list[Message] = field(default_factory=list)
    sent: list[Message] = field(default_factory=list)
    busy: bool = False
    name: str = "there"

    def send(self, message, now):
        self.sent.append(message)
        if self.busy:
            raise RemoteError("it is busy")
        self.taken.append(message)


def happen(history, *kinds, now=START):
    """Let events happen, each its own."""
    with history.writing() as connection:
        for kind in kinds:
            TELLER.tell_once(connection, DRAW(), kind, f"{kind} happened", now)


def tell(history, channel, now=START, manners=ALWAYS):
    said = []
    deliver(history, [(channel, manners)], lambda: now, DRAW, said.append)
    return said


def test_what_happened_together_is_one_message(history):
    """And is told once, where it was taken."""
    there = There()
    happen(history, "lost", "match")
    tell(history, there)
    tell(history, there)
    (message,) = there.taken
    assert [event.kind for event in message.events] == ["lost", "match"]


def test_a_message_that_was_not_taken_is_sent_again_the_same(history):
    """Under the same id, later and later; what happens meanwhile is another message, and does not wait."""
    there = There(busy=True)
    happen(history, "change")
    assert tell(history, there) == ["notify.there: it is busy; it is told again later"]
    assert tell(history, there) == []
    there.busy = False
    happen(history, "match")
    tell(history, there, START + 30)
    tell(history, there, START + 61)
    assert [message.events[0].kind for message in there.taken] == ["match", "change"]
    assert there.taken[1] == there.sent[0]


def test_a_message_of_who_died_is_sent_by_another(history):
    """It held it for five minutes."""

    class Dies(There):
        def send(self, message, now):
            super().send(message, now)
            raise KeyboardInterrupt

    dies, there = Dies(), There()
    happen(history, "match")
    with pytest.raises(KeyboardInterrupt):
        tell(history, dies)
    tell(history, there, START + 60)
    assert there.taken == []
    tell(history, there, START + 301)
    assert there.taken == dies.sent


def test_quiet_hours_hold_what_is_not_urgent(history):
    """Until they are over; what is urgent is told at once."""
    there, manners = There(), Manners(QuietHours.of(["00:00-07:00"], UTC), frozenset({"match"}), 0.0)
    happen(history, "lost", "match", "recovered")
    tell(history, there, START + 3600, manners)
    assert [event.kind for message in there.taken for event in message.events] == ["match"]
    tell(history, there, START + 8 * 3600, manners)
    assert [event.kind for event in there.taken[1].events] == ["lost", "recovered"]


def test_a_channel_is_told_no_more_often_than_it_wants(history):
    """The next message holds all of an hour."""
    there, manners = There(), Manners(QuietHours((), UTC), frozenset(), 3600.0)
    for minute in range(0, 70, 10):
        happen(history, "change", now=START + minute * 60)
        tell(history, there, START + minute * 60, manners)
    assert [len(message.events) for message in there.taken] == [1, 6]


def test_an_endpoint_that_comes_and_goes_is_one_line():
    """It does not cry all night."""
    flaps = [
        Event(f"{number:032}", ("lost", "recovered")[number % 2], START + number, "a", "digits", "u", number, None, "w")
        for number in range(6)
    ]
    message = Message("m", START, (*flaps, EVENT))
    assert message.lines == ("recovered: a (digits): it was lost 3 times since", EVENT.sentence)


def test_a_webhook_is_signed_as_standard_webhooks_say():
    """Id, time and body under HMAC-SHA256; the events are its body."""
    with ModelServer(None, fault=always(204)) as server:
        Webhook("hook", f"{server.url}/in", b"hush").send(MESSAGE, START)
    (seen,) = server.log
    headers = seen.headers
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + seen.body
    mac = base64.b64encode(hmac.digest(b"hush", signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{mac}"
    assert headers["webhook-id"] == MESSAGE.uid
    assert json.loads(seen.body) == {"id": MESSAGE.uid, "events": [EVENT.to_json()]}


def test_slack_gets_its_own_shape():
    """A text, in which a stranger's signs are no markup."""
    with ModelServer(None, fault=always(200, b"ok")) as server:
        Webhook("hook", server.url, None, slack=True).send(MESSAGE, START)
    assert json.loads(server.log[0].body) == {"text": "change: a (digits): 44 of 48 answered &lt;otherwise&gt;"}


@pytest.mark.parametrize(
    "reply", [Reply(500), Reply(302, headers={"Location": "http://127.0.0.1:9/"}), Reply(drop=True)]
)
def test_a_webhook_that_does_not_take_it_says_so_without_its_address(reply):
    """Its path may be a secret; no redirect is followed."""
    with ModelServer(None, fault=lambda number, seen: reply) as server:
        with pytest.raises(RemoteError) as error:
            Webhook("hook", f"{server.url}/services/T0/hush", None).send(MESSAGE, START)
        assert len(server.log) == 1
    assert "hush" not in str(error.value)


def mail(port, **more):
    return NotifyTable(
        kind="smtp", host="127.0.0.1", port=port, tls="none", sender="audit@example.com", to=["me@example.com"], **more
    )


def test_mail_has_a_line_for_each_event():
    """The first one is its subject."""
    with MailServer() as server:
        Mail("mail", mail(server.port), None).send(MESSAGE, START)
    (text,) = server.mails
    assert "Subject: metav-audit: change: a (digits): 44 of 48 answered <otherwise>" in text
    assert f"Message-ID: <{MESSAGE.uid}@metav-audit>" in text
    assert "To: me@example.com" in text


def test_mail_that_is_not_taken_is_told_again():
    """By a server that refuses, and by none at all."""
    with MailServer(refuses=True) as server, pytest.raises(RemoteError, match="did not take a message"):
        Mail("mail", mail(server.port), None).send(MESSAGE, START)
    with pytest.raises(RemoteError, match="did not take a message"):
        Mail("mail", mail(free_port()), None).send(MESSAGE, START)


FLEET = """
[watches.ours]
endpoints = "endpoints.toml"
bundles = ["toy.bundle"]

[notify.hook]
kind = "webhook"
url = "https://hooks.example.com/${HOOK_PATH}"
secret = "${HOOK_SECRET}"
events = ["match", "change"]
"""


@pytest.fixture
def opened(tmp_path):
    """Open the channels of a fleet file's text."""

    def call(text, secrets=("HOOK_PATH",), **environment):
        (tmp_path / "fleet.toml").write_text(text)
        fleet = load_fleet(tmp_path / "fleet.toml")
        return fleet, open_channels(fleet, Grant(frozenset(secrets)), environment, print)

    return call


def test_a_webhook_s_variables_are_filled_in_where_they_are_granted(opened):
    """What is sent has to be named beside the file; what signs is never sent."""
    fleet, channels = opened(FLEET, HOOK_PATH="T0/hush", HOOK_SECRET="whsec_" + base64.b64encode(b"key!").decode())
    webhook = channels[1][0]
    assert (webhook.url, webhook.key) == ("https://hooks.example.com/T0/hush", b"key!")
    assert "hush" not in repr(webhook)
    assert kinds_of(fleet)["hook"] == {"match", "change"}
    with pytest.raises(SecretError, match="say --secret HOOK_PATH"):
        opened(FLEET, secrets=(), HOOK_PATH="T0/hush", HOOK_SECRET="hush")
    with pytest.raises(SecretError, match="HOOK_SECRET is not set"):
        opened(FLEET, HOOK_PATH="T0/hush")


@pytest.mark.parametrize("line", ['secret = "hunter2"', 'password = "hunter2"'])
def test_a_secret_as_a_literal_is_refused_and_not_repeated(opened, line):
    """It belongs into a variable."""
    with pytest.raises(ConfigurationError, match="put it in an environment variable") as error:
        opened(FLEET.replace('secret = "${HOOK_SECRET}"', line))
    assert "hunter2" not in str(error.value)
