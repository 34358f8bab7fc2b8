"""A verification's steps: what became of each, and the list of those taken so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from metav_audit.errors import MetavAuditError
from metav_audit.evidence import NotComparedError

Found = tuple[Any, str]
"""What a check hands on to later ones, and what it saw, in words."""


class Status(StrEnum):
    """What became of a step."""

    PASSED = "pass"
    FAILED = "FAIL"
    NOT_CHECKED = "NOT CHECKED"
    """It compared nothing: a step that it rests on failed, or what it takes is not here."""
    NONE = "none"
    """There is nothing of the kind, and nothing says that there should be."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a verification; ``detail`` says what was seen, or why it failed or was not checked."""

    number: int
    name: str
    status: Status
    detail: str

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against it: it passed, or there is nothing of the kind."""
        return self.status in (Status.PASSED, Status.NONE)


class NothingThereError(Exception):
    """A step has nothing to look at, and nothing says that it should."""


class Checklist:
    """The steps taken so far."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def take(self, name: str, check: Callable[..., Found], *needs: Any) -> Any:
        """Take one step; return what its check hands on, or None where it failed or an earlier one it needs did."""
        value, status, detail = None, Status.NOT_CHECKED, "a step it rests on failed"
        if all(need is not None for need in needs):
            try:
                value, detail = check(*needs)
                status = Status.PASSED
            except (NothingThereError, NotComparedError) as error:
                status = Status.NONE if isinstance(error, NothingThereError) else Status.NOT_CHECKED
                detail = str(error)
            except MetavAuditError as error:
                status, detail = Status.FAILED, str(error)
            except Exception as error:  # The folder comes from outside: whatever breaks on it is a finding.
                status, detail = Status.FAILED, f"it cannot be read: {type(error).__name__}: {error}"
        self.steps.append(Step(len(self.steps) + 1, name, status, detail))
        return value
