"""What a PDF carries along: the evidence itself, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from metav_audit.errors import ConfigurationError, EvidenceError
from metav_audit.evidence import EvidenceFile
from metav_audit.files import read_regular
from metav_audit.verdict import AuditFolder

MAX_ATTACHED = 16 << 20
"""A larger file is named with its hash, but not attached."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file to attach.

    Attributes:
        name: its path in the audit's folder.
        content: its bytes.
        media: its media type.
        relationship: what it is to the pages: their "source", or their "data".
    """

    name: str
    content: bytes
    media: str
    relationship: str = "source"


def attach(name: str, content: bytes, relationship: str = "source") -> Attachment:
    """Make an attachment; the media type follows from the name."""
    media = {".jsonl": "application/jsonl", ".csv": "text/csv", ".json": "application/json"}
    return Attachment(name, content, media.get(Path(name).suffix, "application/octet-stream"), relationship)


def gather(folder: AuditFolder, files: Sequence[EvidenceFile]) -> Iterator[Attachment]:
    """Read the files that are small enough.

    Raises:
        ConfigurationError: a file cannot be read.
        EvidenceError: a file is no longer what the report says of it.
    """
    for file in files:
        if file.size > MAX_ATTACHED:
            continue
        try:
            content = read_regular(folder / file.name, MAX_ATTACHED)
        except OSError as error:
            raise ConfigurationError(f"cannot read {folder / file.name}: {error.strerror}") from error
        if len(content) != file.size:
            raise EvidenceError(f"{folder / file.name} was altered while its report was written: write it again")
        yield attach(file.name, content)
