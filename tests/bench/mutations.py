"""Whether any of many mutations of a whole folder passes: ``python -m tests.bench.mutations``.

From a sealed folder none may pass ``verify`` with the auditor's key; every tenth is put to the independent script, too.
From an unsealed folder each fails a step or ends in NOT AUTHENTICATED; how many fail by themselves is counted.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections import Counter
from pathlib import Path

from metav_audit.evidence import closing_of
from metav_audit.verdict import AuditFolder
from metav_audit.verify import Expected, verify_audit
from tests.evidence.test_independent import script
from tests.folders import AUDITOR, make_sealed_folder
from tests.mutations import apply, files_of, mutations

KEY = AUDITOR.public.key_id


def sealed(folder: Path, count: int, seed: int = 0, scripted: int = 10) -> Counter[str]:
    """Mutate a sealed folder; what passes is told in full.

    The closing's check is one of ``verify``'s steps: where it fails, so does the verification. Where it holds, all of
    the verification is done.
    """
    files, found = files_of(folder), Counter[str]()
    transcript = AuditFolder(folder).transcript()
    for number, mutation in enumerate(itertools.islice(mutations(files, seed), count)):
        undo = apply(mutation, folder, files)
        refused = not closing_of(AuditFolder(folder), transcript, KEY).holds
        refused = refused or verify_audit(folder, Expected(auditor=KEY)).exit_code in (3, 4)
        found["refused" if refused else f"PASSED: {mutation.said}"] += 1
        if number % scripted == 0:
            found[f"script {'refused' if _refuses(folder) else f'PASSED: {mutation.said}'}"] += 1
        undo()
    apply(mutation, folder, files)()
    return found


def unsealed(folder: Path, count: int, seed: int = 0) -> Counter[str]:
    """Mutate a folder that nobody signed; nothing may be authenticated."""
    files, found = files_of(folder), Counter[str]()
    for mutation in itertools.islice(mutations(files, seed), count):
        undo = apply(mutation, folder, files)
        outcome = verify_audit(folder)
        said = {4: "a step fails", 3: "a step is not checked", 6: "NOT AUTHENTICATED alone"}
        found[said.get(outcome.exit_code, f"PASSED: {mutation.said}")] += 1
        assert not outcome.authentic
        undo()
    return found


def _refuses(folder: Path) -> bool:
    try:
        script.check(folder, KEY)
    except Exception:
        return True
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="mutations of the sealed folder")
    parser.add_argument("--unsealed", type=int, default=100, help="mutations of the unsealed one, each verified whole")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for kind, count, play in (("sealed", options.count, sealed), ("unsealed", options.unsealed, unsealed)):
            folder = make_sealed_folder(Path(name) / kind, sealed=kind == "sealed")
            begun = time.perf_counter()
            found = play(folder, count, options.seed)
            print(f"{count} mutations, {kind}, in {time.perf_counter() - begun:.0f} s:")
            for said, times in sorted(found.items()):
                print(f"  {times:6d}  {said}")


if __name__ == "__main__":
    main()
