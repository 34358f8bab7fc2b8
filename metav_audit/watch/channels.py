"""Who is told, and how: a line of JSON, a signed webhook, mail."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import smtplib
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from metav_audit.audit import Grant, fill_in, host_to_post_to, post, variables_in
from metav_audit.errors import ConfigurationError, MetavAuditError, RemoteError, SecretError
from metav_audit.progress import printable
from metav_audit.watch.events import Event
from metav_audit.watch.fleet import KINDS, Fleet, NotifyTable, quiet_of
from metav_audit.watch.hours import QuietHours
from metav_audit.watch.outbox import STDOUT, Channel, Manners, Message

_WEBHOOK = "the webhook at"
_KEY_PREFIX = "whsec_"
_MAIL_S = 30.0
_MOST_LINES = 50


@dataclass(frozen=True, slots=True)
class Lines:
    """Standard output, a JSON object an event.

    Attributes:
        write: prints a line.
    """

    write: Callable[[str], None]
    name: str = STDOUT

    def send(self, message: Message, now: float) -> None:
        """Print the events of a message."""
        del now
        for event in message.events:
            self.write(json.dumps(event.to_json()))


@dataclass(frozen=True, slots=True, repr=False)
class Webhook:
    """An address that messages are posted to, signed as Standard Webhooks say.

    Attributes:
        name: its name in the fleet file.
        url: the address.
        key: what signs; None for no signature.
        slack: whether the body is what Slack takes, and not the events themselves.
    """

    name: str
    url: str
    key: bytes | None
    slack: bool = False

    def send(self, message: Message, now: float) -> None:
        """Post a message; any status of 2xx takes it.

        Raises:
            RemoteError: it was not taken.
        """
        body = json.dumps(_slack(message) if self.slack else _raw(message)).encode()
        headers = {"content-type": "application/json", "webhook-id": message.uid, "webhook-timestamp": f"{now:.0f}"}
        if self.key is not None:
            headers["webhook-signature"] = signature(self.key, message.uid, f"{now:.0f}", body)
        response = post(self.url, body, headers, _WEBHOOK)
        if not 200 <= response.status < 300:
            host = host_to_post_to(self.url, _WEBHOOK)
            raise RemoteError(f"{_WEBHOOK} {host} answered with status {response.status}")


@dataclass(frozen=True, slots=True, repr=False)
class Mail:
    """Mail by SMTP.

    Attributes:
        name: its name in the fleet file.
        table: server, sender and receivers.
        password: of the user; None without one.
    """

    name: str
    table: NotifyTable
    password: str | None

    def send(self, message: Message, now: float) -> None:
        """Send a message as mail.

        Raises:
            RemoteError: the server did not take it.
        """
        table = self.table
        host = table.host or ""
        try:
            mail = self._mail(message, now)
            context = ssl.create_default_context()
            if table.tls == "tls":
                server: smtplib.SMTP = smtplib.SMTP_SSL(host, table.port, timeout=_MAIL_S, context=context)
            else:
                server = smtplib.SMTP(host, table.port, timeout=_MAIL_S)
            with server:
                if table.tls == "starttls":
                    server.starttls(context=context)
                if table.user is not None and self.password is not None:
                    server.login(table.user, self.password)
                server.send_message(mail)
        except smtplib.SMTPAuthenticationError:
            raise RemoteError(f"the mail server {host} refuses the user or the password") from None
        except (smtplib.SMTPException, OSError, ValueError, LookupError) as error:
            kind = type(error).__name__
            raise RemoteError(f"the mail server {host}:{table.port} did not take a message ({kind})") from None

    def _mail(self, message: Message, now: float) -> EmailMessage:
        mail, lines = EmailMessage(), message.lines
        more = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
        mail["Subject"] = f"metav-audit: {printable(lines[0])[:120]}{more}"
        mail["From"], mail["To"] = self.table.sender, ", ".join(self.table.to)
        mail["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
        mail["Message-ID"] = f"<{message.uid}@metav-audit>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content("\n".join(map(printable, lines)) + "\n")
        return mail


def signature(key: bytes, uid: str, timestamp: str, body: bytes) -> str:
    """Sign a message as Standard Webhooks say: HMAC-SHA256 of id, time and body.

    >>> signature(b"key", "1", "2", b"{}")
    'v1,9iXOMau8MQvofxZwGPd/aC/ZrwvhfkmpWBMiycRwdZ0='
    """
    mac = hmac.digest(key, f"{uid}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(mac).decode()


def open_channels(
    fleet: Fleet, grant: Grant, environment: Mapping[str, str], write: Callable[[str], None]
) -> list[tuple[Channel, Manners]]:
    """Open everybody who is told, standard output first.

    Args:
        fleet: the fleet file.
        grant: the variables that may be sent.
        environment: where they are looked up.
        write: prints a line.

    Raises:
        SecretError: a variable is not set, or not granted.
        ConfigurationError: an address is none.
    """
    always = Manners(QuietHours((), fleet.zone), frozenset(), 0.0)
    channels: list[tuple[Channel, Manners]] = [(Lines(write), always)]
    for name, table in fleet.file.notify.items():
        if table.kind != "prometheus":
            manners = Manners(quiet_of(fleet, table.quiet), frozenset(table.urgent), table.every)
            try:
                channels.append((_open(name, table, grant, environment), manners))
            except ConfigurationError as error:
                raise type(error)(f"{fleet.path}: notify.{name}: {error}") from None
    return channels


def say_hello(
    fleet: Fleet, channels: Sequence[tuple[Channel, Manners]], uid: str, now: float, complain: Callable[[str], None]
) -> int:
    """Send everybody but standard output a message that says nothing happened; return how many did not take it.

    Args:
        fleet: the fleet file.
        channels: as ``open_channels`` opened them.
        uid: the message's id.
        now: in seconds since 1970.
        complain: told why a channel did not take it.
    """
    words = f"nothing happened: this is how {fleet.path.name} will tell you what does"
    event, failed = Event(uid, "hello", now, None, None, None, None, None, words), 0
    for channel in (channel for channel, _ in channels if channel.name != STDOUT):
        try:
            channel.send(Message(uid, now, (event,)), now)
        except MetavAuditError as error:
            complain(f"notify.{channel.name}: {error}")
            failed += 1
    return failed


def kinds_of(fleet: Fleet) -> dict[str, frozenset[str]]:
    """Return the kinds of events that each channel tells, by its name."""
    told = {name: frozenset[str](each.events) for name, each in fleet.file.notify.items() if each.kind != "prometheus"}
    return {STDOUT: frozenset(KINDS), **told}


def _open(name: str, table: NotifyTable, grant: Grant, environment: Mapping[str, str]) -> Channel:
    if table.kind == "smtp":
        password = None if table.password is None else _filled(table.password, table.host or "", grant, environment)
        return Mail(name, table, password)
    url = _filled(table.url or "", "", grant, environment)
    host_to_post_to(url, _WEBHOOK)
    # What signs is not sent: nobody has to grant it.
    secret = None if table.secret is None else fill_in(table.secret, environment)
    return Webhook(name, url, None if secret is None else _key(secret), table.shape == "slack")


def _filled(template: str, host: str, grant: Grant, environment: Mapping[str, str]) -> str:
    """Fill in the variables of what will be sent to a host."""
    for name in variables_in(template):
        if not grant.covers(name, f"//{host}"):
            raise SecretError(f"it would send the environment variable {name}: if you want that, say --secret {name}")
    return fill_in(template, environment)


def _key(secret: str) -> bytes:
    if not secret.startswith(_KEY_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_KEY_PREFIX), validate=True)
    except binascii.Error:
        raise SecretError(f"the webhook's secret begins with {_KEY_PREFIX} and is not base64: copy it again") from None


def _raw(message: Message) -> dict[str, Any]:
    return {"id": message.uid, "events": [event.to_json() for event in message.events]}


def _slack(message: Message) -> dict[str, Any]:
    lines = [printable(line).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for line in message.lines]
    more = [f"… and {len(lines) - _MOST_LINES} more"] if len(lines) > _MOST_LINES else []
    return {"text": "\n".join([*lines[:_MOST_LINES], *more])}
