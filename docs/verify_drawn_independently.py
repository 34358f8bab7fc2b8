"""Check the folder of an audit by coins, or of served answers, with nothing of metav-audit.

python verify_drawn_independently.py DIR

It stands beside verify_independently.py, whose reading of files and transcripts it takes. Exit code: 0 all that is
checked holds; 4 it does not; 2 usage. What is not checked is listed.
"""

import argparse
import base64
import hashlib
import hmac
import sys
from pathlib import Path

import numpy as np
from verify_independently import (
    canonical,
    canonical_features,
    check_order,
    need,
    read_json,
    schedule,
    sha,
    signed_content,
    transcript_of,
)

COINS = {"plan.json", "coins.json", "coins.html", "coins.pdf"}
SERVED = {"served-plan.json", "served.json", "served.html", "served.pdf"}
KEPT = {"transcript.jsonl", "bodies.pack"}
LEAST_LEAD, TINY = 0.05, 1e-300
DRAWS, BATCH, EQUAL, VARIED = 9_999, 1_000, 1e-9, 1e-9
MOST_STRAYS, MISFIT = 0.1, 0.001
NOT_CHECKED = [
    "that requests hold the plan's inputs, and responses the recorded answers: this knows no adapter",
    "time stamps and who signed: 'openssl ts -verify' does, see docs/commitment.md",
    "the reports' sentences and figures, but for their hashes",
]


def check_sums(folder):
    """Every file has its hash and belongs there; return whether the audit is by coins."""
    listed = dict(line.split("  ", 1)[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    files = {name: sha(path.read_bytes()) for name, path in there.items() if name not in (".lock", "SHA256SUMS")}
    by_coins = "plan.json" in files
    need(set(files) == KEPT | (COINS if by_coins else SERVED), f"it holds {', '.join(sorted(files))}")
    lines = "".join(f"{files[name]}  {name}\n" for name in sorted(files))
    need((folder / "SHA256SUMS").read_text() == lines and listed == files, "a file was altered, added or removed")
    return by_coins


def read_plan(path, kind):
    """A plan whose bytes are its canonical JSON."""
    content = path.read_bytes()
    plan = read_json(content)
    need((plan["format"], plan["schema_version"]) == (kind, 1), f"{path.name} is a {plan['format']}")
    need(canonical(plan) + b"\n" == content, f"{path.name} is not canonical JSON")
    return plan


def answers_of(folder, plan_sha256, queries):
    """The first answer to each query, None where there is none; the transcript's records and its head."""
    records, head, given = transcript_of(folder)
    need(records[0]["bundle_sha256"] == plan_sha256, "the transcript names another plan")
    asked = schedule(queries, 0, records[0]["nonce"])
    need(len(asked) == records[0]["queries"], "the transcript asks more or less than its nonce says")
    check_order(records, len(asked))
    answers = {}
    for place, row in given.items():
        answers.setdefault(asked[place], row)
    return [answers.get(number) for number in range(queries)], records, head


def reached(statistic, draw, seed):
    """The share of draws from the null in which the statistic is no smaller, this one among them."""
    rng, count = np.random.default_rng(seed), 0
    for start in range(0, DRAWS, BATCH):
        count += int((draw(rng, min(BATCH, DRAWS - start)) >= statistic - EQUAL).sum())
    return (1 + count) / (DRAWS + 1)


def holm(p_values):
    """Holm's correction (1979)."""
    corrected, highest = {}, 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[at]))
        corrected[at] = highest
    return [corrected[at] for at in range(len(p_values))]


def by_account(queries):
    places = {}
    for at, query in enumerate(queries):
        places.setdefault(query["account"], []).append(at)
    return places


def check_coins(plan, answers, endpoint, seed):
    """What the coins say of each account: asked, answered, undecided, strays, statistic, p-value."""
    queries, labels, dither = plan["queries"], plan["task"]["output"]["labels"], plan["dither"]
    own = np.array([query["own"] for query in queries])
    both = np.argsort(-own, axis=1, kind="stable")[:, :2]
    first, second = np.take_along_axis(own, both, axis=1).T
    with np.errstate(divide="ignore"):
        lead = np.log(np.maximum(first, TINY)) - np.log(second)
    coins = np.array([coin_of(bytes.fromhex(dither["key"]), query) for query in queries])

    def share(side):
        """The share of the likeliest class in the two that are served after a coin."""
        moved = lead + dither["epsilon"] * side
        decided = (lead >= dither["undecided"]) & (moved < LEAST_LEAD)
        return 1 / (1 + np.exp(-np.where(decided, np.minimum(lead, LEAST_LEAD), moved)))

    heads, tails, due = share(np.ones(len(own))), share(-np.ones(len(own))), share(coins)
    served = own.copy()
    np.put_along_axis(served, both, (first + second)[:, None] * np.stack([due, 1 - due], 1), axis=1)
    told = [
        labels.index(query["served"]) if isinstance(query["served"], str) else int(np.argmax(query["served"]))
        for query in queries
    ]
    strays = served.argmax(1) != np.array(told)
    values, mask = features_of(answers, endpoint["scores"], plan["task"]["output"])
    value = np.take_along_axis(values, both, axis=1)
    one, two = np.take_along_axis(mask, both, axis=1).T
    theirs = np.exp(-np.logaddexp(0.0, value[:, 1] - value[:, 0]))
    theirs = np.select([one & two, one, two], [theirs, 1.0, 0.0], np.nan)
    gains = np.where(np.isnan(theirs), 0.0, (heads - tails) * (theirs - (heads + tails) / 2))
    found = []
    for account, at in by_account(queries).items():
        counts = len(at), int((~np.isnan(theirs[at])).sum()), int((tails[at] < 0.5).sum()), int(strays[at].sum())
        found.append({"account": account, **dict(zip(("asked", "answered", "undecided", "strays"), counts))})
        found[-1] |= dict(zip(("statistic", "p_value"), coin_test(gains[at], coins[at], seed)))
    few = int(strays.sum()) <= MOST_STRAYS * len(queries)
    return found, [few] * len(found)


def coin_of(key, query):
    name = query["account"].encode()
    message = len(name).to_bytes(4, "big") + name + base64.b64decode(query["input"])
    return 1.0 - 2.0 * (hmac.digest(key, message, "sha256")[0] >> 7)


def coin_test(gains, coins, seed):
    size = float(np.sqrt((gains**2).sum()))
    if size == 0.0:
        return 0.0, 1.0
    statistic = float(coins @ gains) / size

    def draw(rng, count):
        return (rng.integers(0, 2, (count, len(gains)), dtype=np.int8) * 2.0 - 1.0) @ gains / size

    return statistic, reached(statistic, draw, seed)


def features_of(answers, kind, output):
    rows = [row if row is not None else [None] * len(output["labels"]) for row in answers]
    raw = np.array([[np.nan if score is None else score for score in row] for row in rows], dtype=np.float64)
    mask = ~np.isnan(raw)
    values = np.where(mask, canonical_features(raw, kind, output), 0.0).astype(np.float32)
    return values.astype(np.float64), mask


def check_served(plan, answers, endpoint, seed):
    """What the served answers say of each account: asked, answered, statistic, p-value, fit."""
    queries = plan["queries"]
    need(endpoint["scores"] == "value", "the answers are no numbers of continuations")
    own = np.array([query["own"] for query in queries])
    shown = np.array([row if row is not None else [np.nan] * own.shape[1] for row in answers], dtype=np.float64)
    found, fitting = [], []
    for number, query in enumerate(queries):
        served = query["said"] + query["continuations"][0]
        begun = plan["shows"] == "tokens" and query["continuations"][0] and query["answer"].startswith(served)
        need(served == query["answer"] or begun, f"the first continuation of query {number} was not served")
    for account, at in by_account(queries).items():
        gains, mine = served_gains(shown[at], own[at]), served_gains(own[at], np.zeros_like(own[at]))
        told = len(at), int((gains != 0).any(axis=1).sum())
        fit = min(1.0, 2 * min(served_test(side, seed)[1] for side in (mine, -mine)))
        found.append({"account": account, "asked": told[0], "answered": told[1], "fit": fit})
        found[-1] |= dict(zip(("statistic", "p_value"), served_test(gains, seed)))
        fitting.append(fit > MISFIT)
    return found, fitting


def served_gains(shown, own):
    """What of the suspect's numbers the owner's own do not explain, by one slope, standardised prompt by prompt."""
    rest, known = (numbers - numbers.mean(axis=1, keepdims=True) for numbers in (shown, own))
    silent = np.isnan(rest).any(axis=1, keepdims=True)
    rest, known = np.where(silent, 0.0, rest), np.where(silent, 0.0, known)
    size = float((known**2).sum())
    rest = rest - (float((rest * known).sum()) / size if size > VARIED else 0.0) * known
    spread = np.sqrt((rest**2).mean(axis=1, keepdims=True))
    return np.divide(rest, spread, out=np.zeros_like(rest), where=spread > VARIED)


def served_test(gains, seed):
    gains = gains[(gains != 0).any(axis=1)]
    size = float(np.sqrt((gains**2).mean(axis=1).sum()))
    if size == 0.0:
        return 0.0, 1.0
    statistic, rows = float(gains[:, 0].sum()) / size, np.arange(len(gains))

    def draw(rng, count):
        return gains[rows, rng.integers(0, gains.shape[1], (count, len(gains)))].sum(axis=1) / size

    return statistic, reached(statistic, draw, seed)


def check_rows(plan):
    """Every query is a row of the owner's sealed log; its days are chained; each seal is of that chain."""
    log, heads, days, previous = plan["log"], [], {}, "0" * 64
    for day in log["days"]:
        told = {name: day[name] for name in ("day", "rows", "root", "previous")}
        need(day["previous"] == previous and sha(canonical(told)) == day["sha256"], "the log's chain of days")
        previous, days[day["day"]] = day["sha256"], day
        heads.append(previous)
    for number, (row, query) in enumerate(zip(log["rows"], plan["queries"], strict=True)):
        content, place, count = row["line"].encode(), row["place"], days[row["day"]]["rows"]
        root, proof = hashlib.sha256(b"\0" + content).digest(), [bytes.fromhex(each) for each in row["proof"]]
        while count > 1:
            if place ^ 1 < count:
                pair = (proof.pop(0), root) if place % 2 else (root, proof.pop(0))
                root = hashlib.sha256(b"\1" + b"".join(pair)).digest()
            place, count = place // 2, (count + 1) // 2
        need(root.hex() == days[row["day"]]["root"] and not proof, f"query {number} is no row of the log")
        told, account = read_json(content), log["accounts"][row["account"]]
        how = {"model": plan["model"], "sampler": query["sampler"], "temperature": query["temperature"]}
        stated = {"account": told["account"], "answer": query["answer"], "at": query["at"], "how": how}
        need(told == {**stated, "input": query["prompt"]}, f"query {number} is not what its row of the log says")
        need(told["account"] in account["members"] and account["name"] == query["account"], f"query {number}: account")
    for seal in log["seals"]:
        need(signed_content(seal)[0]["subject"][0]["digest"]["sha256"] in heads, "a seal is of another log")


def check(folder):
    by_coins = check_sums(folder)
    plan = read_plan(folder / ("plan.json" if by_coins else "served-plan.json"),
                     "metav-audit-coins" if by_coins else "metav-audit-served")  # fmt: skip
    stated = {name: value for name, value in plan.items() if name != "commitment"}
    plan_sha256 = sha(canonical(stated))
    if not by_coins:
        check_rows(plan)
    answers, records, head = answers_of(folder, plan_sha256, len(plan["queries"]))
    header, verdict = records[0], read_json((folder / ("coins.json" if by_coins else "served.json")).read_bytes())
    test = check_coins if by_coins else check_served
    found, fitting = test(plan, answers, header["endpoint"], int(plan_sha256[:15], 16))
    for finding, adjusted in zip(found, holm([each["p_value"] for each in found])):
        finding["adjusted"] = adjusted
    check_findings(found, verdict["findings"])
    named = [each for each, fits in zip(found, fitting) if fits and each["adjusted"] <= plan["rate"]]
    named = [each["account"] for each in sorted(named, key=lambda each: (each["adjusted"], -each["statistic"]))]
    outcome = "match" if named else "inconclusive"
    need((verdict["outcome"], verdict["accounts"], verdict["rate"]) == (outcome, named, plan["rate"]), "the outcome")
    sent, shown = sum(record["kind"] == "sent" for record in records), sum(row is not None for row in answers)
    told = [verdict[name] for name in ("queries", "answered", "requests", "endpoint", "url")]
    expected = [len(plan["queries"]), shown, sent, header["endpoint"]["name"], header["endpoint"]["url"]]
    need(told == expected, f"the verdict says {told}, the transcript {expected}")
    need((verdict["plan_sha256"], verdict["transcript_sha256"]) == (plan_sha256, head), "it is of another audit")
    who = ", ".join(named) or "no account"
    return f"{outcome}, {who}: every hash agrees, and every figure, with {DRAWS} draws again"


def check_findings(found, told):
    need([each["account"] for each in found] == [each["account"] for each in told], "the verdict's accounts")
    for mine, theirs in zip(found, told):
        need(set(mine) == set(theirs), f"what is told of {mine['account']}")
        for name, value in mine.items():
            same = value == theirs[name] if isinstance(value, str | int) else abs(value - theirs[name]) <= 1e-9
            need(same, f"{name} of {mine['account']} is {value}, the verdict says {theirs[name]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    if sys.flags.optimize:
        sys.exit("run this without -O: nobody should wonder what it left out")
    try:
        print("pass:", check(folder))
    except Exception as error:
        print(f"FAIL: {type(error).__name__} {error}")
        return 4
    for each in NOT_CHECKED:
        print("not checked:", each)
    return 0


if __name__ == "__main__":
    sys.exit(main())
