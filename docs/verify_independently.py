"""Check an audit's folder with nothing of metav-audit: python verify_independently.py DIR [SIGNER_KEY_ID]."""

import base64
import hashlib
import itertools
import json
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives import serialization


def sha(content):
    return hashlib.sha256(content).hexdigest()


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def tensors_of(content):
    """The safetensors format: the header's size, the header (JSON), then the numbers, little-endian."""
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    cut = {name: content[8 + size :][slice(*one["data_offsets"])] for name, one in header.items() if name[0] != "_"}
    return {name: np.frombuffer(part, "<f4").reshape(header[name]["shape"]) for name, part in cut.items()}


def signed(path, expected_key=None):
    """Return what was signed, if the Ed25519 signature over DSSE's encoding of it holds."""
    return signed_content(json.loads(path.read_bytes()), expected_key, path.name)


def signed_content(file, expected_key=None, name="a seal"):
    key = serialization.load_pem_public_key(file["public_key"].encode())
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    payload, kind = base64.b64decode(file["envelope"]["payload"]), file["envelope"]["payloadType"].encode()
    message = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    key.verify(base64.b64decode(file["envelope"]["signatures"][0]["sig"]), message)
    assert expected_key in (None, sha(der)), f"{name} was signed by {sha(der)}"
    return json.loads(payload)


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


def share_of_bits(part, values, mask):
    """The share of bits right: the mean log-probability on each side of the split, hidden classes sharing the rest."""
    rest = 1 - np.where(mask, np.exp(np.where(mask, values, 0)), 0).sum(2, keepdims=True)
    logs = np.where(mask, values, np.log(np.maximum(rest / np.maximum((~mask).sum(2, keepdims=True), 1), 1e-6)))
    plus = part["splits"] > 0
    weights = plus / plus.sum(2, keepdims=True) - ~plus / (~plus).sum(2, keepdims=True)
    right = part["bits"] * np.einsum("mnc,nkc->mnk", logs, weights) > 1e-6
    answered = mask.any(2)
    return (right & answered[:, :, None]).sum((1, 2)) / np.maximum(answered.sum(1) * right.shape[2], 1)


def sigmoid(odds):
    return 0.5 * (1 + np.tanh(odds / 2))


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

    rest = 1 - np.where(mask, np.exp(np.where(mask, values, 0)), 0).sum(2, keepdims=True)
    logs = np.where(mask, values, np.log(np.maximum(rest / np.maximum((~mask).sum(2, keepdims=True), 1), 1e-6)))
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


def filled_in(values, mask):
    """Hidden classes share what is left of the probability."""
    rest = 1 - np.where(mask, np.exp(np.where(mask, values, 0)), 0).sum(2, keepdims=True)
    return np.where(mask, values, np.log(np.maximum(rest / np.maximum((~mask).sum(2, keepdims=True), 1), 1e-6)))


def likeness(part, values, mask, verdict, output):
    """The cosine with each sibling's deviations from the mean, without what the reference models have in common."""
    found, classes, alone = [], output["kind"] == "classification", verdict["view"] == "the label alone"
    still = {**verdict, "view": verdict["view"].split(", noise")[0]}
    tables = [seen_through(part[name], still, output) for name in ("models", "references")]
    tables = [(each[0].astype(np.float32).astype(float), each[1]) for each in tables]
    tables = [(filled_in(*each).astype(np.float32).astype(float) if classes else each[0]) for each in tables]
    for own, shown in zip(filled_in(values, mask) if classes else np.where(mask, values, 0), mask.any(2)):
        rows = [np.maximum(each[:, shown], part["least"] if classes else -np.inf) for each in (*tables, own[None])]
        mean, spread = rows[0].mean(0), rows[0].std(0)
        apart = spread + 1e-3 * spread.max(initial=0) + 1e-9
        flat = [each - mean if alone else np.clip((each - mean) / apart, -3, 3) for each in rows]
        if alone:
            shares = np.exp(part["models"].astype(np.float32)).astype(float)[:, shown]
            flat[0] = shares - shares.mean(0)
        models, references, one = (each.reshape(len(each), -1) for each in flat)
        usual = references / (np.linalg.norm(references, axis=1, keepdims=True) + 1e-9)
        inner = np.linalg.inv(usual @ usual.T + 2 * np.eye(len(usual)))
        models, one = (each - each @ usual.T @ inner @ usual for each in (models, one))
        models, one = (each / (np.linalg.norm(each, axis=1, keepdims=True) + 1e-9) for each in (models, one))
        found.append((one @ models.T)[0])
    return np.array(found)


def by_labels(part, values, mask, verdict, output):
    """How much likelier a suspect's labels are if learnt from each model than elsewhere, less what references have."""
    still = {**verdict, "view": verdict["view"].split(", noise")[0]}
    tables = [filled_in(*seen_through(part[name], still, output)).argmax(2) for name in ("models", "references")]
    models, references = tables
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
        held = {name: part[name][:, rows] for name in ("models", "references")}
        given = ({**part, **held}, values[:, rows], mask[:, rows], verdict, output)
        classes, alone = output["kind"] == "classification", verdict["view"] == "the label alone"
        near = standard(by_labels(*given)) if classes else 0
        found.append(near if alone else near + standard(likeness(*given)))
    return np.stack(found, 1)


def check_log(log, inputs, owners):
    """Every query is the input of a row of the owner's sealed log; its days are chained; each seal is of that chain."""
    heads, days, previous = [], {}, "0" * 64
    for day in log["days"]:
        told = {name: day[name] for name in ("day", "rows", "root", "previous")}
        assert day["previous"] == previous and sha(canonical(told)) == day["sha256"], "the log's chain of days"
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
        assert root.hex() == days[row["day"]]["root"] and not proof, f"query {number} is no row of the log"
        told = json.loads(content)
        assert told["account"] in log["accounts"][row["account"]]["members"] and row["account"] == owner, "accounts"
        assert np.array_equal(np.frombuffer(base64.b64decode(told["input"]), "<f4"), query.ravel()), "inputs"
    for seal in log["seals"]:
        assert signed_content(seal)["subject"][0]["digest"]["sha256"] in heads, "a seal is of another log"


def score(kind, tensors, values, mask, verdict=None, output=None):  # noqa: PLR0911
    """The meta-verifier: a perceptron on all answers at once, the share of labels that agree, or of bits right, ..."""
    part = {name[9:]: array.astype(float) for name, array in tensors.items() if name.startswith("verifier.")}
    if kind == "siblings":
        near = likeness(part, values, mask, verdict, output)
        return sigmoid((near[:, 0] - near[:, 1:].mean(1)) / (near[:, 1:].std(1) + 1e-9))
    if kind == "accounts":
        near = nearness_by_account(part, values, mask, verdict, output).max(1)
        return sigmoid((near[:, 0] - near[:, 1:].mean(1)) / (near[:, 1:].std(1) + 1e-9))
    if kind == "committee":
        return committee(part, values, mask)
    if kind == "correlation":
        return nearness_of_correlations(part, values, mask)
    if kind == "local":
        return mean_of_lines(part, np.where(mask, (values - part["reference"]) / part["scale"], 0), mask.any(2))
    if kind == "agreement":
        shown = mask.any(2)
        agrees = (np.where(mask, values, -np.inf).argmax(2) == part["labels"]) & shown
        return agrees.sum(1) / np.maximum(shown.sum(1), 1)
    if kind == "bits":
        return share_of_bits(part, values, mask)
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
        shown = np.round(raw_of(view, output), int(words[words.index("decimals") - 1]))
        view = canonical_features(shown, "probability", output)
    top = 1 if "alone" in words else int(words[2]) if "top" in words else values.shape[2]
    ranks = np.argsort(np.argsort(-values, axis=2, kind="stable"), axis=2, kind="stable")
    return np.where(ranks < top, 0 if "alone" in words else view, 0), ranks < top


def schedule(queries, natural, nonce):
    """What is asked at each place: queries, natural inputs, near-duplicates, some again; in the nonce's order."""

    def drawn(what, items):
        return sorted(items, key=lambda item: hashlib.sha256(f"{nonce} {what} {item}".encode()).digest())

    base, opening = queries + natural, drawn("opening", range(queries, queries + natural))[:4]
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
        assert (np.isnan(logs) == np.isnan(logs[0])).all(), "what was asked again shows other classes"
        apart = np.where(np.abs(np.exp(logs) - np.exp(logs[0])) > 1e-5, np.abs(logs - logs[0]), 0)
        assert np.nanmax(apart, initial=0) <= 0.05, "what was asked again was answered otherwise"
    if "natural" in manifest and classes:
        queries, right = len(tensors["target.features"]), tensors["natural.reference"].argmax(1)
        rows = [given.get(queries + at, [None])[0] for at in range(len(right))]
        hits = [np.argmax([-np.inf if one is None else one for one in row]) == label
                for row, label in zip(rows, right) if row is not None]  # fmt: skip
        least = (tensors["natural.models"].argmax(2) == right).mean(1).min()
        assert np.mean(hits) >= 0.75 * least, "natural inputs are answered wrongly"


def least_ratio(rate):
    """The least log10 LR of a verdict that promises such a rate."""
    return np.log10(10 * min(1, (0.05 / rate) ** 2))


def check(folder, signer=None):
    # 1. Every file has its hash.
    listed = dict(line.split("  ", 1)[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert listed.keys() == {name for name in files if name.split("/")[-1] not in (".lock", "SHA256SUMS")}, "files"
    for name, digest in listed.items():
        assert sha(files[name].read_bytes()) == digest, f"{name} was altered"
    # 2. The bundle's hash is that of its manifest, which names its tensors.
    manifest = json.loads((folder / "bundle/manifest.json").read_bytes())
    content = (folder / "bundle/tensors.safetensors").read_bytes()
    bundle = manifest.pop("sha256")
    assert sha(canonical(manifest)) == bundle and sha(content) == manifest["tensors_sha256"], "bundle"
    if "nonce" in manifest["provenance"]:
        held = tensors_of(content)
        derived = target_bits(manifest["provenance"], held["verifier.splits"].shape)
        for name, expected in zip(("verifier.bits", "verifier.splits"), derived):
            assert np.array_equal(held[name], expected), f"the {name} do not follow from identity and nonce"
    if "log" in manifest["provenance"]:
        held = tensors_of(content)
        check_log(manifest["provenance"]["log"], held["fingerprint.inputs"], held["verifier.accounts"])
    # 3. Each record of the transcript holds the hash of the one before it; each body has the hash that it is named by.
    head, records, pack = "0" * 64, [], (folder / "bodies.pack").read_bytes()
    for line in (folder / "transcript.jsonl").read_bytes().splitlines(keepends=True):
        records.append(json.loads(line))
        assert records[-1]["previous"] == head, f"record {len(records)} does not follow the one before it"
        head = sha(line)
        if "body" in records[-1]:
            names = ("redacted_sha256", "request_sha256", "response_sha256")
            named = next(records[-1][name] for name in names if name in records[-1])
            start, size = records[-1]["body"]
            assert sha(zlib.decompress(pack[start : start + size])) == named, f"a body of record {len(records)}"
    assert records[0]["bundle_sha256"] == bundle, "the transcript names another bundle"
    # 4. The commitment was there before the first query; the seal fixes transcript, bundle and verdict.
    commitment = folder / "bundle/commitment.json"
    assert records[0]["commitment_sha256"] == (sha(commitment.read_bytes()) if commitment.exists() else None)
    if commitment.exists():
        assert signed(commitment)["subject"][0]["digest"]["sha256"] == bundle, "the commitment is to another bundle"
    sealer = records[0]["operator"].get("key_id")
    if sealer or (folder / "seal.json").exists():
        sealed = signed(folder / "seal.json", signer or sealer)["predicate"]["sealed"]
        assert (sealed["transcript_sha256"], sealed["bundle_sha256"]) == (head, bundle), "the seal is of another audit"
        assert sealed["verdict_sha256"] == sha((folder / "verdict.json").read_bytes()), "the verdict was altered"
    # 5. The score follows from the answers, the p-values from the calibration models seen in the same way.
    verdict = json.loads((folder / "verdict.json").read_bytes())
    assert (verdict["bundle_sha256"], verdict["transcript_sha256"]) == (bundle, head), "verdict.json"
    tensors, sent = tensors_of(content), {each["request"]: each for each in records if each["kind"] == "sent"}
    answers, replies = np.full(tensors["target.features"].shape, np.nan), {}
    asked = schedule(len(answers), len(tensors.get("natural.inputs", ())), records[0]["nonce"])
    assert len(asked) == records[0]["queries"], "the transcript asks more or less than its nonce says"
    for record in records:
        for place, row in zip(sent.get(record.get("request"), {}).get("queries", ()), record.get("answers") or ()):
            replies.setdefault(asked[place], []).append(row)
    for query in set(replies) & set(range(len(answers))):
        answers[query] = [np.nan if one is None else one for one in replies[query][0]]
    assert verdict["answered"] == int((~np.isnan(answers)).any(1).sum()), "answered"
    if verdict["score"] is not None:
        mask = ~np.isnan(answers)
        output, kind = manifest["task"]["output"], records[0]["endpoint"]["scores"]
        values = np.nan_to_num(canonical_features(answers, kind, output)).astype(np.float32)
        others, shown = seen_through(tensors["calibration.features"].astype(float), verdict, output)
        shown &= mask.any(1)[None, :, None]
        others, kind = np.where(shown, others, 0).astype(np.float32).astype(float), manifest["verifier"]
        mine = score(kind, tensors, values[None].astype(float), mask[None], verdict, output)[0]
        theirs = score(kind, tensors, others, shown, verdict, output)
        if kind in ("siblings", "accounts"):
            part = {name[9:]: array.astype(float) for name, array in tensors.items() if name.startswith("verifier.")}
            given = (part, values[None].astype(float), mask[None], verdict, output)
            each = nearness_by_account(*given)[0] if kind == "accounts" else likeness(*given)
            near = each.max(0)
            for row, told in zip(each, verdict.get("accounts", ())):
                p = (1 + int((near[1:] >= row[0] - 1e-9).sum())) / len(near)
                assert abs(p - told["p_value"]) < 1e-9, f"p by the requests of {told['name']} is {p}"
            p = (1 + int((near[1:] >= near[0] - 1e-9).sum())) / len(near)
            assert abs(p - verdict["p_value_siblings"]) < 1e-9, f"p among siblings is {p}"
        assert abs(mine - verdict["score"]) < 1e-9, f"score {mine}, not {verdict['score']}"
        for derived, sign, name in ((False, 1, "p_value"), (True, -1, "p_value_derived")):
            best = {}
            for card, one in zip(manifest["calibration"], (sign * theirs).tolist()):
                if card["derived"] == derived:
                    best[card["lineage"]] = max(one, best.get(card["lineage"], -np.inf))
            p = (1 + sum(one >= sign * mine for one in best.values())) / (len(best) + 1)
            assert abs(p - verdict[name]) < 1e-9, f"{name} is {p}, not {verdict[name]}"
        if verdict["view"] in ("all classes", "all values") and mask.all():
            edge, weight = np.log(1e4), manifest["weight"]
            place = np.clip(np.log(mine) - np.log1p(-mine), -edge, edge)
            ratio = np.interp(place, weight["log_odds"], weight["log10_lr"])
            assert abs(ratio - verdict["log10_lr"]) < 1e-5, f"log10 LR is {ratio}, not {verdict['log10_lr']}"
        rates = manifest["rates"]["false_match"], manifest["rates"]["false_no_match"]
        rare = verdict["p_value"] <= rates[0], verdict["p_value_derived"] <= rates[1]
        outcome = {(True, False): "match", (False, True): "no_match"}.get(rare)
        nearest = verdict["p_value_siblings"] is None or verdict["p_value_siblings"] <= rates[0]
        if outcome == "match":
            assert verdict["outcome"] != "match" or (nearest and verdict["log10_lr"] >= least_ratio(rates[0]) - 1e-5)
        if outcome == "no_match" and verdict["outcome"] == "no_match":
            assert verdict["log10_lr"] <= 1e-5 - least_ratio(rates[1])
        if verdict["outcome"] != "inconclusive":
            check_asked(replies, tensors, manifest, records[0]["endpoint"]["scores"], verdict)
        lowest = min(one for card, one in zip(manifest["calibration"], theirs.tolist()) if not card["derived"])
        assert verdict["outcome"] != "no_match" or mine >= lowest - 1e-9, "a no-match below every independent model"
        own = any(card["architecture"] == "target" and not card["derived"] for card in manifest["calibration"])
        assert own or verdict["outcome"] != "match", "a match beside no independent of the target's own architecture"
        assert verdict["outcome"] in (outcome, "inconclusive")
    else:
        assert verdict["outcome"] == "inconclusive", "a verdict without a score"
    return f"{verdict['outcome']}: every hash, signature and figure agrees"


if __name__ == "__main__":
    try:
        print("pass:", check(Path(sys.argv[1]), *sys.argv[2:3]))
    except Exception as error:
        sys.exit(f"FAIL: {type(error).__name__} {error}")
