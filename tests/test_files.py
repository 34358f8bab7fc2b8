"""Files that stand whole or not at all, strict JSON, and progress lines."""

from __future__ import annotations

import io
import os
import stat

import pytest

from metav_audit.errors import ConfigurationError
from metav_audit.files import files_below, open_regular, read_regular, strict_json, write_atomically
from metav_audit.progress import ProgressLine


def test_a_file_is_replaced_whole(tmp_path):
    """Folders are made, the older content is gone, nothing else is left."""
    path = tmp_path / "a" / "b.txt"
    write_atomically(path, b"first, and longer")
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert os.listdir(path.parent) == ["b.txt"]


def test_a_file_may_be_its_owner_s_alone(tmp_path):
    """The mode is the one asked for; the usual one lets everybody read."""
    for mode in (0o600, 0o644):
        write_atomically(tmp_path / "a", b"content", mode=mode)
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode
    write_atomically(tmp_path / "b", b"content")
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o644


def test_the_umask_says_who_may_read(tmp_path):
    """A process that keeps its files to itself gets no file that others may read, whoever writes it."""
    before = os.umask(0o077)
    try:
        write_atomically(tmp_path / "a", b"content")
        os.umask(0o027)
        write_atomically(tmp_path / "b", b"content")
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab"] == [0o600, 0o640]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_write_leaves_the_old_file_and_no_debris(tmp_path, monkeypatch, stop):
    """Stopped before the rename, the old content stands alone."""
    write_atomically(tmp_path / "a", b"old")

    def fail(*_):
        raise stop

    monkeypatch.setattr(os, "replace", fail)
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises((KeyboardInterrupt, ConfigurationError)):
        write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", '{"a": -Infinity}', "1e999", "-1e999", "", "{", "'a'", "[" * 100_000, b"\xff"]
)
def test_what_is_not_json_is_a_value_error(text):
    """NaN, infinities, numbers beyond a float, and anything torn or nested without end."""
    with pytest.raises(ValueError):  # noqa: PT011 - any of json's own messages will do
        strict_json(text)


def test_json_is_read():
    """Numbers keep their kind."""
    assert strict_json(b'{"a": [1, 1.5, 1e-400, "x", null]}') == {"a": [1, 1.5, 0.0, "x", None]}


def lay(path, kind):
    """Something that is no file, where a file is looked for."""
    private = path.parent / "private.key"
    private.write_bytes(b"PRIVATE")
    if kind == "link":
        path.symlink_to(private)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "environment":
        path.symlink_to("/proc/self/environ")
    else:
        path.mkdir()
    return path


SPECIAL = ["link", "fifo", "device", "environment", "folder"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("open_", [open_regular, lambda path: read_regular(path, 1 << 20)])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, kind, open_):
    """A link, a pipe nobody writes into, an endless device, the process's environment, a folder."""
    with pytest.raises(OSError, match=r"link|no regular file"):
        open_(lay(tmp_path / "commitment.json", kind))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["fifo", "device", "environment", "folder"])
def test_what_the_operator_named_is_followed_but_must_be_a_file(tmp_path, kind):
    """A link named on the command line leads to a regular file, or is refused as well."""
    path = lay(tmp_path / "endpoints.toml", kind)
    with pytest.raises(OSError, match=r"no regular file|larger|changes while"):
        read_regular(path, 1 << 20, follow=True)
    assert read_regular(lay(tmp_path / "linked.toml", "link"), 7, follow=True) == b"PRIVATE"


def test_a_file_larger_than_it_may_be_is_not_read(tmp_path):
    """A sparse file of a terabyte costs nothing."""
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="larger than 1000 bytes"):
        read_regular(tmp_path / "huge", 1000)


@pytest.mark.parametrize("kind", ["link", "fifo", "device"])
def test_a_folder_s_files_are_regular(tmp_path, kind):
    """Files below are named with slashes; a link or pipe among them is refused, and so are too many."""
    (tmp_path / "bundle").mkdir()
    for name in ("verdict.json", "bundle/manifest.json"):
        (tmp_path / name).write_bytes(b"{}")
    assert sorted(files_below(tmp_path)) == ["bundle/manifest.json", "verdict.json"]
    with pytest.raises(OSError, match="more than 2 files"):
        list(files_below(tmp_path, most=2))
    lay(tmp_path / "bundle" / "commitment.json", kind)
    with pytest.raises(OSError, match=r"bundle/commitment.json is a link or no regular file"):
        list(files_below(tmp_path))


class Terminal(io.StringIO):
    def isatty(self):
        return True


def told(stream, calls, seconds=10.0):
    now = iter([seconds * number for number in range(100)])
    line = ProgressLine("models", stream, lambda: next(now))
    for done, total in calls:
        line(done, total)
    return stream.getvalue()


def test_progress_elsewhere_is_a_line_each_quarter():
    """In a log, at most five lines, with an estimate of the time left."""
    lines = told(io.StringIO(), [(done, 40) for done in range(41)]).splitlines()
    assert [line.split(",")[0] for line in lines] == [f"models {done}/40" for done in (0, 10, 20, 30, 40)]
    assert lines[1].endswith("about 5 min left")
    assert lines[-1] == "models 40/40"


def test_progress_on_a_terminal_is_one_line():
    """The line is rewritten, and ended once."""
    text = told(Terminal(), [(0, 2), (1, 2), (2, 2)])
    assert text.count("\n") == 1
    assert text.endswith("models 2/2\n")
    assert "about 10 s left" in text


def test_nothing_to_do_is_silent_in_a_log():
    """No line for no work."""
    assert told(io.StringIO(), [(0, 0)]) == ""


@pytest.mark.parametrize("text", ['{"a": 1, "a": 1}', '[{"b": {"a": 1, "c": 2, "a": 3}}]', r'{"a": 1, "\u0061": 2}'])
def test_a_key_named_twice_is_a_value_error(text):
    """Two readers may take one or the other, at whatever depth and however it is spelt."""
    with pytest.raises(ValueError, match="is named twice"):
        strict_json(text)
