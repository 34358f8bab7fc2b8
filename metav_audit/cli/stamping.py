"""Who seals an audit, and the options by which a signed statement gets a time stamp."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from metav_audit.evidence import Sealer, Stamper

Command = TypeVar("Command", bound=Callable[..., Any])


def stamp_options(command: Command) -> Command:
    """Give a command the options ``--tsa`` and ``--tsa-cert``, which ``stamper_of`` takes."""
    certificate = click.option(
        "--tsa-cert", type=click.Path(path_type=Path), metavar="PEM", help="Its root certificates, PEM."
    )
    address = click.option("--tsa", metavar="URL", help="Time-stamp authority (RFC 3161) to ask.")
    return address(certificate(command))


def stamper_of(url: str | None, certificate: Path | str | None) -> Stamper | None:
    """Return what fetches time stamps from ``url``, checked against ``certificate``; None for neither."""
    from functools import partial

    from metav_audit.audit import post_time_stamp_query
    from metav_audit.evidence import fetch_time_stamp, read_certificates

    if url is None and certificate is None:
        return None
    if url is None or certificate is None:
        raise click.UsageError("--tsa and --tsa-cert go together: a stamp is checked before it is kept.")
    roots = read_certificates(Path(certificate))
    return partial(fetch_time_stamp, url=url, certificates=roots, post=post_time_stamp_query)


def sealer_of(endpoints: Path) -> Sealer | None:
    """Take the key that seals audits from the table [operator] of an endpoint file, if it names one."""
    import os

    from metav_audit.audit import load_operator

    operator = load_operator(endpoints)
    if operator.key is None:
        return None
    from metav_audit.evidence import Sealer, read_key

    return Sealer(read_key(operator.key, os.environ), stamper_of(operator.tsa, operator.tsa_cert))
