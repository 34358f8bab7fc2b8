"""Check an audit's folder with nothing of metav-audit.

python verify_independently.py DIR [--auditor KEY_ID] [--owner KEY_ID] [--commitment FILE ...]

Exit code: 0 all that is checked holds, and the auditor named signed it; 6 it holds, but is not authenticated; 4 it does
not hold; 3 it might stop early, which this cannot recompute; 2 usage. What is not checked is listed.
"""

import argparse
import base64
import hashlib
import itertools
import json
import re
import struct
import sys
import zlib
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives import serialization

HEARD = ("ok", "unusable", "throttled", "transient", "auth", "fatal")
UNHEARD = ("unreachable", "timeout", "reset", "tls", "oversize", "malformed")
PASSING = ("throttled", "transient", "unreachable", "timeout", "reset")
SCHEMA = 3
TABLES = ("models", "references")
FILES = {
    "transcript.jsonl", "bodies.pack", "verdict.json", "seal.json", "closing.json", "SHA256SUMS", ".lock",
    "bundle/manifest.json", "bundle/tensors.safetensors", "bundle/commitment.json", "bundle/rebuild.json",
    "bundle/replay.json", "blind-controls.json", "blind-controls.signed.json", "positive-control.json",
    "positive-control/transcript.jsonl", "positive-control/bodies.pack",
    "report.json", "report.csv", "report.html", "report.pdf",
}  # fmt: skip
NOT_CHECKED = [
    "that requests hold the committed inputs, and responses the answers, those of other audits: this knows no adapter",
    "the view (classes, decimals, noise), taken as the verdict names it; that answers are steady and not strange",
    "the reports' sentences and figures, but for their hashes",
    "time stamps: 'openssl ts -verify' does, see docs/commitment.md",
    "the sanity controls' outcomes, and those of blind controls",
]


class WrongError(Exception):
    """Something does not hold."""


def need(holds, words):
    """An assertion that no option of Python's can take away."""
    if not holds:
        raise WrongError(words)


def sha(content):
    return hashlib.sha256(content).hexdigest()


def read_json(content):
    """JSON with one reading: no key twice, no NaN."""

    def distinct(pairs):
        need(len(dict(pairs)) == len(pairs), "JSON names a key twice")
        return dict(pairs)

    no_number = {"parse_constant": lambda name: need(not name, f"{name} is not JSON")}
    return json.loads(content, object_pairs_hook=distinct, **no_number)


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def tensors_of(content):
    """The safetensors format: the header's size, the header (JSON), then the numbers, little-endian."""
    size = struct.unpack("<Q", content[:8])[0]
    header = read_json(content[8 : 8 + size])
    cut = {name: content[8 + size :][slice(*one["data_offsets"])] for name, one in header.items() if name[0] != "_"}
    return {name: np.frombuffer(part, "<f4").reshape(header[name]["shape"]) for name, part in cut.items()}


def signed(path, kind, expected_key=None):
    """Return the predicate and the key id, if the Ed25519 signature over DSSE's encoding of the statement holds."""
    need(path.exists(), f"{path.name} is missing")
    return signed_content(read_json(path.read_bytes()), kind, expected_key, path.name)


def signed_content(file, kind=None, expected_key=None, name="a seal"):
    key = serialization.load_pem_public_key(file["public_key"].encode())
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    need(pem.decode() == file["public_key"], f"{name}: its public key is not written as keys are")
    envelope = file["envelope"]
    payload, kind_of = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    message = b"DSSEv1 %d %b %d %b" % (len(kind_of), kind_of, len(payload), payload)
    key.verify(base64.b64decode(envelope["signatures"][0]["sig"]), message)
    need(expected_key in (None, sha(der)), f"{name} was signed by {sha(der)}, not by {expected_key}")
    statement = read_json(payload)
    need(kind is None or statement["predicateType"] == f"urn:metav-audit:{kind}", f"{name} is of another kind")
    need(set(file) == {"format", "schema_version", "envelope", "public_key", "time_stamp"}, f"{name}: its fields")
    need((file["format"], file["schema_version"]) == ("metav-audit-attestation", 1), f"{name}: its format")
    need(kind != "closing:v1" or file["time_stamp"] is None, f"{name} has a time stamp, which no closing has")
    need(len(envelope["signatures"]) == 1 and envelope["signatures"][0]["keyid"] == sha(der), f"{name}: its key")
    return statement, sha(der)


def target_bits(provenance, shape):
    """A targeted fingerprint's bits and splits, from the owner's identity and the nonce: see docs/targeted.md."""

    def stream(purpose):
        start = b"metav-audit target bits 1\n" + purpose + b"\n" + bytes.fromhex(provenance["nonce"])
        for number in itertools.count():
            yield from hashlib.sha256(start + number.to_bytes(8, "big") + provenance["identity"].encode()).digest()

    queries, per_query, classes = shape
    size, words, splits = queries * per_query, stream(b"splits"), [[] for _ in range(queries)]
    drawn = np.unpackbits(np.frombuffer(bytes(itertools.islice(stream(b"bits"), -(-size // 8))), np.uint8))[:size]
    for chosen in splits:
        while len(chosen) < per_query:
            keys = [bytes(itertools.islice(words, 8)) for _ in range(classes)]
            split = np.where(np.argsort(np.argsort(keys)) < classes // 2, 1, -1)
            if all(abs(split @ other) < classes for other in chosen):
                chosen.append(split)
    return 2.0 * drawn.reshape(queries, per_query) - 1, np.array(splits)


def filled_in(values, mask):
    """Hidden classes share what is left of the probability."""
    rest = 1 - np.where(mask, np.exp(np.where(mask, values, 0)), 0).sum(2, keepdims=True)
    return np.where(mask, values, np.log(np.maximum(rest / np.maximum((~mask).sum(2, keepdims=True), 1), 1e-6)))


def share_of_bits(part, values, mask):
    """The share of bits right: the mean log-probability on each side of the split, hidden classes sharing the rest."""
    logs = filled_in(values, mask)
    plus = part["splits"] > 0
    weights = plus / plus.sum(2, keepdims=True) - ~plus / (~plus).sum(2, keepdims=True)
    right = part["bits"] * np.einsum("mnc,nkc->mnk", logs, weights) > 1e-6
    answered = mask.any(2)
    return (right & answered[:, :, None]).sum((1, 2)) / np.maximum(answered.sum(1) * right.shape[2], 1)


def sigmoid(odds):
    return 0.5 * (1 + np.tanh(odds / 2))


def log_odds(scores):
    with np.errstate(divide="ignore"):
        return np.clip(np.log(scores) - np.log1p(-scores), -np.log(1e4), np.log(1e4))


def weighted_mean(values, weights):
    return (values * weights).sum((1, 2)) / np.maximum(weights.sum((1, 2)), 1e-12)


def mean_of_lines(part, relative, shown):
    """The mean over queries of what a linear verifier says of each answer."""
    each = sigmoid((relative * part["weight"]).sum(2) + part["bias"])
    return (each * shown).sum(1) / np.maximum(shown.sum(1), 1)


def nearness_of_correlations(part, values, mask):
    """1 less the mean distance of the cosines between answers from those between the target's."""

    def cosines(outputs):
        unit = outputs / np.linalg.norm(outputs, axis=-1, keepdims=True)
        return unit @ np.swapaxes(unit, -1, -2)

    logs = filled_in(values, mask)
    shown = mask.any(2)
    pairs = shown[:, :, None] & shown[:, None, :] & ~np.eye(shown.shape[1], dtype=bool)
    apart = np.abs(cosines(np.exp(logs)) - cosines(np.exp(part["reference"]))) * pairs
    return 1 - apart.sum((1, 2)) / np.maximum(pairs.sum((1, 2)), 1)


def as_near_as_shown(values, mask, reference, shown):
    """Answers as sharp as the target's, with hidden classes as near to it as what was shown allows."""
    floor = np.log(1e-6)
    left = 1 - np.where(mask, np.exp(np.where(mask, values, 0)), 0).sum(2, keepdims=True)
    bound = np.minimum(np.where(mask, values, 0).min(2, keepdims=True), np.log(np.maximum(left, 1e-6)))
    above = mask & (values > floor + 1e-4)
    told = np.where(above, values, 0).min((1, 2), keepdims=True)
    told = np.where((mask & ~above).any((1, 2), keepdims=True), told, floor)
    filled, own = np.maximum(np.where(mask, values, np.minimum(reference, bound)), told), np.maximum(reference, told)
    sharp = [(each.std(2, ddof=1) * shown).sum(1) / np.maximum(shown.sum(1), 1) for each in (own, filled)]
    matched = filled * np.clip(sharp[0] / (sharp[1] + 1e-3), 1 / 4, 4)[:, None, None]
    matched = matched - matched.max(2, keepdims=True)
    return np.maximum(matched - np.log(np.exp(matched).sum(2, keepdims=True)), told), own


def committee(part, values, mask):
    """The mean vote of a distance, a coarse one, lines, a perceptron and labels; the second and the last of classes."""
    shown, classes, own = mask.any(2), "labels.weight" in part, part["reference"]
    known, answers = mask, np.where(mask, values, own)
    if classes:
        known, (answers, own) = shown[:, :, None] & np.ones_like(mask), as_near_as_shown(values, mask, own, shown)
    relative = np.where(known, (answers - own) / part["scale"], 0)
    votes = {"distance": -weighted_mean(np.abs(relative), part["distance.weight"] * known)}
    if classes:
        coarse = (np.maximum(answers, np.log(1 / 200)) - np.maximum(own, np.log(1 / 200))) / part["scale"]
        votes["coarse"] = -weighted_mean(np.abs(coarse), part["coarse.weight"] * known)
    lines = {"weight": part["local.weight"], "bias": part["local.bias"]}
    share = np.clip(mean_of_lines(lines, relative, shown), 1e-4, 1 - 1e-4)
    hidden = relative.reshape(len(values), -1) @ part["joint.hidden.weight"].T + part["joint.hidden.bias"]
    joint = np.maximum(hidden, 0) @ part["joint.output.weight"].T + part["joint.output.bias"]
    votes |= {"local": np.log(share) - np.log1p(-share), "joint": joint[:, 0]}
    graded = (mask & (values < -1e-3)).any((1, 2)) if classes else shown.any(1)
    counted = dict.fromkeys(votes, graded)
    if classes:
        agrees = np.where(mask, values, -np.inf).argmax(2) == part["reference"].argmax(1)
        votes["labels"] = weighted_mean(agrees[:, :, None], part["labels.weight"][:, None] * shown[:, :, None])
        counted["labels"] = shown.any(1)
    lines = {name: part[f"line.{name}"] for name in votes}
    odds = np.stack([vote * lines[name][0] + lines[name][1] for name, vote in votes.items()], 1)
    weights = np.stack([counted[name] * lines[name][2] for name in votes], 1)
    total = weights.sum(1)
    return np.where(total > 0, sigmoid((odds * weights).sum(1) / np.where(total > 0, total, 1)), 0)


def rows_of(part, values, mask, verdict, output):
    """Of each suspect the models' answers, the references' and its own to what it answered; and to what it did."""
    classes, still = output["kind"] == "classification", {**verdict, "view": verdict["view"].split(", noise")[0]}
    tables = [seen_through(part[name], still, output) for name in TABLES]
    tables = [(each[0].astype(np.float32).astype(float), each[1]) for each in tables]
    tables = [(filled_in(*each).astype(np.float32).astype(float) if classes else each[0]) for each in tables]
    least = part["least"] if classes else -np.inf
    for own, shown in zip(filled_in(values, mask) if classes else np.where(mask, values, 0), mask.any(2)):
        yield [np.maximum(each[:, shown], least) for each in (*tables, own[None])], shown


def apart(base, verdict, *tables):
    """Deviations from a table's mean, in its standard deviations; of labels alone as they are."""
    mean, unit = base.mean(0), base.std(0) + 1e-3 * base.std(0).max(initial=0) + 1e-9
    alone = verdict["view"] == "the label alone"
    flat = (each - mean if alone else np.clip((each - mean) / unit, -3, 3) for each in tables)
    return [each.reshape(len(each), -1) for each in flat]


def likeness(part, values, mask, verdict, output):
    """The cosine with each sibling's deviations from the mean, without what the reference models have in common."""
    found = []
    for rows, shown in rows_of(part, values, mask, verdict, output):
        models, references, one = apart(rows[0], verdict, *rows)
        if verdict["view"] == "the label alone":
            shares = np.exp(part["models"].astype(np.float32)).astype(float)[:, shown]
            [models] = apart(shares, verdict, shares)
        usual = references / (np.linalg.norm(references, axis=1, keepdims=True) + 1e-9)
        inner = np.linalg.inv(usual @ usual.T + 2 * np.eye(len(usual)))
        models, one = (each - each @ usual.T @ inner @ usual for each in (models, one))
        models, one = (each / (np.linalg.norm(each, axis=1, keepdims=True) + 1e-9) for each in (models, one))
        found.append(one @ models.T)
    return np.array(found)


def family(part, *given):
    """The cosine with the mean deviation of references that start from the target's ancestor from those that do not."""
    split = ((rows[1][part["kin"] == 0], rows[1][part["kin"] > 0], rows[2]) for rows, _ in rows_of(part, *given))
    means = [[each.mean(0) for each in apart(others, given[2], kin, own)] for others, kin, own in split]
    return np.array([a @ b / (np.linalg.norm(a) + 1e-9) / (np.linalg.norm(b) + 1e-9) for a, b in means])


def by_labels(part, values, mask, verdict, output):
    """How much likelier a suspect's labels are if learnt from each model than elsewhere, less what references have."""
    still = {**verdict, "view": verdict["view"].split(", noise")[0]}
    tables = models, references = [filled_in(*seen_through(part[name], still, output)).argmax(2) for name in TABLES]
    classes, shown = values.shape[2], mask.any(2)
    shares = sum((table[:, :, None] == np.arange(classes)).mean(0) for table in tables) / 2
    usual = (len(models) * shares + 0.5) / (len(models) + 0.5 * classes)

    def ratios(labels, answered):
        gain = np.log(0.7 / usual[np.arange(len(usual)), labels] + 0.3)
        return (np.where(labels[:, None] == models, gain[:, None], np.log(0.3)) * answered[:, None]).sum(2)

    others = [ratios(references, np.broadcast_to(one, references.shape)).mean(0) for one in shown]
    return ratios(filled_in(values, mask).argmax(2), shown) - np.stack(others)


def nearness_by_account(part, values, mask, verdict, output):
    """Of each account's queries, and model: by how many standard deviations a suspect is nearer to it than usual."""

    def standard(near):
        return (near - near.mean(1, keepdims=True)) / (near.std(1, keepdims=True) + 1e-9)

    found = []
    for account in np.unique(part["accounts"]):
        rows = part["accounts"] == account
        held = {**part, **{name: part[name][:, rows] for name in TABLES}}
        given = (held, values[:, rows], mask[:, rows], verdict, output)
        classes, alone = output["kind"] == "classification", verdict["view"] == "the label alone"
        near = standard(by_labels(*given)) if classes else 0
        found.append(near if alone else near + standard(likeness(*given)[:, 0]))
    return np.stack(found, 1)


def check_log(log, inputs, owners):
    """Every query is the input of a row of the owner's sealed log; its days are chained; each seal is of that chain."""
    heads, days, previous = [], {}, "0" * 64
    for day in log["days"]:
        told = {name: day[name] for name in ("day", "rows", "root", "previous")}
        need(day["previous"] == previous and sha(canonical(told)) == day["sha256"], "the log's chain of days")
        previous, days[day["day"]] = day["sha256"], day
        heads.append(previous)
    for number, (row, query, owner) in enumerate(zip(log["rows"], inputs, owners, strict=True)):
        content, place, count = row["line"].encode(), row["place"], days[row["day"]]["rows"]
        root, proof = hashlib.sha256(b"\0" + content).digest(), [bytes.fromhex(each) for each in row["proof"]]
        while count > 1:
            if place ^ 1 < count:
                pair = (proof.pop(0), root) if place % 2 else (root, proof.pop(0))
                root = hashlib.sha256(b"\1" + b"".join(pair)).digest()
            place, count = place // 2, (count + 1) // 2
        need(root.hex() == days[row["day"]]["root"] and not proof, f"query {number} is no row of the log")
        told = read_json(content)
        need(told["account"] in log["accounts"][row["account"]]["members"] and row["account"] == owner, "accounts")
        need(np.array_equal(np.frombuffer(base64.b64decode(told["input"]), "<f4"), query.ravel()), "inputs")
    for seal in log["seals"]:
        need(signed_content(seal)[0]["subject"][0]["digest"]["sha256"] in heads, "a seal is of another log")


NEAREST = {"siblings": likeness, "accounts": nearness_by_account}


def score(kind, tensors, values, mask, verdict=None, output=None):
    """The meta-verifier: a perceptron on all answers at once, the share of labels that agree, or of bits right, ..."""
    part = {name[9:]: array.astype(float) for name, array in tensors.items() if name.startswith("verifier.")}
    plain = {"committee": committee, "correlation": nearness_of_correlations, "bits": share_of_bits}
    if kind in NEAREST:
        near = NEAREST[kind](part, values, mask, verdict, output).max(1)
        return sigmoid((near[:, 0] - near[:, 1:].mean(1)) / (near[:, 1:].std(1) + 1e-9))
    if kind in plain:
        return plain[kind](part, values, mask)
    if kind == "local":
        return mean_of_lines(part, np.where(mask, (values - part["reference"]) / part["scale"], 0), mask.any(2))
    if kind in ("agreement", "composite"):
        shown = mask.any(2)
        agrees = (np.where(mask, values, -np.inf).argmax(2) == part["labels"]) & shown
        if kind == "agreement":
            return agrees.sum(1) / np.maximum(shown.sum(1), 1)
        groups = [part["groups"] == group for group in range(len(part["thresholds"]))]
        asked, agreed = (np.stack([each[:, group].sum(1) for group in groups], 1) for each in (shown, agrees))
        return ((agreed >= part["thresholds"] * asked - 1e-6) & (asked > 0)).sum(1) / np.maximum((asked > 0).sum(1), 1)
    relative = np.where(mask, (values - part["reference"]) / part["scale"], 0).reshape(len(values), -1)
    hidden = np.maximum(relative @ part["hidden.weight"].T + part["hidden.bias"], 0)
    return 1 / (1 + np.exp(-(hidden @ part["output.weight"].T + part["output.bias"])[:, 0]))


def canonical_features(scores, kind, output):
    """Log-probabilities, not below that of one in a million; or values in standard deviations, or widths of a range."""
    if output["kind"] == "regression":
        center, scale = (np.array([one[name] for one in output["quantities"]]) for name in ("center", "scale"))
        return np.clip((scores - center) / scale, -20, 20)
    if output["kind"] == "generation":
        unit, steps = np.clip((scores - output["low"]) / (output["high"] - output["low"]), 0, 1), output["levels"] - 1
        return (np.rint(unit * steps) / steps if steps > 0 else unit) - 0.5
    if kind == "logit":
        return np.clip(scores - np.log(np.exp(scores - scores.max(1, keepdims=True)).sum(1, keepdims=True))
                       - scores.max(1, keepdims=True), np.log(1e-6), 0)  # fmt: skip
    if kind == "log_probability":
        return np.clip(scores, np.log(1e-6), 0)
    return np.clip(np.log(np.maximum(scores / (100 if kind == "percent" else 1), 1e-6)), np.log(1e-6), 0)


def raw_of(features, output):
    """The inverse of ``canonical_features``: probabilities, or values."""
    if output["kind"] == "regression":
        center, scale = (np.array([one[name] for one in output["quantities"]]) for name in ("center", "scale"))
        return features * scale + center
    if output["kind"] == "generation":
        return (features + 0.5) * (output["high"] - output["low"]) + output["low"]
    return np.exp(features)


def seen_through(values, verdict, output):
    """Show the calibration models as the endpoint showed itself: its view, in the verdict's words, taken on trust."""
    view, words = values.copy(), verdict["view"].replace(",", "").split()
    if "noise" in words:
        seed = int(sha(f"{verdict['bundle_sha256']} {verdict['transcript_sha256']}".encode())[:16], 16)
        noise = float(words[-1]) * np.random.default_rng(seed).standard_normal(values.shape)
        if output["kind"] == "classification":
            shares = np.maximum(np.exp(values) + noise, 0)
            noisy = canonical_features(shares / shares.sum(2, keepdims=True), "probability", output)
        else:
            noisy = canonical_features(raw_of(values + noise, output), "value", output)
        view = values = noisy.astype(np.float32).astype(float)
    if "decimals" in words:
        raw, step = raw_of(view, output), 10.0 ** int(words[words.index("decimals") - 1])
        shown = (np.floor(raw * step + 1e-6) if "cut" in words else np.rint(raw * step)) / step
        view = canonical_features(shown, "probability", output)
    top = 1 if "alone" in words else int(words[2]) if "top" in words else values.shape[2]
    ranks = np.argsort(np.argsort(-values, axis=2, kind="stable"), axis=2, kind="stable")
    return np.where(ranks < top, 0 if "alone" in words else view, 0), ranks < top


def schedule(queries, natural, nonce):
    """What is asked at each place: queries, natural inputs, near-duplicates, some again; in the nonce's order."""

    def drawn(what, items):
        return sorted(items, key=lambda item: hashlib.sha256(f"{nonce} {what} {item}".encode()).digest())

    base = queries + natural
    opening = drawn("opening", range(queries, base))[:4] or drawn("repeat", range(base))[:1]
    others = drawn("pair", [one for one in range(base) if one not in opening])
    twins = [base + one for one in (opening + others)[:8]] if natural else []
    again = drawn("repeat", range(base))[:4] * 4
    between = [*(one for one in range(base) if one not in opening), *twins, *again[2:]]
    return [*opening, *(between[place] for place in drawn("place", range(len(between)))), *again[:2]]


def check_asked(given, tensors, manifest, kind, verdict):
    """What was asked again was answered alike, and natural inputs as the target labels them, or nearly all of them."""
    output, classes = manifest["task"]["output"], manifest["task"]["output"]["kind"] == "classification"
    for rows in given.values() if classes and ", noise" not in verdict["view"] else ():
        shown = np.array([[np.nan if one is None else one for one in row] for row in rows], float)
        logs = canonical_features(shown, kind, output)
        need((np.isnan(logs) == np.isnan(logs[0])).all(), "what was asked again shows other classes")
        apart = np.where(np.abs(np.exp(logs) - np.exp(logs[0])) > 1e-5, np.abs(logs - logs[0]), 0)
        need(np.nanmax(apart, initial=0) <= 0.05, "what was asked again was answered otherwise")
    if "natural" in manifest and classes:
        queries, right = len(tensors["target.features"]), tensors["natural.reference"].argmax(1)
        rows = [given.get(queries + at, [None])[0] for at in range(len(right))]
        hits = [np.argmax([-np.inf if one is None else one for one in row]) == label
                for row, label in zip(rows, right) if any(one is not None for one in row or ())]  # fmt: skip
        least = (tensors["natural.models"].argmax(2) == right).mean(1).min()
        need(np.mean(hits) >= 0.75 * least, "natural inputs are answered wrongly")


def least_ratio(rate):
    """The least log10 LR of a verdict that promises such a rate."""
    return np.log10(10 * min(1, (0.05 / rate) ** 2))


def moment(text):
    read = datetime.fromisoformat(text)
    need(read.tzinfo is not None, f"the time {text} has no offset")
    return read


def follow(records):
    """The grammar, which record may follow which (docs/reference/formats.md); returns the answers, place by place."""
    header, answers, under_way, rest, done = records[0], {}, {}, {}, set()
    need(header["kind"] == "header" and header["schema_version"] == SCHEMA, f"no header of schema {SCHEMA} comes first")
    last, requests = moment(header["at"]), 0
    most = (header["endpoint"]["options"].get("limits") or {}).get("concurrency") or 1 << 30

    def still_open(items):
        need(items and len(set(items)) == len(items), "a record is about nothing, or about one thing twice")
        need(all(type(one) is int and 0 <= one < header["queries"] for one in items), "a query that is not there")
        busy = {item for flow in under_way.values() for item in flow[1]}
        need(not done & set(items) and not busy & set(items), "a query is asked or given up again")

    def close(items):
        for item in items:
            for other in rest.pop(item, ({}, ()))[1]:
                rest.pop(other, None)

    for line, record in enumerate(records[1:], start=2):
        kind, at, where = record["kind"], moment(record["at"]), f"transcript line {line}: "
        need(at >= last and records[line - 2]["kind"] != "finished", where + "it is too late, or too early")
        last = at
        if kind == "sent":
            items = record["queries"]
            need(record["request"] == requests + 1 and len(under_way) < most, where + "its number, or one too many")
            requests += 1
            still_open(items)
            if (record["step"], record["attempt"]) != (0, 1):
                before, asked, ended = rest.get(items[0], (None, None, None))
                need(asked == items, where + "it goes on with what is not at rest")
                told = record["step"] - before["step"], record["attempt"]
                same = all(record[name] == before[name] for name in ("method", "url", "request_sha256"))
                again = told == (0, before["attempt"] + 1) and ended in PASSING and same
                need(again or (told == (1, 1) and ended == "ok"), where + "it is no next attempt and no next step")
            close(items)
            under_way[record["request"]] = record, items
        elif kind == "received":
            need(record["request"] in under_way, where + "it answers nothing that is under way")
            sent, items = under_way.pop(record["request"])
            given, outcome = record.get("answers"), record["outcome"]
            need(outcome in (HEARD if "response_sha256" in record else UNHEARD), where + f"its outcome {outcome}")
            if given is not None:
                need(outcome == "ok" and len(given) == len(items), where + "answers where there can be none")
                answers |= dict(zip(items, given))
                done |= set(items)
            elif outcome in ("ok", *PASSING):
                rest |= dict.fromkeys(items, (sent, items, outcome))
        elif kind in ("unanswered", "shared"):
            still_open(record["queries"])
            close(record["queries"])
            done |= set(record["queries"])
            answers |= dict(zip(record["queries"], record.get("answers", ()), strict=kind == "shared"))
        elif kind == "resumed":
            told = [{**one["endpoint"], "options": {**one["endpoint"]["options"]}} for one in (header, record)]
            for one, name in itertools.product(told, ("limits", "headers", "credentials", "way")):
                one["options"].pop(name, None)
            need(line > 2 and told[0] == told[1], where + "it goes on with nothing, or with another endpoint")
            most = (record["endpoint"]["options"].get("limits") or {}).get("concurrency") or 1 << 30
            under_way, rest = {}, {}
        else:
            need(kind == "finished" and not under_way, where + "it ends what is under way, or is of no known kind")
            need(len(done) == header["queries"], where + "a query was neither answered nor given up")
    return answers


FIELDS = {
    "header": {"schema_version", "bundle_sha256", "endpoint", "software", "queries", "operator", "commitment_sha256",
               "nonce", "campaign", "looks"},
    "sent": {"request", "queries", "step", "attempt", "method", "url", "request_sha256", "body"},
    "received": {"request", "outcome", "elapsed_s", "status", "response_sha256", "headers", "body", "identity",
                 "server_date", "redacted_sha256", "error", "answers"}, "finished": set(),
    "shared": {"queries", "answers", "source"}, "unanswered": {"queries", "reason"}, "resumed": {"endpoint"},
}  # fmt: skip


def transcript_of(folder):
    """Records whose chain, grammar and bodies hold; the chain's head; and the answers."""
    head, records, pack, end = "0" * 64, [], (folder / "bodies.pack").read_bytes(), 0
    for line in (folder / "transcript.jsonl").read_bytes().splitlines(keepends=True):
        record = read_json(line)
        need(record["previous"] == head, f"the transcript's chain is broken at line {len(records) + 1}")
        need(canonical(record) + b"\n" == line, f"line {len(records) + 1} is not canonical JSON")
        need(set(record) <= FIELDS[record["kind"]] | {"kind", "at", "previous"}, f"line {len(records) + 1}: its fields")
        head = sha(line)
        records.append(record)
        for part in ("headers", "body"):
            if part in record:
                start, size = record[part]
                need(start <= end, f"line {len(records)}: bytes between its bodies")
                end = max(end, start + size)
        if "body" in record:
            start, size = record["body"]
            named = record.get("redacted_sha256") or record.get("response_sha256") or record.get("request_sha256")
            need(sha(zlib.decompress(pack[start : start + size])) == named, f"a body of line {len(records)}")
    need(end == len(pack), "bytes lie in bodies.pack that no record names")
    return records, head, follow(records)


def check_order(records, places):
    """First requests follow the nonce's order up to the first trouble, and the last place is asked last."""
    settled, largest, heard, trouble = set(), 1, False, False
    most = (records[0]["endpoint"]["options"].get("limits") or {}).get("concurrency") or places
    for record in records:
        kind, items = record["kind"], record.get("queries", ())
        trouble |= kind in ("unanswered", "resumed") or (kind == "received" and record["outcome"] != "ok")
        heard |= kind == "received" and record.get("answers") is not None
        fresh = [] if kind != "sent" else sorted(set(items) - settled)
        if fresh:
            largest, where = max(largest, len(items)), f"request {record['request']} is out of the nonce's order"
            beside = (most - 1) * largest if heard else 0
            need(trouble or len(set(range(fresh[0])) - settled) <= beside, where)
            need(places - 1 not in fresh or settled | set(items) == set(range(places)), where)
        settled |= set(items) if kind in ("sent", "shared", "unanswered") else set()


def replies_of(records, tensors, given):
    """The answers by what was asked, the first and those to repetitions; the queries' own are the first of each."""
    queries, natural = len(tensors["target.features"]), len(tensors.get("natural.inputs", ()))
    asked, replies = schedule(queries, natural, records[0]["nonce"]), {}
    need(len(asked) == records[0]["queries"], "the transcript asks more or less than its nonce says")
    taken = [place for record in records if record["kind"] == "shared" for place in record["queries"]]
    need(all(asked[place] not in asked[:place] for place in taken), "the answer to a repetition was taken over")
    check_order(records, len(asked))
    for place, row in given.items():
        replies.setdefault(asked[place], []).append(row)
    return replies, {query: rows[0] for query, rows in replies.items() if query < queries}


def rarity(cards, mine, theirs, chosen):
    """The share of lineages, the suspect counted among them, with a number as high; and the highest of each."""
    best = {}
    for card, one in zip(cards, theirs.tolist()):
        if chosen(card):
            best[card["lineage"]] = max(one, best.get(card["lineage"], -np.inf))
    return (1 + sum(one >= mine for one in best.values())) / (len(best) + 1), [*best.values()]


def score_of(verdict, manifest, tensors, given, kind):
    """The score and the three p-values of answers, beside the calibration models seen in the same way."""
    answers = np.full(tensors["target.features"].shape, np.nan)
    for query, row in given.items():
        answers[query] = [np.nan if one is None else one for one in row]
    mask, output, cards = ~np.isnan(answers), manifest["task"]["output"], manifest["calibration"]
    values = np.nan_to_num(canonical_features(answers, kind, output)).astype(np.float32)
    others, shown = seen_through(tensors["calibration.features"].astype(float), verdict, output)
    shown &= mask.any(1)[None, :, None]
    others, form = np.where(shown, others, 0).astype(np.float32).astype(float), manifest["verifier"]
    mine = score(form, tensors, values[None].astype(float), mask[None], verdict, output)[0]
    theirs = score(form, tensors, others, shown, verdict, output)
    lowest = min(one for card, one in zip(cards, theirs.tolist()) if not card["derived"])
    told = {"score": mine, "p_value_siblings": None, "p_value_family": None, "all": mask.all(), "lowest": lowest}
    if form in NEAREST:
        part = {name[9:]: array.astype(float) for name, array in tensors.items() if name.startswith("verifier.")}
        given = (part, values[None].astype(float), mask[None], verdict, output)
        each = NEAREST[form](*given)[0]
        near = each.max(0)
        for row, account in zip(each, verdict.get("accounts", ())):
            p = (1 + int((near[1:] >= row[0] - 1e-9).sum())) / len(near)
            need(abs(p - account["p_value"]) < 1e-9, f"p by the requests of {account['name']} is {p}")
        told["p_value_siblings"] = (1 + int((near[1:] >= near[0] - 1e-9).sum())) / len(near)
        if 0 < part.get("kin", np.zeros(1)).mean() < 1 and verdict["view"] != "the label alone":
            like, usual = (family(part, *each, verdict, output) for each in (given[1:3], (others, shown)))
            strange = [not card["derived"] and not card.get("of_ancestor") for card in cards]
            told["p_value_family"], _ = rarity(itertools.compress(cards, strange), like[0], usual[strange], len)
    told["p_value"], _ = rarity(cards, mine, theirs, lambda card: not card["derived"])
    told["p_value_derived"], told["nearest_derived"] = rarity(cards, -mine, -theirs, lambda card: card["derived"])
    kin = [card for card in cards if card.get("of_ancestor") and not card["derived"]]
    told["p_value_kin"], told["kin"] = rarity(cards, mine, theirs, kin.__contains__)
    return told


def check_calibration(verdict, manifest, tensors):
    """The calibration's models answer what they were asked; derived ones come near the target; cards are kept."""
    output, cards = manifest["task"]["output"], manifest["calibration"]
    models, own = tensors["calibration.features"].astype(float), tensors["target.features"].astype(float)
    derived, classes = np.array([card["derived"] for card in cards]), output["kind"] == "classification"
    shares, target = (np.exp(models), np.exp(own)) if classes else (models, own)

    def along(answers, others):
        one, other = answers - answers.mean(0), others - others.mean(0)
        over = np.sqrt(((one @ other.T) ** 2).sum())
        return (one * other).sum() * np.sqrt(len(one) - 1) / over if over > 0 else 0

    for side in (True, False) if len(own) >= 4 and output["kind"] != "generation" else ():
        mean = shares[derived != side].mean(0)
        found = np.array([max(along(one, target), along(one, mean)) for one in shares[derived == side]])
        need(np.median(found) >= 0.2 * np.sqrt(len(own)), "calibration models do not answer what they were asked")
        need(np.median(found) < 6 or found.min() >= np.median(found) / 4, "a calibration model answers otherwise")
    told = [{**verdict, "view": "all"}, output]
    given = [(each, np.ones(each.shape, bool), *told) for each in (own[None], models[derived])]
    odds = [log_odds(score(manifest["verifier"], tensors, *each)) for each in given]
    need(odds[0][0] <= 0 or odds[1].max() >= 0.7 * odds[0][0] - 1e-6, "no derived model comes near the target")
    if "natural" in manifest and classes:
        right, count = tensors["natural.reference"].argmax(1), len(tensors["natural.reference"])
        for card, hits in zip(cards, (tensors["natural.models"].argmax(2) == right).sum(1)):
            share = 0.75 * max(card["performance"], 0)
            least = count * share - 4 * np.sqrt(count * share * (1 - share))
            need(hits >= least, f"{card['recipe']} of {card['lineage']} does worse than its card says")


def check_outcome(verdict, manifest, told):
    """The outcome follows from the figures; where the table of ratios holds, so does the ratio."""
    for name in ("score", "p_value", "p_value_derived", "p_value_siblings", "p_value_family"):
        same = told[name] == verdict.get(name) or abs(told[name] - verdict[name]) < 1e-9
        need(same, f"{name} is {told[name]}, not {verdict.get(name)}")
    if verdict["view"] in ("all classes", "all values") and told["all"]:
        ratio = np.interp(log_odds(told["score"]), *(manifest["weight"][name] for name in ("log_odds", "log10_lr")))
        need(abs(ratio - verdict["log10_lr"]) < 1e-5, f"log10 LR is {ratio}, not {verdict['log10_lr']}")
    rates, rank = [manifest["rates"][name] for name in ("false_match", "false_no_match")], verdict["p_value_siblings"]
    rare = verdict["p_value"] <= rates[0], verdict["p_value_derived"] <= rates[1]
    outcome = {(True, False): "match", (False, True): "no_match"}.get(rare)
    need(verdict["outcome"] in (outcome, "inconclusive"), f"its p-values do not make it {verdict['outcome']}")
    if verdict["outcome"] == "match":
        borne = (rank is None or rank <= rates[0]) and verdict["log10_lr"] >= least_ratio(rates[0]) - 1e-5
        need(borne, "a match that its figures do not bear")
        own = any(card["architecture"] == "target" and not card["derived"] for card in manifest["calibration"])
        odd = manifest["provenance"].get("stranger") or {}
        need(own and not odd.get("is_stranger"), "a match beside no independent of the target's architecture and make")
        tuned = told["kin"] or (rank is None and "ancestor" in manifest["provenance"])
        need(not tuned or told["p_value_kin"] <= rates[0], "a match that is usual among what starts from the ancestor")
        mine, *theirs = log_odds(np.array([told["score"], *(-one for one in told["nearest_derived"])]))
        need(mine >= 1.5 * min(theirs) - 0.5 * np.median(theirs) - 1e-6, "a match far below every derived model")
    if verdict["outcome"] == "no_match":
        need(verdict["log10_lr"] <= 1e-5 - least_ratio(rates[1]), "a no-match that its ratio does not bear")
        need(told["score"] >= told["lowest"] - 1e-9, "a no-match below every independent model")
        need(rank is None or rank >= 0.5, "a no-match nearer to the target than most siblings are")


def check_signatures(folder, files, records, head, auditor, owner):
    """The commitment before the first query, the seal over the evidence, the closing over all files."""
    header, verdict, after = records[0], read_json((folder / "verdict.json").read_bytes()), {"seal.json"}
    commitment, sealer = folder / "bundle/commitment.json", header["operator"].get("key_id")
    there = sha(commitment.read_bytes()) if commitment.exists() else None
    need(header["commitment_sha256"] == there, "the commitment is not the one that the transcript named")
    if owner or commitment.exists():
        stated, _ = signed(commitment, "commitment:v1", owner)
        need(stated["subject"][0]["digest"]["sha256"] == header["bundle_sha256"], "the commitment is to another bundle")
        stamp, claimed = read_json(commitment.read_bytes())["time_stamp"], stated["predicate"]["claimed_at"]
        need(stamp or moment(claimed) <= moment(header["at"]), "the commitment was made after the first query")
    if (folder / "bundle/rebuild.json").exists():
        stated, _ = signed(folder / "bundle/rebuild.json", "rebuild:v1")
        need(stated["subject"][0]["digest"]["sha256"] == header["bundle_sha256"], "another bundle was made again")
        same = stated["predicate"]["rebuilt_sha256"] == header["bundle_sha256"]
        need(same and stated["predicate"]["differences"] == [], "made again, the bundle came out different")
    if (folder / "bundle/replay.json").exists():
        stated, _ = signed(folder / "bundle/replay.json", "replay:v1")
        need(stated["subject"][0]["digest"]["sha256"] == header["bundle_sha256"], "another bundle was replayed")
        training = read_json((folder / "bundle/manifest.json").read_bytes())["provenance"]["training"]
        ran, gave = stated["predicate"]["program"], stated["predicate"]["replay"]["status"]
        need(ran == {name: training.get(name) for name in ran}, "the program replayed is not the one that is named")
        need(gave in ("reproduced", "nearly reproduced"), "run with the target's own seed the program did not give it")
    if (folder / "blind-controls.signed.json").exists():
        stated, _ = signed(folder / "blind-controls.signed.json", "controls:v1")
        named, controls = stated["predicate"]["models"], (folder / "blind-controls.json").read_bytes()
        controls = read_json(controls)["models"]
        need(controls and {each["name"] for each in controls} <= set(named), "the supplier does not name every control")
        files_of = {each["source_sha256"] for each in controls if not each["observed"]}
        need(files_of <= {stated["subject"][0]["digest"]["sha256"]}, "the supplier signed for other answers")
    if not (auditor or sealer or (folder / "seal.json").exists() or (folder / "closing.json").exists()):
        return
    after |= {name for name in files if re.fullmatch(r"report\.(json|csv|html|pdf)", name)}
    told = {"transcript_sha256": head, "bundle_sha256": header["bundle_sha256"], "outcome": verdict["outcome"]}
    told |= {"operator": header["operator"], "files": {name: files[name] for name in files.keys() - after}}
    stated, _ = signed(folder / "seal.json", "seal:v2", auditor or sealer)
    need(sealer in (None, auditor or sealer), f"the transcript says that {sealer} would seal it")
    need(stated["predicate"]["sealed"] == told, "the folder was changed after it was sealed")
    claimed, stamp = moment(stated["predicate"]["claimed_at"]), read_json((folder / "seal.json").read_bytes())
    late = moment(records[-1]["at"]) > claimed + timedelta(minutes=5)
    need(stamp["time_stamp"] or not late, "the transcript ends after its seal")
    stated, _ = signed(folder / "closing.json", "closing:v1", auditor or sealer)
    told = {"sums_sha256": sha((folder / "SHA256SUMS").read_bytes()), "outcome": verdict["outcome"], "files": files}
    need(stated["predicate"]["closed"] == told, "the folder was changed after it was closed")


def check_register(commitments, key):
    """A key's commitments, as far as the reader has them: no gap, no number twice, each chained to the one before."""
    held = {}
    for content in commitments:
        stated, _ = signed_content(read_json(content), "commitment:v1", key, "a commitment")
        digest, place = sha(canonical(read_json(content)["envelope"])), stated["predicate"].get("register")
        need(place is not None, "a commitment is not numbered: how many others there are, nothing shows")
        need(held.setdefault(place["number"], (digest, place))[0] == digest, f"two are number {place['number']}")
    previous = "0" * 64
    for number in range(1, max(held) + 1):
        need(number in held, f"the key's commitment number {number} is not here: ask its signer for it")
        need(held[number][1]["previous"] == previous, f"number {number} names another as the one before it")
        previous = held[number][0]


def check_control(folder, verdict, manifest, tensors, bundle):
    """The positive control's record follows from the control's own transcript."""
    path, own = folder / "positive-control.json", folder / "positive-control"
    if not path.exists():
        need(not own.exists(), "the positive control's record is missing")
        return "none"
    record = read_json(path.read_bytes())
    need(record["passed"] is (record["outcome"] == "match"), "the positive control's record contradicts itself")
    need(record["passed"], f"the positive control {record['control']} failed: no verdict of the run stands")
    records, head, answers = transcript_of(own)
    (_, answers), endpoint = replies_of(records, tensors, answers), records[0]["endpoint"]
    named = record["transcript_sha256"], record["bundle_sha256"], records[0]["bundle_sha256"], record["control"]
    need(named == (head, bundle, bundle, endpoint["name"]), "the positive control's transcript is another")
    seen = {**verdict, "view": "all", "transcript_sha256": head}
    told = score_of(seen, manifest, tensors, answers, endpoint["scores"])
    if told["all"] and verdict["view"] in ("all classes", "all values"):
        need(told["p_value"] <= manifest["rates"]["false_match"], "the positive control is no match")
    return record["control"]


def check(folder, auditor=None, owner=None, commitments=()):
    # 1. Every file has its hash, and every JSON one reading.
    listed = dict(line.split("  ", 1)[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    there = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    unlisted = (".lock", "SHA256SUMS", "closing.json")
    files = {name: sha(path.read_bytes()) for name, path in there.items() if name not in unlisted}
    need(set(files) <= FILES, f"{min(set(files) - FILES, default='')} is no file of an audit")
    for name in files.keys() | listed.keys():
        need(files.get(name) == listed.get(name), f"{name} was altered, added or removed")
    lines = "".join(f"{files[name]}  {name}\n" for name in sorted(files))
    need((folder / "SHA256SUMS").read_text() == lines, "SHA256SUMS itself was altered")
    # 2. The bundle's hash is that of its manifest, which names its tensors.
    manifest = read_json((folder / "bundle/manifest.json").read_bytes())
    content = (folder / "bundle/tensors.safetensors").read_bytes()
    bundle = manifest.pop("sha256")
    need(sha(canonical(manifest)) == bundle and sha(content) == manifest["tensors_sha256"], "the bundle was altered")
    tensors = tensors_of(content)
    if "nonce" in manifest["provenance"]:
        derived = target_bits(manifest["provenance"], tensors["verifier.splits"].shape)
        for name, expected in zip(("verifier.bits", "verifier.splits"), derived):
            need(np.array_equal(tensors[name], expected), f"the {name} do not follow from identity and nonce")
    if "log" in manifest["provenance"]:
        check_log(manifest["provenance"]["log"], tensors["fingerprint.inputs"], tensors["verifier.accounts"])
    # 3. Each record holds the hash of the one before it, and may stand there; each body has its hash.
    records, head, answers = transcript_of(folder)
    header = records[0]
    need(header["bundle_sha256"] == bundle, "the transcript names another bundle")
    if "looks" in header:
        print("NOT CHECKED: it might stop early, which this script cannot recompute: use 'metav-audit verify'")
        sys.exit(3)
    replies, answers = replies_of(records, tensors, answers)
    # 4. The commitment was there before the first query; seal and closing fix all the rest.
    check_signatures(folder, files, records, head, auditor, owner)
    if commitments:
        own = folder / "bundle/commitment.json"
        _, key = signed(own, "commitment:v1", owner)
        check_register([path.read_bytes() for path in (own, *commitments)], key)
    # 5. The score follows from the answers, the p-values from the calibration models seen in the same way.
    verdict = read_json((folder / "verdict.json").read_bytes())
    need((verdict["bundle_sha256"], verdict["transcript_sha256"]) == (bundle, head), "verdict.json is of another audit")
    told = verdict["answered"], verdict["queries"], verdict["requests"], verdict["endpoint"], verdict["url"]
    sent = sum(record["kind"] == "sent" for record in records)
    endpoint, shown = header["endpoint"], sum(any(one is not None for one in row) for row in answers.values())
    found = shown, len(tensors["fingerprint.inputs"]), sent, endpoint["name"], endpoint["url"]
    need(told == found, f"verdict.json says {told}, the transcript {found}")
    need(verdict["score"] is not None or verdict["outcome"] == "inconclusive", "a verdict without a score")
    if verdict["score"] is not None:
        check_outcome(verdict, manifest, score_of(verdict, manifest, tensors, answers, endpoint["scores"]))
    if verdict["outcome"] != "inconclusive":
        check_calibration(verdict, manifest, tensors)
        check_asked(replies, tensors, manifest, endpoint["scores"], verdict)
    # 6. The positive control, where the run had one, is one.
    control = check_control(folder, verdict, manifest, tensors, bundle)
    return f"{verdict['outcome']}: every hash, signature and figure agrees; positive control: {control}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--auditor", metavar="KEY_ID", help="who sealed it: SHA-256 of the public key in DER")
    parser.add_argument("--owner", metavar="KEY_ID", help="who committed to the bundle, likewise")
    others = "another commitment of the owner's key: none may be left out; may be repeated"
    parser.add_argument("--commitment", type=Path, action="append", default=[], metavar="FILE", help=others)
    options = parser.parse_args()
    if sys.flags.optimize:
        sys.exit("run this without -O: nobody should wonder what it left out")
    try:
        print("pass:", check(options.folder, options.auditor, options.owner, options.commitment))
    except Exception as error:
        print(f"FAIL: {type(error).__name__} {error}")
        return 4
    print(*(f"not checked: {each}" for each in NOT_CHECKED), sep="\n")
    if options.auditor is None:
        print("NOT AUTHENTICATED: it may be anyone's; name who sealed it with --auditor")
        return 6
    print(f"AUTHENTICATED: sealed by the auditor's key {options.auditor}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
