"""The line on which an endpoint's table begins, however the file is written."""

from __future__ import annotations

import tomllib

import pytest

from metav_audit.audit import table_lines

FILES = {
    "a table": ('# ours\n\n[endpoints.a]\nadapter = "x"\n[endpoints.b]\nadapter = "x"\n', {"a": 3, "b": 5}),
    "blanks and quotes": ("  [ endpoints . 'a' ]\n[endpoints.\"b.c\"] # why\n", {"a": 1, "b.c": 2}),
    "tables below it first": ('[endpoints.a.headers]\nX = "1"\n[endpoints.a]\nadapter = "x"\n', {"a": 3}),
    "tables below it alone": ("[operator]\n[endpoints.a.headers]\n[endpoints.a.limits]\n", {"a": 2}),
    "one line": ('[endpoints]\na = { adapter = "x" }\n', {"a": 1}),
    "no table": ('endpoints.a.adapter = "x"\n', {}),
    "in a text": ('[endpoints.b]\nx = """\n[endpoints.a]\n"""\n[endpoints.a]\n', {"a": 5, "b": 1}),
    "in a literal text": ("[endpoints.b]\nx = '''\n[endpoints.a]'''\n[endpoints.a]\n", {"a": 4, "b": 1}),
    "in a comment": ("# [endpoints.a]\n# it's \"\"\" here\n[endpoints.a]\n", {"a": 3}),
    "quotes in texts": ('x = "# \\" [endpoints.a]"\ny = \'"""\'\n[endpoints.a] # it\'s\n', {"a": 3}),
    "other line ends": ("[operator]\r\n[endpoints.a]\r\n", {"a": 2}),
    "a list": ('x = [\n  ["endpoints"],\n]\n[endpoints.a]\n', {"a": 4}),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_the_line_of_each_table_is_found(case):
    """Comments and texts of several lines hold no table."""
    content, lines = FILES[case]
    names = tomllib.loads(content)["endpoints"]
    assert table_lines(content, names) == lines


def test_a_large_file_takes_no_time():
    """A file of 5,000 tables, each with a text that is hard to read."""
    content = "".join(f'[endpoints.e{number}]\nbody = """a"b""c\\"""""\n' for number in range(5000))
    assert table_lines(content, ["e4999"]) == {"e4999": 9999}
