"""What is kept: evidence of every match and every change, and what a change is told from; the rest grows thin."""

from __future__ import annotations

import fsspec
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from metav_audit.evidence import unpacked
from metav_audit.verdict import VerdictOutcome
from metav_audit.watch.enrolment import enrol
from metav_audit.watch.fleet import RetentionTable
from metav_audit.watch.retention import Kept, packed_name, thinned, tidy
from metav_audit.watch.tables import AUDITS
from tests.watch.fleets import DAY, START, WEEK, plan
from tests.watch.test_claims import audits, claim, done

RULES = RetentionTable(pack_after=DAY, all_for=30 * DAY, then_every=30 * DAY, newest=2)


def kept(number, week, *, precious=False, target=1):
    return Kept(number, target, START + week * WEEK, f"a/{number}/a", "packed", precious)


def test_old_audits_that_tell_nothing_are_thinned():
    """To one in 30 days; what is younger, newest, or precious stays."""
    year = [kept(number, number, precious=number == 10) for number in range(52)]
    gone = set(thinned(year, RULES, START + 52 * WEEK))
    stays = [each.id for each in year if each.id not in gone]
    assert 10 in stays
    assert set(range(48, 52)) <= set(stays)
    assert 15 <= len(stays) <= 20


@given(st.lists(st.tuples(st.integers(0, 200), st.booleans(), st.integers(1, 3)), max_size=60), st.integers(0, 300))
def test_whatever_happened_what_is_precious_stays(given_, now):
    """And so do the newest of each endpoint."""
    made = [
        kept(number, week, precious=precious, target=target) for number, (week, precious, target) in enumerate(given_)
    ]
    gone = set(thinned(made, RULES, START + now * WEEK))
    assert not [each for each in made if each.precious and each.id in gone]
    for target in {each.target for each in made}:
        mine = sorted((each for each in made if each.target == target), key=lambda each: each.ended)
        assert not gone & {each.id for each in mine[-2:]}
    assert set(thinned([each for each in made if each.id not in gone], RULES, START + now * WEEK)) == set()


@pytest.fixture
def year(history, tmp_path):
    """Twenty weekly audits of an endpoint that is swapped in week 7, each with a folder of evidence."""
    made = plan("a")
    enrol(history, [made], START)
    for week in range(20):
        held = claim(history, made, START + week * WEEK)
        folder = tmp_path / "evidence" / held.folder
        folder.mkdir(parents=True)
        (folder / "verdict.json").write_text(f'{{"week": {week}}}')
        outcome = VerdictOutcome.MATCH if week == 12 else VerdictOutcome.NO_MATCH
        done(history, held, START + week * WEEK, model=int(week >= 7), seed=week, outcome=outcome)
    return made


def run(history, tmp_path, archive=None, week=40):
    said = []
    tidy(history, RULES, tmp_path / "evidence", archive, START + week * WEEK, said.append)
    assert said == []
    return {each["number"]: each["evidence"] for each in audits(history)}


def test_both_sides_of_a_change_and_every_match_stay(history, year, tmp_path):
    """The audits before and after the swap, the one that matched; archives of others are gone, and so are answers."""
    stands = run(history, tmp_path)
    assert [stands[number] for number in (1, 8, 13, 19, 20)] == ["packed"] * 5
    assert list(stands.values()).count("thinned") >= 8
    archives = {path.name for path in (tmp_path / "evidence").rglob("*.zip")}
    rows = audits(history)
    assert archives == {packed_name(row["folder"]).rpartition("/")[2] for row in rows if row["evidence"] == "packed"}
    assert all((row["answers"] is None) == (row["evidence"] == "thinned") for row in rows)
    assert not list((tmp_path / "evidence").rglob("verdict.json"))


def test_an_archive_holds_what_the_folder_held(history, year, tmp_path):
    """It is read like any packed audit."""
    run(history, tmp_path, week=20)
    row = audits(history)[7]
    with unpacked(tmp_path / "evidence" / packed_name(row["folder"])) as folder:
        assert (folder / "verdict.json").read_text() == '{"week": 7}'


def test_archives_go_elsewhere(history, year, tmp_path):
    """To any address that fsspec knows; a bucket in memory here."""
    run(history, tmp_path, archive="memory://bucket/audits")
    held = fsspec.filesystem("memory").glob("/bucket/audits/a/*.zip")
    assert len(held) == sum(row["evidence"] == "packed" for row in audits(history)) >= 5
    assert not list((tmp_path / "evidence").rglob("*.zip"))


def test_whoever_is_killed_between_file_and_row_does_it_again(history, year, tmp_path):
    """A folder that was packed and not yet noted, and evidence that was removed and not yet noted."""
    run(history, tmp_path, week=20)
    with history.writing() as connection:
        connection.execute(AUDITS.update().where(AUDITS.c.number == 8).values(evidence="folder"))
        connection.execute(AUDITS.update().where(AUDITS.c.number == 2).values(evidence="going"))
        folder = connection.execute(sa.select(AUDITS.c.folder).where(AUDITS.c.number == 2)).scalar_one()
    (tmp_path / "evidence" / packed_name(folder)).unlink()
    stands = run(history, tmp_path, week=20)
    assert (stands[8], stands[2]) == ("packed", "thinned")


def test_evidence_on_another_machine_is_left_alone(history, year, tmp_path):
    """What is not here cannot be packed here."""
    (tmp_path / "evidence").rename(tmp_path / "elsewhere")
    assert set(run(history, tmp_path, week=20).values()) == {"folder"}
