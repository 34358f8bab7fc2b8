"""Fuzzing of all that reads what others wrote: python -m tests.bench.fuzz --minutes 10 [TARGET ...].

A real file is changed by hypothesis: bytes anywhere, or one to four values of its JSON or TOML, chained and sealed anew
as a careful forger would. Whatever reads it either takes it or refuses it by an error of its own kind; anything else,
and anything that takes more than ``SLOW_S``, is a finding, shrunk and told with the line it came from: exit code 1.
"""

from __future__ import annotations

import copy
import hashlib
import json
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import click
import numpy as np
import tomlkit
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisWarning

from metav_audit.adapter import Response
from metav_audit.audit import Grant, load_endpoints
from metav_audit.audit.wire.hints import announced_rest, wished_pause
from metav_audit.audit.wire.identity import explain, identify
from metav_audit.bundle import MANIFEST, FingerprintBundle
from metav_audit.bundle.folder import TENSORS, seal
from metav_audit.errors import AnswerError, BundleError, ConfigurationError, MetavAuditError
from metav_audit.evidence import custody_of, pack_folder, unpacked
from metav_audit.verdict import AuditFolder
from tests.adapters.protocols import CASES, TASK
from tests.builders import linear_model, make_bundle, make_siblings_bundle, make_task
from tests.folders import make_folder, rechain

SLOW_S = 10.0
"""Seconds of this process that reading one file may take."""

_ROUND = 100
"""Examples between two looks at the clock."""


class SlowError(Exception):
    """A file took longer to read than any may."""


@dataclass(frozen=True)
class Target:
    """What is fuzzed.

    Attributes:
        name: what reads.
        examples: files, or answers, to be read.
        read: reads one; errors other than ``refusals`` are findings.
        refusals: the errors by which it may refuse.
    """

    name: str
    examples: st.SearchStrategy[Any]
    read: Callable[[Any], object]
    refusals: type[Exception] = MetavAuditError


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a JSON value with each of its keys or positions."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


ODD = st.sampled_from(
    [None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, -(2**70), 1e308, 5e-324, "", "a", "0", "NaN", "\x00", "\u202e",
     "\ud800", "x" * 5000, [], {}, [[]], [None], [0] * 50, {"": ""}, "../../etc/passwd", "2026-13-40T99:99:99Z"]
)  # fmt: skip
VALUES = ODD | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def altered(draw: Any, value: Any) -> Any:
    """A JSON value with one to four places changed, dropped, doubled or put in another's stead."""
    changed = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 4))):
        container, key = draw(st.sampled_from(list(places(changed)) or [({"": changed}, "")]))
        how = draw(st.sampled_from(["value", "value", "drop", "swap", "name", "double"]))
        if how == "value":
            container[key] = copy.deepcopy(draw(VALUES))
        elif how == "drop":
            del container[key]
        elif how == "swap":
            other, at = draw(st.sampled_from(list(places(changed)) or [(container, key)]))
            container[key] = copy.deepcopy(other[at])
        elif isinstance(container, list):
            container.insert(key, copy.deepcopy(container[key]))
        else:
            container[draw(st.text(max_size=12))] = container[key]
        if not list(places(changed)):
            break
    return changed


@st.composite
def spoiled(draw: Any, content: bytes) -> bytes:
    """Bytes with one to eight of them changed, or with a part cut out, doubled or put in."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(0, max(0, len(changed) - 1)))
        end = at + draw(st.sampled_from([1, 1, 1, 2, 4, 8, 100, len(content)]))
        how = draw(st.sampled_from(["set", "set", "cut", "double", "insert"]))
        if how == "set":
            changed[at : at + 1] = bytes([draw(st.integers(0, 255))])
        elif how == "cut":
            del changed[at:end]
        elif how == "double":
            changed[at:at] = changed[at:end]
        else:
            changed[at:at] = draw(st.binary(max_size=16))
    return bytes(changed)


def writable(value: Any) -> bytes:
    """JSON that a forger can write: NaN and lone surrogates are as JSON has them."""
    return json.dumps(value, sort_keys=True).encode()


def transcripts(work: Path) -> Iterator[Target]:
    """An audit's folder: records changed and chained anew, or bytes of any of its files."""
    folder = make_folder(work / "audit", linear_model(make_task(), 0), unanswered=(3,))
    path = folder / "transcript.jsonl"
    genuine = [json.loads(line) for line in path.read_bytes().splitlines()]
    whole = {name: (folder / name).read_bytes() for name in ("transcript.jsonl", "bodies.pack", "verdict.json")}

    def decide(records: Any) -> None:
        with suppress(ValueError, AttributeError, KeyError, TypeError):  # What cannot be chained is not written.
            path.write_bytes(whole[path.name])
            rechain(path, lambda before: before.__setitem__(slice(None), records))
        judge(AuditFolder(folder))

    def spoil(change: tuple[str, bytes]) -> None:
        for name, content in whole.items():
            (folder / name).write_bytes(change[1] if name == change[0] else content)
        judge(AuditFolder(folder))

    yield Target("transcript", altered(genuine).filter(bool), decide)
    files = st.sampled_from(sorted(whole)).flatmap(lambda name: st.tuples(st.just(name), spoiled(whole[name])))
    yield Target("audit-folder", files, spoil)


def judge(folder: AuditFolder) -> None:
    """Do what ``metav-audit report`` does before it writes."""
    decision = folder.decided()
    custody_of(folder, decision.bundle, decision.transcript)


def bundles(work: Path) -> Iterator[Target]:
    """A manifest sealed anew, and tensors whose hash is stated anew, of two forms."""
    path = work / "bundle"
    originals = []
    for bundle in (make_bundle(queries=2), make_siblings_bundle(queries=2, siblings=4)):
        bundle.save(path)
        originals.append((json.loads((path / MANIFEST).read_bytes()), (path / TENSORS).read_bytes()))

    def load(parts: tuple[Any, bytes]) -> None:
        manifest, tensors = parts
        if isinstance(manifest, dict):
            manifest = {**manifest, "tensors_sha256": hashlib.sha256(tensors).hexdigest()}
            with suppress(UnicodeEncodeError):
                manifest["sha256"] = seal(manifest)
        (path / MANIFEST).write_bytes(writable(manifest))
        (path / TENSORS).write_bytes(tensors)
        FingerprintBundle.load(path)

    which = st.sampled_from(originals)
    manifests = which.flatmap(lambda one: st.tuples(altered(one[0]), st.just(one[1])))
    yield Target("manifest", manifests, load, BundleError)
    tensors = which.flatmap(lambda one: st.tuples(st.just(one[0]), spoiled(one[1]) | headed(one[1])))
    yield Target("safetensors", tensors, load, BundleError)


def headed(content: bytes) -> st.SearchStrategy[bytes]:
    """A safetensors file whose header says something else, at its right length."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])

    def written(changed: Any) -> bytes:
        text = writable(changed)
        return len(text).to_bytes(8, "little") + text + content[8 + size :]

    return altered(header).map(written)


def archives(work: Path) -> Iterator[Target]:
    """A packed audit's bytes, and archives whose entries have other names."""
    folder, path = make_folder(work / "packed", linear_model(make_task(), 0)), work / "audit.zip"
    pack_folder(folder, path)
    genuine = path.read_bytes()

    def unpack(content: bytes) -> None:
        path.write_bytes(content)
        with unpacked(path) as found:
            assert all(each.resolve().is_relative_to(found) for each in found.rglob("*"))

    def named(names: list[str]) -> bytes:
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                with suppress(ValueError, IndexError), warnings.catch_warnings(action="ignore"):
                    archive.writestr(name, b"x")
        return path.read_bytes()

    names = st.lists(
        st.sampled_from(["a", "../a", "/a", "a/../../b", "a/b", ".", "", "a\x00b", "CON"]) | st.text(), max_size=5
    )
    yield Target("archive", spoiled(genuine) | names.map(named), unpack)


def endpoint_files(work: Path) -> Iterator[Target]:
    """Tables changed, or the text's bytes."""
    path = work / "endpoints.toml"
    tables = {f"e{at}": {"adapter": case.adapter, **case.table()} for at, case in enumerate(CASES.values())}
    headers = {"headers": {"Authorization": "Bearer ${TOKEN}"}, "limits": {"requests": 100, "price": 0.5}}
    signing = {"kind": "aws-sigv4", "service": "sagemaker", "region": "eu-central-1"}
    tables["e0"] |= {**headers, "signing": signing}
    genuine = {"endpoints": tables, "operator": {"name": "A", "authority": "contract 7"}}

    def text(content: Any) -> bytes:
        with suppress(Exception):
            return tomlkit.dumps(content).encode("utf-8", "replace")
        return b""

    def load(content: bytes) -> None:
        path.write_bytes(content)
        load_endpoints(path, TASK, Grant(frozenset({"TOKEN"}), functions=True))

    some = st.lists(st.sampled_from(sorted(tables)), min_size=1, max_size=2, unique=True).map(
        lambda names: {**genuine, "endpoints": {name: tables[name] for name in names}}
    )
    yield Target("endpoint-file", some.flatmap(altered).map(text) | spoiled(text(genuine)), load, ConfigurationError)


def decoders(work: Path) -> Iterator[Target]:
    """Each adapter's own answers, changed: decoded, classified, and read for names, pauses and reasons."""
    del work
    model, inputs = linear_model(TASK, 0), TASK.domain.sample(3, np.random.default_rng(0))

    @cache
    def recorded(name: str) -> Response:
        # Once: a server of jobs gives each a number of its own.
        case = CASES[name]
        return case.speak(model, case.open().encode(inputs[: case.most]))

    def answers(name: str) -> st.SearchStrategy[tuple[str, int, dict[str, str], bytes]]:
        response = recorded(name)
        body = spoiled(response.content)
        with suppress(ValueError):
            body |= altered(json.loads(response.content)).map(writable)
        headers = st.just(dict(response.headers)) | altered(dict(response.headers)).map(texts)
        statuses = st.sampled_from([200, 200, 200, 202, 204, 400, 401, 429, 500, 503, 599])
        return st.tuples(st.just(name), statuses, headers, body)

    def decode(given_: tuple[str, int, dict[str, str], bytes]) -> None:
        name, status, headers, content = given_
        case, response = CASES[name], Response(status, headers, content)
        adapter = case.open()
        adapter.classify(response)
        explain(response), identify(response)
        for hint in (wished_pause, announced_rest):
            hint(response, NOW)
        adapter.decode(response, case.most)

    yield Target("adapters", st.sampled_from(sorted(CASES)).flatmap(answers), decode, AnswerError)


def texts(value: Any) -> dict[str, str]:
    """What may be headers: texts by names in lower case."""
    return {str(name).lower(): str(each) for name, each in value.items()} if isinstance(value, dict) else {}


NOW = datetime(2026, 1, 1, tzinfo=UTC)
MAKERS = (transcripts, bundles, archives, endpoint_files, decoders)
NAMES = ("transcript", "audit-folder", "manifest", "safetensors", "archive", "endpoint-file", "adapters")


@dataclass(frozen=True)
class Finding:
    """What a reader did that it should not: the error, the line of ours it came from, and the smallest example."""

    what: str
    where: str
    example: str


def fuzz(target: Target, seconds: float, first_seed: int = 0) -> tuple[int, dict[str, Finding]]:
    """Read examples until the time is over; return how many were read, and the findings by their place."""
    until, read, found = time.monotonic() + seconds, 0, {}

    def once(example: Any) -> None:
        nonlocal read
        read += 1
        begun = time.process_time()
        with suppress(target.refusals):
            target.read(example)
        if time.process_time() - begun > SLOW_S:
            raise SlowError(f"took {time.process_time() - begun:.0f} s")

    number = first_seed
    while time.monotonic() < until:
        number += 1
        last: list[Any] = []
        try:
            _examined(target.examples, once, last, number)()
        except Exception as error:  # Whatever it is, it is a finding.
            where = place_of(error)
            found.setdefault(where, Finding(f"{type(error).__name__}: {error}"[:200], where, repr(last)[:400]))
    return read, found


def _examined(
    examples: st.SearchStrategy[Any], once: Callable[[Any], None], last: list[Any], number: int
) -> Callable[[], None]:
    """Return a round of examples; ``last`` holds the newest of them, and so at last the smallest that fails."""

    @seed(number)
    @settings(
        max_examples=_ROUND, database=None, deadline=None, suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink), report_multiple_bugs=False,
    )  # fmt: skip
    @given(examples)
    def examine(example: Any) -> None:
        last[:] = [example]
        once(example)

    return examine


def place_of(error: BaseException) -> str:
    """The innermost line of this repository that an error passed."""
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "metav_audit" in frame.filename]
    frame = ours[-1] if ours else traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"


@click.command()
@click.argument("names", metavar="[TARGET]...", nargs=-1, type=click.Choice(NAMES))
@click.option("--minutes", default=10.0, show_default=True, help="Minutes for each target.")
@click.option("--seed", "first", default=0, help="Begin with another seed.")
def command(names: tuple[str, ...], minutes: float, first: int) -> None:
    """Fuzz each TARGET, or all of them."""
    worst = 0
    warnings.simplefilter("ignore", HypothesisWarning)
    with tempfile.TemporaryDirectory() as work:
        for target in (target for maker in MAKERS for target in maker(Path(work))):
            if names and target.name not in names:
                continue
            read, found = fuzz(target, 60 * minutes, first)
            click.echo(f"{target.name:<14} {minutes:g} min, {read} examples, {len(found)} findings", nl=True)
            for finding in found.values():
                click.echo(f"  {finding.where}  {finding.what!r}\n    {finding.example}")
            worst = max(worst, bool(found))
    sys.exit(worst)


if __name__ == "__main__":
    command()
