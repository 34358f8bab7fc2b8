"""Estimators and pipelines of scikit-learn, by skops: nothing is unpickled.

What skops writes names its objects by their addresses in memory, and its archive the hour. ``pack`` numbers the ones
and leaves the other out, so that the same estimator has the same bytes.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from typing import Any

from metav_audit.errors import DataError
from metav_audit.zoo.formats.base import Format, Given, Said, made_by

_KNOWN = frozenset(
    {
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
    }
)
"""Types of scikit-learn itself that skops wants named, and that hold numbers alone."""

_MOST = 1 << 31


def _pack(model: Any) -> bytes:
    from skops import io as safe

    return _numbered(safe.dumps(model, compression=zipfile.ZIP_DEFLATED))


def _numbered(content: bytes) -> bytes:
    """Return a skops archive with objects numbered in the order in which they stand, and without the hour."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        schema = archive.read("schema.json").decode()
        ids = dict.fromkeys(re.findall(r'"__id__": (\d+)', schema))
        numbers = {old: str(new) for new, old in enumerate(ids)}
        stems = {stem: numbers[stem] for name in archive.namelist() if (stem := name.partition(".")[0]) in numbers}
        told = re.sub(r'("__id__": )(\d+)', lambda found: found[1] + numbers[found[2]], schema)
        told = re.sub(r'"(\d+)(\.\w+)"', lambda found: f'"{stems.get(found[1], found[1])}{found[2]}"', told)
        parts = {"schema.json": told.encode()}
        for name in archive.namelist():
            if name != "schema.json":
                stem, dot, ending = name.partition(".")
                parts[f"{stems.get(stem, stem)}{dot}{ending}"] = archive.read(name)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(parts):
            archive.writestr(zipfile.ZipInfo(name), parts[name], zipfile.ZIP_DEFLATED, 6)
    return buffer.getvalue()


def _unpack(content: bytes, trusted: bool) -> Any:
    from skops import io as safe

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > _MOST:
            raise DataError(f"the estimator is larger than {_MOST} bytes when it is unpacked")
    wanted = set(safe.get_untrusted_types(data=content))
    if (strange := sorted(wanted - _KNOWN)) and not trusted:
        raise DataError(
            f"the estimator holds {', '.join(strange[:5])}, which may run code when they are loaded: if the file "
            "is your own, write trust = true below [target] or give --trust"
        )
    with warnings.catch_warnings():
        # Another version of scikit-learn than the one that wrote it.
        warnings.simplefilter("ignore")
        return safe.loads(content, trusted=sorted(wanted))


def _answer(model: Any, given: Given) -> Said:
    with warnings.catch_warnings():
        # Arrays without the names that a frame had.
        warnings.simplefilter("ignore")
        if not given.task.output.labelled:
            return Said("values", model.predict(given.fed))
        if not hasattr(model, "predict_proba"):
            raise DataError(
                f"{type(model).__name__} gives no probabilities: wrap it in sklearn's CalibratedClassifierCV, or "
                "choose a learner with predict_proba"
            )
        return Said("probabilities", model.predict_proba(given.fed))


FORMAT = Format(
    name="sklearn",
    title="an estimator of scikit-learn",
    package="skops",
    extra="sklearn",
    endings=(".skops",),
    owns=made_by("sklearn"),
    pack=_pack,
    unpack=_unpack,
    answer=_answer,
)
