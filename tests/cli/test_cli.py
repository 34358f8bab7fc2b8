"""The command line as a whole: help, and one clear line for whatever is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tomllib

import pytest

from metav_audit.cli import COMMANDS, main
from tests.builders import make_bundle
from tests.toy import PROJECT, install_presets, write_toy


@pytest.fixture
def run(capsys):
    """Run the command line in this process; return exit code, stdout and stderr."""

    def call(*words):
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        shown = capsys.readouterr()
        assert "Traceback" not in shown.out + shown.err
        return end.value.code or 0, shown.out, shown.err

    return call


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_fits_80_columns(run, command):
    """Each command's help is text of 80 columns that says what it does and what its options are."""
    code, out, err = run(*([command] if command else []), "--help")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    assert out.startswith(f"Usage: metav-audit {command or '[OPTIONS]'}")
    assert "--help" in out


def test_the_list_of_commands_is_whole(run):
    """Each command stands in the help with its summary."""
    out = " ".join(run("--help")[1].split())
    assert all(f"{name} {summary}" in out for name, summary in COMMANDS.items())


def test_help_loads_nothing_heavy():
    """No help needs torch, numpy, pandas, httpx, matplotlib or pydantic."""
    program = (
        "import sys\nfrom metav_audit.cli import COMMANDS, main\n"
        "for words in [['--help'], *([name, '--help'] for name in COMMANDS)]:\n"
        "    try: main(words)\n    except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'pandas', 'httpx', 'matplotlib', 'pydantic', 'joblib', 'sklearn', 'safetensors',\n"
        "    'cryptography'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def best_time(program, runs=5):
    """The shortest wall time of several runs, in seconds."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL, check=False)
        times.append(time.perf_counter() - start)
    return min(times)


def test_help_is_quick():
    """Help takes no more than three times as long as importing click."""
    helped = best_time("import sys; sys.argv = ['metav-audit', '--help']; from metav_audit.cli import main; main()")
    assert helped <= 3 * best_time("import click")


def test_the_version_is_printed(run):
    """--version names program and version."""
    assert run("--version")[1].startswith("metav-audit, version ")


def test_init_writes_a_project_file_that_parses(run, tmp_path):
    """The commented file is TOML with every table, and is accepted as a project."""
    from metav_audit.zoo.project import load_project

    code, out, _ = run("init", tmp_path / "new")
    path = tmp_path / "new" / "project.toml"
    assert (code, out.strip()) == (0, str(path))
    assert {"name", "task", "target", "data", "zoo", "fingerprint", "rates"} <= tomllib.loads(path.read_text()).keys()
    assert load_project(path).task.output.size == 3


def test_an_option_may_come_from_the_environment(run, tmp_path, monkeypatch):
    """METAV_AUDIT_<COMMAND>_<OPTION> stands for an option, and is checked like one."""
    monkeypatch.setenv("METAV_AUDIT_REPORT_FORMAT", "papyrus")
    code, _, err = run("report", tmp_path)
    assert (code, err.count("\n")) == (2, 1)
    assert "'papyrus' is not one of 'csv', 'pdf', 'html', 'json'" in err


def test_a_zoo_and_a_bundle_on_the_command_line(run, tmp_path):
    """zoo trains, fit fits, and a second fit says that nothing is to do; data go to stdout."""
    install_presets()
    write_toy(tmp_path, preset='"mini"')
    code, out, _ = run("zoo", tmp_path, "--jobs", 1)
    assert (code, out) == (0, f"4 derived and 5 independent models in {tmp_path / 'zoo'}\n")
    first = run("fit", tmp_path, "--jobs", 1)
    again = run("fit", tmp_path, "--jobs", 1)
    assert (first[0], again[0]) == (0, 0)
    assert first[1] == again[1]
    assert first[1].startswith(f"{tmp_path / 'toy.bundle'}  sha256 ")
    assert "nothing to do" in again[2]


def test_a_targeted_bundle_on_the_command_line(run, tmp_path):
    """fit says whose bits it spelled; another identity, by option or variable, is fitted again."""
    install_presets()
    write_toy(tmp_path, preset='"mini"')
    words = ("fit", tmp_path, "--jobs", 1, "--method", "fitprint", "--nonce", "ab" * 32)
    first, again = run(*words), run(*words, "--identity", "Toy & Sons Ltd")
    other = run(*words, "--identity", "Rival Inc")
    assert (first[0], again[0], other[0]) == (0, 0, 0)
    assert f"identity 'Toy & Sons Ltd', nonce {'ab' * 32}" in first[2]
    assert "nothing to do" in again[2]
    assert "identity 'Rival Inc'" in other[2]
    assert first[1] == again[1] != other[1]


def project(**changes):
    return lambda folder: write_toy(folder, **changes)


def text(content):
    return lambda folder: (folder / "project.toml").write_text(content)


def bundle_there(folder):
    write_toy(folder)
    make_bundle().save(folder / "bundle")


def data_torn(folder):
    write_toy(folder, preset='"quick"')
    (folder / "train.npz").write_bytes(b"PK\x03\x04")


def weights_torn(folder):
    write_toy(folder, preset='"quick"')
    (folder / "target.safetensors").write_bytes(b"torn")


def nothing(folder):
    pass


BAD_INPUTS = [
    # words ("@" stands for the folder), what lies in the folder, exit code, what is said
    (["frobnicate"], nothing, 2, "No such command 'frobnicate'"),
    (["--frobnicate"], nothing, 2, "No such option"),
    (["zoo"], nothing, 2, "Missing argument 'PROJECT'"),
    (["audit", "@"], nothing, 2, "Missing argument 'ENDPOINTS'"),
    (["zoo", "@", "more"], nothing, 2, "unexpected extra argument"),
    (["zoo", "@", "--jobs", "0"], nothing, 2, "--jobs"),
    (["zoo", "@", "--jobs", "many"], nothing, 2, "--jobs"),
    (["demo", "--seed", "-1"], nothing, 2, "--seed"),
    (["report", "@", "--format", "papyrus"], nothing, 2, "'papyrus' is not one of"),
    (["verify", "@", "--format", "papyrus"], nothing, 2, "'papyrus' is not one of"),
    (["evaluate"], nothing, 2, "Missing argument 'PROJECT"),
    (["init", "@"], text("# mine"), 2, "exists: choose another folder"),
    (["init", "@/file/x"], lambda folder: (folder / "file").write_text(""), 2, "cannot write"),
    (["init", "@/new", "--digits", "--preset", "enormous"], nothing, 2, "'enormous' is unknown: use one of quick"),
    (["zoo", "@"], nothing, 2, "'metav-audit init' writes one"),
    (["zoo", "@/none.toml"], nothing, 2, "No such file"),
    (["fit", "@"], nothing, 2, "cannot read the project file"),
    (["evaluate", "@"], nothing, 2, "cannot read the project file"),
    (["zoo", "@"], text("= nonsense"), 2, "is not TOML"),
    (["zoo", "@"], lambda folder: (folder / "project.toml").write_bytes(b"\xff\xfe"), 2, "not UTF-8"),
    (["zoo", "@"], text(PROJECT + "\n[surprise]\n"), 2, "surprise: this key is unknown"),
    (["zoo", "@"], text(PROJECT.replace('"image"', '"smell"')), 2, "'smell' is unknown"),
    (["zoo", "@"], project(preset='"enormous"'), 2, "'enormous' is unknown: use one of quick"),
    (
        ["zoo", "@", "--jobs", "1"],
        project(preset='"quick"', architectures='["perceiver"]'),
        2,
        "'perceiver' is unknown",
    ),
    (["zoo", "@"], project(preset='"quick"', architectures="[]"), 2, "at least one architecture"),
    (["fit", "@", "--method", "magic"], project(), 2, "use one of metav, ipguard"),
    (["fit", "@", "--method", "fitprint"], project(identity=""), 2, "needs the owner's identity: give --identity"),
    (["fit", "@", "--method", "fitprint", "--identity", " "], project(), 2, "the owner's identity is one line"),
    (["fit", "@", "--method", "fitprint", "--nonce", "12"], project(), 2, "a nonce is 32 bytes"),
    (["fit", "@", "--identity", "Toy"], project(), 2, "are for --method fitprint"),
    (["evaluate", "@", "--method", "fitprint", "--jobs", "1"], project(identity=""), 2, "needs the owner's identity"),
    (["evaluate", "@", "--method", "magic"], project(), 2, "use one of metav, ipguard"),
    (["evaluate", "@", "--jobs", "1"], project(preset='"mini"'), 2, "fewer than 5 useful test models"),
    (["zoo", "@"], project(train='"none.npz"'), 2, "none.npz: No such file"),
    (["zoo", "@"], project(train='"no_such:data"'), 2, "cannot import train data"),
    (["zoo", "@"], data_torn, 2, "no .npz file of plain arrays"),
    (["zoo", "@"], weights_torn, 2, "cannot read the target's weights"),
    (["zoo", "@"], project(weights='"none.safetensors"'), 2, "cannot read the target's weights"),
    (["zoo", "@"], project(model='"no_such:network"'), 2, "cannot import target model"),
    (["zoo", "@"], project(model='"none.pt2"', weights=""), 2, "there is no such file"),
    (["zoo", "@"], project(model='"tests.zoo.test_target:pair"', weights=""), 2, "the task wants (2, 3)"),
    (["zoo", "@"], project(labels='["a", "b"]'), 2, "the task has classes 0 .. 1"),
    (["zoo", "@", "--jobs", "1"], project(store='"train.npz/zoo"', preset='"mini"'), 2, "cannot write"),
    (["fit", "@", "-o", "@", "--jobs", "1"], project(preset='"mini"'), 2, "exists and is no bundle"),
    (["audit", "@/none", "@/endpoints.toml"], nothing, 2, "there is no bundle"),
    (["audit", "@", "@/endpoints.toml"], project(), 2, "is a project, no bundle: 'metav-audit fit"),
    (["audit", "@/project.toml", "@/endpoints.toml"], project(), 2, "is a project, no bundle: 'metav-audit fit"),
    (["audit", "@/bundle", "@/endpoints.toml"], bundle_there, 2, "endpoints.toml"),
    (["audit", "@/bundle", "@/project.toml"], bundle_there, 2, "project.toml"),
    (["verify", "@/none"], nothing, 2, "none"),
    (["report", "@/none"], nothing, 2, "none"),
    (["report", "@"], project(), 2, "metav-audit"),
]
"""Together with the cases of tests/audit/test_cli.py: everything a user may get wrong on the command line."""


@pytest.mark.parametrize(
    ("words", "prepare", "code", "said"), BAD_INPUTS, ids=[f"{case[0][0]}-{case[3][:30]}" for case in BAD_INPUTS]
)
def test_whatever_is_wrong_is_one_line_and_the_documented_exit_code(run, tmp_path, words, prepare, code, said):
    """One line on stderr that names what is wrong, nothing on stdout, no traceback, 2 or 4."""
    install_presets()
    prepare(tmp_path)
    got, out, err = run(*(word.replace("@", str(tmp_path)) for word in words))
    complaints = [line for line in err.splitlines() if not line.startswith(("zoo: models", "toy, seed 7: models"))]
    assert (got, out, len(complaints)) == (code, "", 1), err
    assert complaints[0].startswith("metav-audit: ")
    assert said in complaints[0]


def test_no_arguments_show_the_help(run):
    """Called bare, the program shows how it is used and exits with 2."""
    code, _, err = run()
    assert code == 2
    assert "Commands:" in err


def test_a_real_process_shows_no_traceback_either(tmp_path):
    """The installed entry point in a process of its own: one line, exit code 2."""
    command = [sys.executable, "-c", "from metav_audit.cli import main; main()", "zoo", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "80"})
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


MISSPELT = [
    (["audt"], {}, "No such command 'audt'; did you mean 'audit'?"),
    (["zoo", "--jbs", "1"], {}, "Did you mean '--jobs'?"),
    (["zoo", "."], {"METAV_AUDIT_ZOO_JOBBS": "1"}, "names no option; did you mean 'METAV_AUDIT_ZOO_JOBS'?"),
    (["zoo", "."], {"METAV_AUDIT_ZOO_XYZZY": "1"}, "METAV_AUDIT_ZOO_XYZZY names no option"),
    (["audit", "b", "e"], {"METAV_AUDIT_DRY_RUN": "1"}, "by no command; did you mean 'METAV_AUDIT_AUDIT_DRY_RUN'?"),
    (["zoo", "."], {"METAV_AUDIT_KEY_PASPHRASE": "1"}, "did you mean 'METAV_AUDIT_KEY_PASSPHRASE'?"),
    (["log", "seal"], {"METAV_AUDIT_LOG_SEAL_OUTPT": "x"}, "did you mean 'METAV_AUDIT_LOG_SEAL_OUTPUT'?"),
]


@pytest.mark.parametrize(("words", "variables", "said"), MISSPELT)
def test_what_is_misspelt_is_told_with_the_nearest_right_one(words, variables, said, capsys, monkeypatch):
    """A command, an option, a variable of its own: exit code 2, and what may have been meant."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert said in capsys.readouterr().err


def test_a_variable_that_no_command_reads_is_warned_of(capsys, monkeypatch):
    """It may be meant for a script of the operator's: the command goes on."""
    monkeypatch.setenv("METAV_AUDIT_TOKEN", "x")
    with pytest.raises(SystemExit) as end:
        main(["adapters"])
    assert not end.value.code
    assert "METAV_AUDIT_TOKEN is read by no command" in capsys.readouterr().err
    monkeypatch.setenv("METAV_AUDIT_ZOO_JOBS", "x")
    with pytest.raises(SystemExit) as end:
        main(["adapters"])
    assert not end.value.code, "what other commands read is theirs"
