"""The owner's request log: what is sealed, what is left out, and that nothing else can pass for it."""

from __future__ import annotations

import base64
import gzip
import json
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metav_audit.errors import ConfigurationError, EvidenceError
from metav_audit.task import ClassScores, ImageDomain, ScoreKind, TabularDomain, TaskSpec
from metav_audit.task.domains import CategoryColumn, NumberColumn
from metav_audit.transcript.log import (
    Columns,
    Day,
    LogFormat,
    Row,
    SealedLog,
    count_requests,
    find_sources,
    inputs_of,
    leaf_hash,
    open_log,
    proofs_of,
    root_by,
    root_of,
    seal_log,
    sealing,
)
from tests.builders import make_task

TASK = TaskSpec(ImageDomain(1, 2, 2), ClassScores(("cat", "dog")))
TABLE = TaskSpec(
    TabularDomain((NumberColumn("age", 0, 100), CategoryColumn("colour", ("red", "blue")))), ClassScores(("yes", "no"))
)


def record(day: int = 1, account: object = "a", answer: object = "cat", **fields: object) -> dict[str, object]:
    sent = {"time": f"2026-11-{day:02d}T10:00:00+01:00", "account": account, "input": [0.2, 0.4, 0.6, 1.0]}
    return {**sent, "answer": answer, **fields}


def write(path: Path, records: list[object]) -> str:
    path.write_text("".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in records))
    return str(path)


def seal(tmp_path: Path, records: list[object], log: LogFormat | None = None, name: str = "a.jsonl"):
    return seal_log(find_sources([write(tmp_path / name, records)]), log or LogFormat(TASK), tmp_path / "sealed")


def broken(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "broken.jsonl").read_text().splitlines()]


def test_a_row_says_who_asked_what_when_and_was_served_what(tmp_path):
    """In one canonical line, the time in UTC, the input as it reached the model."""
    log, done = seal(tmp_path, [record(answer=[0.25, 0.75])])
    (row,) = log.rows()
    assert (row.account, row.answer, row.at) == ("a", [0.25, 0.75], "2026-11-01T09:00:00Z")
    assert np.allclose(inputs_of([row], TASK), [[[[0.2, 0.4], [0.6, 1.0]]]], atol=1 / 255)
    assert (done.rows, done.broken) == (1, 0)
    assert Row.from_line(row.to_line()) == row


def test_days_are_chained_and_a_later_day_is_added(tmp_path):
    """What stood before stays, byte for byte; the new link names the old one."""
    first, _ = seal(tmp_path, [record(1), record(2), record(1)])
    before = (tmp_path / "sealed" / "days.jsonl").read_bytes()
    log, _ = seal(tmp_path, [record(3)], name="b.jsonl")
    assert [(day.day, day.rows) for day in log.days] == [("2026-11-01", 2), ("2026-11-02", 1), ("2026-11-03", 1)]
    assert (tmp_path / "sealed" / "days.jsonl").read_bytes().startswith(before)
    assert log.days[2].previous == first.head
    log.check()


def test_a_sealed_day_stays_as_it_was(tmp_path):
    """A late row of it is left out, by name."""
    first, _ = seal(tmp_path, [record(1)])
    log, done = seal(tmp_path, [record(1, "late")], name="b.jsonl")
    assert (log.head, done.rows, done.broken) == (first.head, 0, 1)
    assert broken(log.path)[0]["problem"] == "its day, 2026-11-01, is sealed"


HOSTILE: list[object] = [
    "{",
    "[1]",
    '{"time": NaN}',
    '{"a":' * 5000,
    record(input=[0.1, 0.2]),
    record(input=[0.1, 0.2, 0.3, 7.0]),
    record(input=[0.1, 0.2, 0.3, "x"]),
    json.dumps(record()).replace("0.2", "1e999"),
    record(input=None),
    record(input={"a": 1}),
    record(input="../../etc/passwd"),
    record(input=base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(50)).decode()),
    record(input="[" * 100_000),
    record(time="2026-11-01T10:00:00"),
    record(time="yesterday"),
    record(time=1e300),
    record(time=True),
    record(account=""),
    record(account="a\nb"),
    record(account=["a"]),
    record(account="a" * 201),
    record(answer="cow"),
    record(answer=[0.5]),
    record(answer=[0.9, 0.9]),
    record(answer=[0.5, None]),
    record(answer={"cat": 1.0}),
    record(answer=10**400),
]


def test_what_does_not_fit_is_left_out_counted_and_named(tmp_path):
    """Whatever a record holds, it harms nothing and no other record; its place and the reason are told."""
    log, done = seal(tmp_path, [record(), *HOSTILE, record(account=7)])
    assert [row.account for row in log.rows()] == ["a", "7"]
    told = broken(log.path)
    assert done.broken == len(HOSTILE) == len(told)
    assert sorted(one["record"] for one in told) == list(range(2, len(HOSTILE) + 2))
    assert {one["problem"] for one in told} >= {"no JSON", "time has no time zone", "no input"}
    assert all(len(one["problem"]) < 300 for one in told)


def test_a_line_without_end_is_no_burden(tmp_path, monkeypatch):
    """No more of a line is read than one may have; reading goes on behind it."""
    from metav_audit.transcript.log import sources

    monkeypatch.setattr(sources, "MAX_LINE_BYTES", 1000)
    log, done = seal(tmp_path, [record(), record(note="x" * 5000), record(account="b")])
    assert [row.account for row in log.rows()] == ["a", "b"]
    assert done.broken == 1


def test_csv_gzip_parquet_and_folders_give_the_same_rows(tmp_path):
    """One export in four forms has one head."""
    records = [record(1, "a"), record(1, "b", [0.5, 0.5]), record(2, "c")]
    (tmp_path / "in").mkdir()
    plain = write(tmp_path / "in" / "a.jsonl", records)
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.write(Path(plain).read_text())
    cells = [[f'"{json.dumps(value).strip(chr(34))}"' for value in one.values()] for one in records]
    lines = [",".join(records[0]), *map(",".join, cells)]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    plainly = [{**one, "answer": json.dumps(one["answer"]).strip('"')} for one in records]
    parquet.write_table(pa.Table.from_pylist(plainly), tmp_path / "a.parquet")
    heads = {
        seal_log(find_sources([str(tmp_path / name)]), LogFormat(TASK), tmp_path / f"to {name}")[0].head
        for name in ("in", "in/a.jsonl", "a.jsonl.gz", "a.csv", "a.parquet")
    }
    assert len(heads) == 1


def test_a_log_may_lie_at_an_address(tmp_path):
    """What fsspec reads is sealed as a file is; what is not there, or of no known kind, is one clear error."""
    fsspec = pytest.importorskip("fsspec")
    local = write(tmp_path / "a.jsonl", [record(), record(2)])
    with fsspec.open("memory://logs/a.jsonl", "w") as file:
        file.write(Path(local).read_text())
    heads = [
        seal_log(find_sources([name]), LogFormat(TASK), tmp_path / f"to {at}")[0].head
        for at, name in enumerate((local, "memory://logs/a.jsonl"))
    ]
    assert heads[0] == heads[1]
    for name in ("memory://logs/gone.jsonl", "nowhere://logs/a.jsonl", "memory://logs/a.doc"):
        with pytest.raises(ConfigurationError, match="logs/"):
            find_sources([name])


def test_columns_lie_within_others_or_are_jmespath(tmp_path):
    """Dotted paths need nothing installed; what is more is JMESPath."""
    pytest.importorskip("jmespath")
    nested = {"meta": {"at": "2026-11-01T00:00:00Z", "who": {"id": 5}}, "in": [[0, 0, 0, 255]], "out": ["dog"]}
    log = LogFormat(TASK, Columns("meta.at", "meta.who.id", "in[0]", "out[0]"), eight_bit=True)
    sealed, _ = seal(tmp_path, [nested], log)
    (row,) = sealed.rows()
    assert (row.account, row.answer) == ("5", "dog")
    assert inputs_of([row], TASK).ravel().tolist() == [0, 0, 0, 1]
    with pytest.raises(ConfigurationError, match="no JMESPath"):
        Columns(input="a[").getters()


def test_rows_of_a_table_are_inputs(tmp_path):
    """As objects, or as the cells of a CSV file beside time and account."""
    (tmp_path / "a.csv").write_text(
        "time,account,age,colour,answer\n1764547200,a,41,blue,yes\n1764547200,a,41,grey,no\n"
    )
    log = LogFormat(TABLE, Columns(input="@"))
    sealed, done = seal_log(find_sources([str(tmp_path / "a.csv")]), log, tmp_path / "sealed")
    (row,) = sealed.rows()
    assert TABLE.domain.rows(inputs_of([row], TABLE)) == [{"age": 41, "colour": "blue"}]
    assert row.at == "2025-12-01T00:00:00Z"
    assert done.broken == 1


def test_pictures_come_as_png(tmp_path):
    """In base64, of the task's size and no other."""
    wide = make_task(2, side=3)
    sent = TASK.domain.png(TASK.domain.sample(1, np.random.default_rng(0)))[0]
    other = wide.domain.png(wide.domain.sample(1, np.random.default_rng(0)))[0]
    pictures = [record(input=base64.b64encode(each).decode()) for each in (sent, other)]
    log, done = seal(tmp_path, pictures)
    assert np.array_equal(inputs_of(list(log.rows()), TASK), TASK.domain.sample(1, np.random.default_rng(0)))
    assert done.broken == 1


def test_scores_are_read_as_declared(tmp_path):
    """Percent that do not add up to a hundred are no percent."""
    log, done = seal(
        tmp_path, [record(answer=[20, 80]), record(answer=[0.2, 0.8])], LogFormat(TASK, scores=ScoreKind.PERCENT)
    )
    assert [row.answer for row in log.rows()] == [[20, 80]]
    assert done.broken == 1


DAMAGES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "row changed": ("days/2026-11-01.jsonl", lambda text: text.replace(b'"a"', b'"b"')),
    "row gone": ("days/2026-11-01.jsonl", lambda text: text.split(b"\n", 1)[1]),
    "row added": ("days/2026-11-01.jsonl", lambda text: text + text.splitlines(keepends=True)[0]),
    "rows swapped": ("days/2026-11-01.jsonl", lambda text: b"".join(reversed(text.splitlines(keepends=True)))),
    "row cut": ("days/2026-11-01.jsonl", lambda text: text[:-1]),
    "link gone": ("days.jsonl", lambda text: text.split(b"\n", 1)[1]),
    "link changed": ("days.jsonl", lambda text: text.replace(b'"rows":2', b'"rows":1')),
    "header gone": ("log.json", lambda _: b"{}"),
}


@pytest.mark.parametrize("how", DAMAGES)
def test_nothing_of_a_sealed_log_can_change(tmp_path, how):
    """Each way is found, and said in one line."""
    seal(tmp_path, [record(1), record(1, "c"), record(2)])
    name, damage = DAMAGES[how]
    file = tmp_path / "sealed" / name
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(EvidenceError):
        open_log(tmp_path / "sealed").check()


def test_another_log_s_place_is_refused(tmp_path):
    """So is a folder that holds something else, and the same log read otherwise."""
    seal(tmp_path, [record()])
    with pytest.raises(ConfigurationError, match="other columns"):
        seal(tmp_path, [record(2)], LogFormat(TASK, utc=True))
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "a.txt").touch()
    with pytest.raises(ConfigurationError, match="is no sealed log"):
        seal_log(find_sources([str(tmp_path / "a.jsonl")]), LogFormat(TASK), tmp_path / "else")


def _die_at(batch: int, files: list[str], path: Path) -> None:
    def count(_: int) -> None:
        nonlocal batch
        batch -= 1
        if batch == 0:
            os._exit(9)

    sealing.BATCH = 3
    seal_log(find_sources(files), LogFormat(TASK), path, count)


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_killed_anywhere_it_goes_on(tmp_path, batch):
    """The same rows, once each, and the same broken ones."""
    files = [
        write(tmp_path / f"{name}.jsonl", [record(1 + n % 3, f"{name}{n}") if n % 4 else "{" for n in range(8)])
        for name in "ab"
    ]
    whole, _ = seal_log(find_sources(files), LogFormat(TASK), tmp_path / "whole")
    killed = multiprocessing.get_context("fork").Process(target=_die_at, args=(batch, files, tmp_path / "killed"))
    killed.start()
    killed.join()
    assert killed.exitcode == 9
    # Bytes that were written after the last note.
    with (tmp_path / "killed" / "sealing" / "2026-11-02.jsonl").open("ab") as file:
        file.write(b"half a row")
    log, done = seal_log(find_sources(files), LogFormat(TASK), tmp_path / "killed")
    assert log.head == whole.head
    assert done.broken == 4
    assert not (tmp_path / "killed" / "sealing").exists()


def test_killed_among_the_last_moves_it_goes_on(tmp_path, monkeypatch):
    """Some days have moved, the chain has not."""
    files = [write(tmp_path / "a.jsonl", [record(1), record(2), "{"])]
    moves = iter(range(2))

    def some(source: Path, target: Path, replace=os.replace) -> None:
        if Path(source).parent.name == "sealing" and Path(source).name != "note.json" and next(moves, None) is None:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(sealing.os, "replace", some)
    with pytest.raises(KeyboardInterrupt):
        seal_log(find_sources(files), LogFormat(TASK), tmp_path / "sealed")
    monkeypatch.undo()
    log, _ = seal_log(find_sources(files), LogFormat(TASK), tmp_path / "sealed")
    log.check()
    assert [day.rows for day in log.days] == [1, 1]


def test_another_export_does_not_end_what_one_began(tmp_path):
    """The half-read one is named, with the way out."""
    files = [write(tmp_path / "a.jsonl", [record(1)])]
    killed = multiprocessing.get_context("fork").Process(target=_die_at, args=(1, files, tmp_path / "sealed"))
    killed.start()
    killed.join()
    with pytest.raises(ConfigurationError, match="another export"):
        seal(tmp_path, [record(2)], name="b.jsonl")


@pytest.mark.parametrize("name", ["absent.jsonl", "notes.txt", "empty"])
def test_files_that_are_no_log_are_refused(tmp_path, name):
    """By name, before anything is read."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigurationError):
        find_sources([str(tmp_path / name)])


def test_links_in_a_folder_are_not_followed(tmp_path):
    """A link could lead to what is no log."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").symlink_to(write(tmp_path / "b.jsonl", [record()]))
    with pytest.raises(ConfigurationError, match="no file of a log"):
        find_sources([str(tmp_path / "in")])


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=70), st.data())
def test_a_proof_leads_to_the_root_from_its_own_place_alone(rows, data):
    """Whatever the number of rows."""
    leaves = [leaf_hash(row) for row in rows]
    root, count = root_of(leaves)
    place = data.draw(st.integers(0, count - 1))
    (proof,) = proofs_of(leaves, [place])
    assert root_by(leaves[place], place, count, proof) == root
    assert root_by(leaf_hash(b"other row"), place, count, proof) != root
    assert root_by(leaves[place], place, count, [*proof, root]) != root
    assert root_by(leaves[place], count, count, proof) is None


def test_the_root_is_that_of_rfc_6962():
    """Seven leaves, by hand."""
    from hashlib import sha256

    leaves = [leaf_hash(bytes([n])) for n in range(7)]
    node = lambda left, right: sha256(b"\x01" + left + right).digest()  # noqa: E731
    four = node(node(leaves[0], leaves[1]), node(leaves[2], leaves[3]))
    assert root_of(leaves)[0] == node(four, node(node(leaves[4], leaves[5]), leaves[6]))


def test_a_log_can_be_copied_away(tmp_path):
    """Nothing in it names where it lay."""
    log, _ = seal(tmp_path, [record()])
    shutil.copytree(log.path, tmp_path / "copy")
    copied: SealedLog = open_log(tmp_path / "copy")
    copied.check()
    assert copied.head == log.head


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.integers(1, 3), min_size=1, max_size=6))
def test_an_account_is_counted_whatever_its_name(sent):
    """Quotes, backslashes and colons in it, and what looks like the rest of a row."""
    with tempfile.TemporaryDirectory() as folder:
        log = SealedLog(Path(folder), LogFormat(TASK), (Day.after((), "2026-03-01", sum(sent.values()), bytes(32)),))
        rows = [Row(name, "a", "2026-03-01T10:00:00Z", b"") for name, count in sent.items() for _ in range(count)]
        (Path(folder) / "days").mkdir()
        (Path(folder) / "days/2026-03-01.jsonl").write_bytes(b"".join(row.to_line() + b"\n" for row in rows))
        assert count_requests(log) == sent
