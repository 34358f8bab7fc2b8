"""The command line: one command a file, no logic; a command's module is imported only when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Set
from typing import Any, NoReturn

import click

from metav_audit.cli.echo import echo
from metav_audit.cli.ending import check_outputs, end_by_a_fault, end_of_memory, end_without_output, fail, is_output
from metav_audit.config import PASSPHRASE, nearest
from metav_audit.errors import MetavAuditError
from metav_audit.version import __version__

COMMANDS = {
    "demo": "Run the whole chain on real digits, over HTTP on the loopback.",
    "init": "Write a commented project.toml.",
    "zoo": "Train or resume the surrogates of a project.",
    "fit": "Fit fingerprint, meta-verifier and calibration into a bundle.",
    "evaluate": "Measure methods on held-out surrogates.",
    "keygen": "Make a key to sign commitments with.",
    "commit": "Sign and time-stamp a bundle before the first query.",
    "vouch": "Sign for models that serve as others' blind controls.",
    "serve": "Put a model of your own behind an API, for rehearsals.",
    "log": "Seal and check the owner's request log.",
    "dither": "Serve with coins, and ask whose coins a suspect learned.",
    "served": "Ask whose randomly drawn answers a language model learned.",
    "probe": "Find out how an API wants to be asked; write its endpoint file.",
    "enrol": "Ask what an approved deployment answers, session by session.",
    "audit": "Query endpoints, journal, decide and report; resumes by itself.",
    "watch": "Audit a fleet's endpoints that are due, once; for schedules.",
    "history": "Show an endpoint over time.",
    "compare": "Say what differs between two audits.",
    "page": "Write the history as a site of plain files.",
    "verify": "Recompute an audit's verdict offline, step by step.",
    "pack": "Pack an audit's folder into one file.",
    "report": "Write an audit's report again, from its folder.",
    "drill": "Rig bundles for real, and see each exposed.",
    "rebuild": "Make a bundle again from its project, and compare hashes.",
    "replay": "Run the training program with the target's own seed.",
    "adapters": "List the installed adapters and what each can do.",
}

_PREFIX = "METAV_AUDIT_"
_EXTRAS = {name: extra for extra, names in {
    "train": ("torch", "joblib", "sklearn"), "watch": ("sqlalchemy", "alembic", "fsspec"),
}.items() for name in names}  # fmt: skip
"""What some commands need and not every machine has, with the extra that brings it."""


class LazyGroup(click.Group):
    """A group that knows its commands' names and summaries without importing them.

    Every option has a variable named after it: METAV_AUDIT_FIT_METHOD for ``metav-audit fit --method``.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            if not ctx.resilient_parsing:
                raise click.UsageError(_ended(f"No such command {cmd_name!r}{nearest(cmd_name, COMMANDS)}"), ctx)
            return None
        module = importlib.import_module(f"metav_audit.cli.{cmd_name}")
        command = module.command
        assert isinstance(command, click.Command)
        _check_variables(cmd_name, set(_name_variables(command, cmd_name)))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table above."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _name_variables(command: click.Command, name: str) -> Iterator[str]:
    """Give every option of a command, or of the commands below it, its variable, and yield these."""
    for option in command.params:
        if isinstance(option, click.Option):
            if option.envvar is None:
                flag = max(option.opts, key=len).lstrip("-")
                option.envvar = f"{_PREFIX}{name}_{flag}".upper().replace("-", "_")
            option.show_envvar = True
            yield str(option.envvar)
    for below, each in command.commands.items() if isinstance(command, click.Group) else ():
        yield from _name_variables(each, f"{name}_{below}")


def _check_variables(name: str, known: Set[str]) -> None:
    """Refuse a variable of a command that names no option of it, and warn of one that no command reads."""
    reserved = tuple(f"{_PREFIX}{each}_".upper() for each in COMMANDS)
    for variable in sorted(each for each in os.environ if each.startswith(_PREFIX) and each != PASSPHRASE):
        if variable.startswith(f"{_PREFIX}{name}_".upper()):
            if variable not in known:
                raise click.UsageError(_ended(f"The variable {variable} names no option{nearest(variable, known)}"))
        elif not variable.startswith(reserved):
            # What all of them begin with would make any two look alike.
            short = {each.removeprefix(_PREFIX): each for each in (*known, PASSPHRASE)}
            meant = nearest(variable.removeprefix(_PREFIX), short)
            if meant:
                meant = meant.replace("'", f"'{_PREFIX}", 1)
                raise click.UsageError(f"The variable {variable} is read by no command{meant}")
            echo(f"warning: the variable {variable} is read by no command", err=True)


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith("?") else f"{sentence}."


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, and for an audit no match; 1 match, whatever else failed; 2 usage or configuration; "
    "3 inconclusive; 4 the remote or an integrity check failed; 5 some of several endpoints failed, none is a match; "
    "6 verified, but not authenticated; 70 a fault, its traceback in a file; 74 stdout takes no more; 130 interrupted.",
)
@click.version_option(__version__, prog_name="metav-audit")
def cli() -> None:
    """Ask a prediction API whether it serves a model derived from yours."""


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; whatever goes wrong becomes one line on stderr and an exit code that is no verdict's."""
    _end_like_ctrl_c()
    check_outputs()
    try:
        code = cli.main(args=arguments, prog_name="metav-audit", standalone_mode=False)
        click.echo(nl=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        fail("interrupted; run the same command again to go on", 130)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "metav-audit"
        fail(f"{' '.join(error.format_message().split())} See '{command} --help'.", 2)
    except click.ClickException as error:
        fail(error.format_message(), 2)
    except MetavAuditError as error:
        fail(str(error), error.exit_code)
    except BaseException as error:
        _end(error)
    sys.exit(code)


def _end(error: BaseException) -> NoReturn:
    """End by what nobody raised on purpose."""
    if isinstance(error, ModuleNotFoundError) and error.name in _EXTRAS:
        extra = _EXTRAS[error.name]
        fail(f"{error.name} is not installed, and this command needs it: pip install 'metav-audit[{extra}]'", 2)
    if isinstance(error, MemoryError):
        end_of_memory()
    if is_output(error):
        end_without_output(error)
    end_by_a_fault(error)


def _end_like_ctrl_c() -> None:
    """Let SIGTERM, which schedulers send, end the program as Ctrl-C does: cleanly, and to be resumed."""
    import signal
    import threading

    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
