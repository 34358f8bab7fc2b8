"""Every error metav-audit raises on purpose, each with the exit code the command line gives it.

::

    MetavAuditError            4
    ├── ConfigurationError     2   a file, option or environment variable the user gave is wrong
    │   └── SecretError        2   a secret stands as a literal, or its variable is not set
    ├── DataError              2   the owner's model or data do not fit the task
    ├── BundleError            4   a fingerprint bundle is damaged, of another schema, oversized or foreign
    ├── TranscriptError        4   a transcript is damaged, or belongs to another bundle
    ├── EvidenceError          4   a signature, time stamp, commitment or control does not hold
    ├── FaultError            70   a fault of ours, told beside what became of the other endpoints
    ├── AnswerError            4   an answer of the endpoint does not fit the task
    └── RemoteError            4   the endpoint could not be asked: dead, refused, out of budget

A message says what was wrong, where, and what to do next, in one line.
"""

from __future__ import annotations

from typing import ClassVar

FOREIGN: tuple[type[BaseException], ...] = (Exception, SystemExit)
"""What code that is not ours may raise where it is called: a ``sys.exit`` of its own is no end of this program."""


class MetavAuditError(Exception):
    """The root of the tree; catching it catches every error raised on purpose."""

    exit_code: ClassVar[int] = 4


class ConfigurationError(MetavAuditError):
    """A file, an option or an environment variable that the user gave is wrong."""

    exit_code = 2


class SecretError(ConfigurationError):
    """A secret stands as a literal in a file, or the variable that should hold it is not set."""


class DataError(MetavAuditError):
    """The owner's model or data do not fit the declared task."""

    exit_code = 2


class BundleError(MetavAuditError):
    """A fingerprint bundle is missing, damaged, of another schema, oversized or foreign."""


class TranscriptError(MetavAuditError):
    """A transcript is damaged, or was recorded with another bundle."""


class EvidenceError(MetavAuditError):
    """A signature, a time stamp, a commitment, a seal or a control does not hold, or is damaged."""


class FaultError(MetavAuditError):
    """A fault of ours, or of code that we called, in the midst of others' work; its cause says what."""

    exit_code = 70


class AnswerError(MetavAuditError):
    """An answer of the endpoint does not fit the task: not JSON, wrong length, not finite."""


class RemoteError(MetavAuditError):
    """The endpoint could not be asked: unreachable, refusing, or the budget is spent."""
