"""A ``.pt2`` file looked through before torch opens it: torch unpickles and evaluates what it finds there.

What ``torch.export.save`` writes of an ordinary model passes: numbers, JSON, and example inputs in a pickle of plain
tensors. Refused is all by which opening the file would run code: other pickles, custom objects, compiled libraries,
expressions and guards that are no arithmetic, operators from outside torch's own namespaces, and operators on files.
A program that passes is a program still, and computes what it likes: it may be slow, or large.
"""

from __future__ import annotations

import ast
import io
import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metav_audit.errors import DataError
from metav_audit.files import open_regular, strict_json

MAX_JSON_BYTES = 1 << 28
_PLAIN = re.compile(
    r"archive_format|archive_version|byteorder|version|\.data/\w+|\.format_version|\.storage_alignment"
    r"|data/weights/weight_\d+|data/constants/tensor_\d+|extra/[\w./-]+"
)
_JSON = re.compile(r"models/\w+\.json|data/(weights|constants)/\w+_config\.json")
_PICKLE = re.compile(r"data/sample_inputs/\w+\.pt")
_OLD_PICKLE = re.compile(r"serialized_(state_dict|constants|example_inputs)\.pt")
_OLD_JSON = "serialized_exported_program.json"
_TENSORS = re.compile(r"data\.pkl|byteorder|version|\.data/\w+|\.format_version|\.storage_alignment|data/\d+")
_GLOBALS = re.compile(
    r"torch\._utils (_rebuild_tensor_v2|_rebuild_parameter)|torch \w+Storage|collections OrderedDict|torch device"
    r"|torch (float|int|uint|bool|bfloat|complex)\w*"
)
_RUNS_CODE = {"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"}
_OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims|prim|quantized|torchvision)\.(?!from_file|save|load)[a-z_0-9]+\.\w+"
    r"|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|pos|pow|eq|ne|lt|le|gt|ge|and_|or_|not_)"
    r"|math\.(trunc|floor|ceil|sqrt)|torch\.sym_(int|float|min|max|not|ite|sum)"
)
_ARITHMETIC = (
    ast.Expression, ast.Call, ast.keyword, ast.Name, ast.Load, ast.Constant, ast.BinOp, ast.UnaryOp, ast.BoolOp,
    ast.Compare, ast.Tuple, ast.operator, ast.unaryop, ast.boolop, ast.cmpop,
)  # fmt: skip
_GUARD = (*_ARITHMETIC, ast.Attribute, ast.Subscript)
_NAME = re.compile(
    r"Symbol|Integer|Float|Rational|Max|Min|Pow|Mod|PythonMod|FloorDiv|CleanDiv|CeilDiv|ModularIndexing|Where|floor"
    r"|ceiling|Eq|Ne|Lt|Le|Gt|Ge|And|Or|Not|\w+ToInt|\w+ToFloat|ToFloat|PowByNatural|FloatPow|FloatTrueDiv|IntTrueDiv"
    r"|LShift|RShift|RoundDecimal|Identity|oo|int_oo|True|False|L|(s|u|zuf|i)\d+"
)


def check_exported(path: Path) -> None:
    """Look through a ``.pt2`` file.

    Raises:
        DataError: it is no archive, or holds what would run code when it is opened; the message says what.
        OSError: it cannot be read, or is no regular file.
    """
    try:
        with open_regular(path, follow=True) as file, zipfile.ZipFile(file) as archive:
            for name, entry in _entries(archive):
                _check_entry(archive, name, entry)
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, RecursionError) as error:
        raise DataError(f"{path} is no program that torch.export.save wrote: {error}") from error


def _entries(archive: zipfile.ZipFile) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """Yield the entries by their names in the archive's one folder, or at its top; each name once, uncompressed."""
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if len(set(names)) < len(names) or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("it holds a name twice, or compressed parts")
    tops = {name.partition("/")[0] for name in names}
    inner = len(tops) == 1 and all("/" in name for name in names)
    for entry in entries:
        yield entry.filename.partition("/")[2] if inner else entry.filename, entry


def _check_entry(archive: zipfile.ZipFile, name: str, entry: zipfile.ZipInfo) -> None:
    if _JSON.fullmatch(name) or name == _OLD_JSON:
        if entry.file_size > MAX_JSON_BYTES:
            raise ValueError(f"{name} is larger than {MAX_JSON_BYTES} bytes")
        for key, value in _leaves(strict_json(archive.read(entry))):
            _check_leaf(name, key, value)
    elif _PICKLE.fullmatch(name) or _OLD_PICKLE.fullmatch(name):
        _check_tensors(name, archive.read(entry))
    elif not _PLAIN.fullmatch(name):
        raise ValueError(_refusal(f"{name[:80]!r}, which may run code"))


def _check_tensors(name: str, content: bytes) -> None:
    """Check what ``torch.save`` wrote: an archive whose one pickle builds plain tensors."""
    if not content:
        return
    if not content.startswith(b"PK"):
        raise ValueError(_refusal(f"{name}, a bare pickle"))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for inner, entry in _entries(archive):
            if not _TENSORS.fullmatch(inner):
                raise ValueError(_refusal(f"{inner[:80]!r} in {name}"))
            if inner == "data.pkl":
                _check_pickle(name, archive.read(entry))


def _check_pickle(name: str, content: bytes) -> None:
    for code, argument, _ in pickletools.genops(content):
        wild = code.name == "GLOBAL" and not _GLOBALS.fullmatch(str(argument))
        if wild or code.name in _RUNS_CODE:
            raise ValueError(_refusal(f"a pickle in {name} that names {str(argument)[:80]!r}"))


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _leaves(part, name)
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part, key)
    else:
        yield key, value


def _check_leaf(name: str, key: str, value: Any) -> None:
    if key == "use_pickle" and value is not False:
        raise ValueError(_refusal(f"weights that {name} calls a pickle"))
    if not isinstance(value, str):
        return
    if key == "target" and not _OPERATOR.fullmatch(value):
        raise ValueError(_refusal(f"the operator {value[:80]!r}, which is none of torch's own"))
    if key in ("expr_str", "guards_code"):
        _check_arithmetic(value, _ARITHMETIC if key == "expr_str" else _GUARD)
    if key.endswith("_spec") and ("__enum__" in value or "import" in value):
        raise ValueError(_refusal("a form of inputs or outputs that names a module"))
    if key in ("name", "as_name") and not re.fullmatch(r"[\w.]*", value):
        raise ValueError(_refusal(f"the name {value[:80]!r}"))


def _check_arithmetic(text: str, allowed: tuple[type[ast.AST], ...]) -> None:
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, MemoryError):
        raise ValueError(_refusal(f"the expression {text[:80]!r}")) from None
    for node in nodes:
        named = isinstance(node, ast.Name) and not _NAME.fullmatch(node.id)
        quoted = isinstance(node, ast.Constant) and isinstance(node.value, str) and not node.value.isidentifier()
        reached = isinstance(node, ast.Attribute) and node.attr not in ("size", "shape")
        if not isinstance(node, allowed) or named or quoted or reached:
            raise ValueError(_refusal(f"an expression that is no arithmetic: {text[:80]!r}"))


def _refusal(what: str) -> str:
    return f"it holds {what}: it is not opened; export the model again, or bring it as module:function if it is yours"
