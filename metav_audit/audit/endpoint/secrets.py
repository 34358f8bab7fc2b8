"""Secrets stand in environment variables: literal ones are refused, expanded ones stay in memory and leave no trace."""

from __future__ import annotations

import base64
import json
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from metav_audit.adapter import Response
from metav_audit.audit.endpoint.echoes import Echoes
from metav_audit.config import HANDED_OUT, PASSPHRASE
from metav_audit.errors import ConfigurationError, SecretError

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

SHORTEST = 4
"""A shorter value would be found, and redacted, in the middle of numbers."""

_SENSITIVE_NAME = re.compile(
    r"authorization|api[-_]?key|access[-_]?key|token(?!i)|secret|cookie|passw(or)?d|credential|signature"
    r"|subscription-key|functions-key|(^|[-_])(auth|pass|pwd|access)$|-key$",
    re.IGNORECASE,
)
_SURELY_SENSITIVE = re.compile(
    r"passw(or)?d|passphrase|secret(?![-_]?(names?|ids?|version))|(?<!pad[-_])(?<!bos[-_])(?<!eos[-_])(?<!sep[-_])(?<!cls[-_])"
    r"(?<!mask[-_])(?<!unk[-_])(?<!stop[-_])(?<!start[-_])token$|(^|[-_])jwt$|api[-_]?key$"
    r"|(auth|private|license|account|user|model|endpoint|hash|master|admin|shared|access)[-_]?key$",
    re.IGNORECASE,
)
"""Names of credentials, whatever ordinary words stand in them as well."""
_PERHAPS_SENSITIVE = re.compile(r"^(key|sig|code)$", re.IGNORECASE)
"""Names of credentials, of ordinary things as well: they are the former where a digit stands in the value, or much."""
_ORDINARY_NAME = re.compile(
    r"(idempotency|partition|cache|sort|routing)[-_]?key$|version|revision|deployment|traceparent|(^|[-_.])(ids?|name|model|endpoint|variant|stage|trace|request|hash|sha\d*|digest"
    r"|limit|type)([-_.]|$)|tokens$|tokens?[-_](count|limit|type|budget)|(pad|bos|eos|sep|cls|mask|unk|stop|start|end)_token$",
    re.IGNORECASE,
)
"""Names whose values are long and look random, and are no secrets."""
_NO_CREDENTIAL = re.compile(r"\[[A-Z]+\]|<\w+>|true|false|none|null|yes|no|off|on|", re.IGNORECASE)
"""Values that are none, under whatever name."""
_TOKEN = re.compile(
    r"\bbearer\s+(?=\S*\d)[^\s$]{4,}|\bbearer\s+[^\s$]{20,}|\bbasic\s+(?=\S*[\d=+/])[a-z0-9+/=]{6,}"
    r"|\b(glpat-|nvapi-|gsk_|r8_|npm_|dop_v1_|sk_live_)\w{8,}|\bSG\.[\w-]{8,}\.|(?-i:\bsk-[A-Za-z0-9_-]{8,}|\b(AKIA|ASIA)[0-9A-Z]{12,}|\beyJ[\w-]{8,}\.[\w-]+"
    r"|\bgh[pousr]_\w{16,}|\bgithub_pat_|\bhf_[A-Za-z0-9]{16,}|\bxox[abprs]-|\bAIza[\w-]{20,}|\bya29\.|-----BEGIN )",
    re.IGNORECASE,
)
_RUN = re.compile(r"[A-Za-z0-9+=]{24,}")
_NO_TEXT = frozenset({float, int, bool, type(None)})
_DROPPED = "[dropped, for it showed "
_INSTEAD = 'put it in an environment variable and write "${NAME}" in a header'


@dataclass(slots=True, repr=False)
class Secrets:
    """The values of the environment variables that an endpoint's headers name; for one run, in memory alone.

    What a cloud's library gives while the run lasts is learnt, and from then on redacted like them.
    """

    values: Mapping[str, str]
    _learnt: list[tuple[str, str]] = field(init=False, default_factory=list)
    _spelled: tuple[tuple[str, str], ...] = field(init=False)
    _written: tuple[bytes, ...] = field(init=False)
    _echoes: Echoes = field(init=False)

    def __post_init__(self) -> None:
        self._prepare()

    def _prepare(self) -> None:
        named = [*self.values.items(), *self._learnt]
        self._spelled = _spellings(named)
        self._written = tuple(json.dumps(spelling, ensure_ascii=False)[1:-1].encode() for spelling, _ in self._spelled)
        self._echoes = Echoes(named)

    @classmethod
    def read(cls, names: Iterable[str], environment: Mapping[str, str]) -> Secrets:
        """Fetch variables by their names.

        Raises:
            SecretError: a variable is not set, empty, too short, or cannot stand in a header.
        """
        names = sorted(set(names))
        for name in names:
            value = environment.get(name, "")
            if not value.strip():
                raise SecretError(f"the environment variable {name} is not set or empty: export it and run again")
            if len(value) < SHORTEST:
                raise SecretError(
                    f"the environment variable {name} is shorter than {SHORTEST} characters: such a value "
                    "cannot be kept out of the records"
                )
            if not (value.isascii() and value.isprintable()):
                raise SecretError(f"the environment variable {name} holds a line break or a character no header takes")
        return cls({name: environment[name] for name in names})

    def learn(self, name: str, values: Iterable[str]) -> None:
        """Redact more values, all by one name; whatever was learnt before stays redacted."""
        self._learnt += [(name, value) for value in values if (name, value) not in self._learnt]
        HANDED_OUT.update(value for _, value in self._learnt)
        self._prepare()

    def expand(self, template: str) -> str:
        """Write the values in the places of their names."""
        return VARIABLE.sub(lambda match: self.values[match[1]], template)

    def redact(self, text: str) -> str:
        """Replace every value by ``[redacted:NAME]``; drop a text that shows one in a spelling of its own."""
        for spelling, name in self._spelled:
            text = text.replace(spelling, f"[redacted:{name}]")
        shown = self._echoes.find(text.encode("utf-8", "replace"))
        return text if shown is None else dropped(shown)

    def stand_in(self, written: bytes) -> bool:
        """Say whether any value, however it is spelled, stands in a text that was written as JSON."""
        return any(spelling in written for spelling in self._written)

    def redact_response(self, response: Response) -> Response:
        """Do the same to all that a server sent."""
        headers = response.headers
        # Nearly always they are clean, and one look at all of them tells.
        together = "\n".join(part for header in headers.items() for part in header)
        if self.redact(together) != together:
            headers = {self.redact(name): self.redact(value) for name, value in headers.items()}
        content = response.content
        for spelling, name in self._spelled:
            content = content.replace(spelling.encode(), f"[redacted:{name}]".encode())
        shown = self._echoes.find(content)
        content = content if shown is None else dropped(shown).encode()
        return Response(response.status, headers, content, response.peer)

    def redact_all(self, value: Any) -> Any:
        """Redact every text within JSON types, and mend what UTF-8 cannot write."""
        if type(value) in _NO_TEXT:
            return value
        if isinstance(value, str):
            redacted = self.redact(value)
            return redacted if redacted.isascii() else redacted.encode("utf-8", "replace").decode()
        if isinstance(value, Mapping):
            return {self.redact_all(key): self.redact_all(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            if _NO_TEXT.issuperset(map(type, value)):
                return list(value)
            return [self.redact_all(part) for part in value]
        return value


def variables_in(template: str) -> list[str]:
    """Name the variables that a template holds as ``${NAME}``, in order."""
    return VARIABLE.findall(template)


def fill_in(template: str, environment: Mapping[str, str]) -> str:
    """Write the variables' values in the places of their names, anywhere but in a header.

    Raises:
        SecretError: a variable is not set or empty.
    """
    for name in variables_in(template):
        if not environment.get(name):
            raise SecretError(f"the environment variable {name} is not set or empty: export it and run again")
    return VARIABLE.sub(lambda match: environment[match[1]], template)


def dropped(name: str) -> str:
    """Return what is kept in the place of a text that shows a secret in a spelling of its own."""
    return f"{_DROPPED}{name}]"


def name_of_dropped(content: bytes) -> str | None:
    """Return the name of the variable for whose sake a body was dropped, or None if it was not."""
    text = content.decode("utf-8", "replace")
    return text[len(_DROPPED) : -1] if text.startswith(_DROPPED) else None


def _spellings(named: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Every way a server may echo a value, the longest first; a scheme such as Bearer may be stripped from it."""
    found = {}
    for name, value in named:
        for text in {value, *(word for word in value.split() if len(word) >= 8)}:
            escaped = json.dumps(text)[1:-1]
            encoded = base64.b64encode(text.encode()).decode()
            for spelling in (text, escaped, escaped.replace("/", "\\/"), quote(text, safe=""), encoded):
                found[spelling] = name
    return tuple(sorted(found.items(), key=lambda pair: -len(pair[0])))


def refuse_literals(
    where: str, headers: Mapping[str, str], options: Mapping[str, Any], declared: Collection[str] = ()
) -> None:
    """Raise SecretError if a secret stands as a literal among an endpoint's headers or options.

    The rule is by place: what headers, queries and the keys of a body name a credential. Tokens of known forms are
    refused anywhere; a long random run where nothing says what it is. No message repeats the value.

    Args:
        where: the endpoint's table.
        headers: header templates by name.
        options: everything else of the table.
        declared: places, such as "headers.X-Build", that the file declares to hold no secret.
    """
    for name, value in headers.items():
        _check_header(f"{where}.headers.{name}", name, value, declared=f"headers.{name}" in declared)
    for path, name, value in _texts(options):
        _check_option(f"{where}.{path}", name, value, top="." not in path, declared=path in declared)


def _check_header(place: str, name: str, value: str, *, declared: bool) -> None:
    if PASSPHRASE in VARIABLE.findall(value):
        raise SecretError(f"{place} names {PASSPHRASE}: the key's passphrase is never sent")
    rest = VARIABLE.sub("", value)
    if "${" in rest:
        raise ConfigurationError(f'{place} holds a "${{" that names no variable: write "${{NAME}}"')
    if not declared:
        if _names_credential(name, value) and rest == value:
            raise SecretError(f"{place} looks like a credential: {_INSTEAD}{_declare(place)}")
        if _looks_secret(rest, name):
            raise SecretError(f"{place} holds what looks like a literal secret: {_INSTEAD}{_declare(place)}")


def _check_option(place: str, name: str, value: str, *, top: bool, declared: bool) -> None:
    if "${" in value:
        raise SecretError(f"{place} names an environment variable: only header values are expanded")
    in_body = ".body." in place or place.endswith(".body")
    if not declared:
        # Below the top, only a request's body has keys that a server reads; a label may be called anything.
        if (top or in_body) and "{{" not in value and _names_credential(name, value):
            raise SecretError(f"{place} looks like a credential: {_INSTEAD}{_declare(place)}")
        # What a field is for is declared by its name; a body's values are anybody's.
        if _TOKEN.search(name):
            above = place.removesuffix(f".{name}")
            raise SecretError(f"a key in {above} is what looks like a literal secret: {_INSTEAD}")
        if _TOKEN.search(value) or (in_body and _looks_secret(value, name)):
            raise SecretError(f"{place} holds what looks like a literal secret: {_INSTEAD}{_declare(place)}")
    if re.match(r"https?://", value, re.IGNORECASE):
        _check_url(place, value, declared=declared)


def _declare(place: str) -> str:
    path = place.split(".", 2)[-1]
    return f'; if it is no secret, say so in the endpoint\'s table: not_secret = ["{path}"]'


def _names_credential(name: str, value: str) -> bool:
    if _NO_CREDENTIAL.fullmatch(value):
        return False
    if _SURELY_SENSITIVE.search(name):
        return True
    if _ORDINARY_NAME.search(name):
        return False
    if _SENSITIVE_NAME.search(name):
        return True
    return bool(_PERHAPS_SENSITIVE.match(name)) and (len(value) > 20 or any(each.isdigit() for each in value))


def _check_url(place: str, url: str, *, declared: bool) -> None:
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and (parts.port is None or parts.port > 0) and not parts.fragment
    except ValueError:
        valid = False
    if not valid or not url.isascii() or any(character.isspace() for character in url):
        raise ConfigurationError(f"{place} is not a valid address: write it like https://host:port/path")
    if "@" in parts.netloc:
        raise SecretError(f"{place} holds a user or password: {_INSTEAD}")
    for name, value in () if declared else parse_qsl(parts.query, keep_blank_values=True):
        if _names_credential(name, value) or _looks_secret(value, name):
            raise SecretError(
                f"{place} holds a credential in its query parameter {name!r}: {_INSTEAD}{_declare(place)}"
            )


def _looks_secret(text: str, name: str) -> bool:
    """Say whether a text holds a token of a known form, or a long random run under a name that explains none."""
    if _TOKEN.search(text):
        return True
    return not _ORDINARY_NAME.search(name) and any(_is_random(run) for run in _RUN.findall(text))


def _is_random(run: str) -> bool:
    kinds = (r"[a-z]", r"[A-Z]", r"[0-9]")
    counts = Counter(run).values()
    entropy = -sum(count / len(run) * math.log2(count / len(run)) for count in counts)
    return all(re.search(kind, run) for kind in kinds) and entropy > 3.5


def _texts(value: Any, path: str = "", name: str = "") -> Iterator[tuple[str, str, str]]:
    if isinstance(value, str):
        yield path, name, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _texts(part, f"{path}.{key}" if path else str(key), str(key))
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part, path, name)
