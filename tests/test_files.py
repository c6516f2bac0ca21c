"""Files that another process or a later run reads are replaced as a whole.

Half a state file is a stack that no command can read any more, and half a pointer file stops every reader.
"""

import ast
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import files
from pipeline.files import replace_file

PROJECT = Path(__file__).resolve().parent.parent
ROOMS = (
    *("compaction_handler", "compaction_worker", "embed_lambda", "one_consumer", "ops", "pipeline", "stack"),
    "upload_images",
)
REASONS = {
    ("pipeline/files.py", "replace_file"): "the helper",
    ("compaction_handler/storing.py", "copy_version"): "into a directory that becomes visible by a rename",
    ("compaction_handler/working_copy.py", "asked"): "the working copy of one process, discarded after any doubt",
    ("compaction_handler/storing.py", "_locked"): "a lock, whose content nobody reads",
    ("one_consumer/pack/installed.py", "write_folder"): "the guard imports no other folder; it writes the same again",
    ("ops/console.py", "on_broken_pipe"): "to nowhere: the null device",
    ("ops/dead_letters/acting.py", "discard"): "a new file, complete and fsynced before anything is deleted",
    ("ops/local/children.py", "start"): "a log",
    ("ops/local/stack.py", "_alone"): "a lock, whose content nobody reads",
    ("ops/local/stack.py", "_start"): "a log",
    ("ops/local/timeline.py", "record"): "a log: one line an event, and readers leave out a part of one",
    ("ops/stacks/account.py", "preview"): "in a temporary directory, for one command",
    ("pipeline/collections/chroma.py", "clear_unused_places"): "a private copy, before anybody opens it",
    ("pipeline/collections/chroma.py", "open_private"): "a private copy, before anybody opens it",
    ("pipeline/collections/export.py", "_write"): "into a directory that becomes visible by a rename",
    ("pipeline/collections/export.py", "_hashed"): "into a directory that becomes visible by a rename",
    ("pipeline/collections/files.py", "copy_file"): "into a directory that becomes visible by a rename",
    ("pipeline/collections/missed.py", "missed_files"): "into memory",
    ("pipeline/collections/private.py", "_lock"): "a lock, whose content nobody reads",
    ("pipeline/collections/vectors.py", "__init__"): "the working copy of one process, sealed by digests",
    ("pipeline/collections/vectors.py", "create"): "the working copy of one process, sealed by digests",
    ("pipeline/collections/versions.py", "download_version"): "into a directory that becomes visible by a rename",
    ("pipeline/objects.py", "_get_whole"): "into a directory that becomes visible by a rename, by digest",
    ("pipeline/objects.py", "_get_in_parts"): "into a directory that becomes visible by a rename, by digest",
}
"""Where a file is written directly, and why that is sound."""
WRITERS = {"write_text", "write_bytes", "copy", "copy2", "copyfile", "copytree", "move", "savez"}
STREAM_WRITERS = {("json", "dump"), ("np", "save"), ("pickle", "dump"), ("yaml", "dump"), ("shutil", "copyfileobj")}
WRITING_FLAGS = {"O_WRONLY", "O_RDWR", "O_CREAT"}
KILLED = """
import os, signal, sys
from pathlib import Path
from pipeline import files

files.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
files.replace_file(Path(sys.argv[1]), "new", is_durable=True)
"""


def writes(call: ast.Call) -> bool:
    """Whether a call writes a file by itself; a library's own files, such as SQLite's, are not seen."""
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    owner = function.value.id if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) else ""
    if (owner, name) in STREAM_WRITERS:
        return True
    if name in WRITERS:
        return name not in ("copy", "move") or owner == "shutil"
    if name != "open":
        return False
    words = [node for argument in (*call.args, *(item.value for item in call.keywords)) for node in ast.walk(argument)]
    modes = [node.value for node in words if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    flags = [node.attr for node in words if isinstance(node, ast.Attribute)]
    return any(set(mode) <= set("rwxabt+") and set(mode) & set("wxa+") for mode in modes) or bool(
        WRITING_FLAGS & set(flags)
    )


def direct_writes(tree: ast.AST, function: str = "") -> Iterator[str]:
    """The functions of a module that write a file directly."""
    for node in ast.iter_child_nodes(tree):
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if isinstance(node, ast.Call) and writes(node):
            yield function
        yield from direct_writes(node, node.name if is_function else function)


def test_production_code_replaces_files_as_a_whole_or_says_here_why_not():
    found = {
        (str(path.relative_to(PROJECT)), function)
        for room in ROOMS
        for path in (PROJECT / room).rglob("*.py")
        if "tests" not in path.parts
        for function in direct_writes(ast.parse(path.read_text()))
    }
    assert found == REASONS.keys()


@pytest.mark.parametrize(
    ("line", "is_direct"),
    [
        ("path.write_text('a')", True),
        ("open(path, 'w')", True),
        ("path.open(mode='ab')", True),
        ("path.open('r+b')", True),
        ("path.open('r+b' if writable else 'rb')", True),
        ("json.dump(value, file)", True),
        ("shutil.copy(one, other)", True),
        ("os.open(path, os.O_WRONLY | os.O_CREAT)", True),
        ("path.open('rb')", False),
        ("open(path)", False),
        ("values.copy()", False),
        ("json.dumps(value)", False),
        ("os.open(path, os.O_RDONLY)", False),
    ],
)
def test_what_counts_as_a_direct_write(line, is_direct):
    assert list(direct_writes(ast.parse(f"def f():\n    {line}"))) == (["f"] if is_direct else [])


def test_the_new_content_replaces_the_old_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "state.json"
    replace_file(path, "größer")
    replace_file(path, b"\x00")
    assert path.read_bytes() == b"\x00"
    replace_file(path, "größer", is_durable=True)
    assert path.read_text(encoding="utf-8") == "größer"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_nobody_else_may_read_is_never_readable_for_others(tmp_path, monkeypatch):
    path, seen = tmp_path / "key", []
    partial = path.with_name(f"{path.name}{files.PARTIAL_SUFFIX}")
    # One that a killed process left, for all to read.
    partial.write_text("half")
    monkeypatch.setattr(files, "fsync", lambda written: seen.append(stat.S_IMODE(written.stat().st_mode)))
    replace_file(path, "secret", mode=0o600, is_durable=True)
    assert seen[0] == stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_disk_that_fails_leaves_the_old_content_and_no_part_of_the_new(tmp_path, monkeypatch):
    path = tmp_path / "state.json"
    replace_file(path, "old")

    def fail(_: Path) -> None:
        raise OSError("no space")

    monkeypatch.setattr(files, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        replace_file(path, "new", is_durable=True)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_process_that_is_killed_while_it_writes_leaves_the_old_content_and_the_next_write_succeeds(tmp_path):
    path = tmp_path / "state.json"
    replace_file(path, "old")
    ended = subprocess.run([sys.executable, "-c", KILLED, path], cwd=PROJECT, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    replace_file(path, "newer", is_durable=True)
    assert path.read_text() == "newer"
    assert list(tmp_path.iterdir()) == [path]


def test_durable_means_content_before_name_and_name_before_return(tmp_path, monkeypatch):
    path, order = tmp_path / "CURRENT", []
    replace, sync = Path.replace, os.fsync
    monkeypatch.setattr(files, "fsync", lambda place: (order.append(place.name), sync_of(place)))
    monkeypatch.setattr(Path, "replace", lambda source, target: (order.append("rename"), replace(source, target))[1])

    def sync_of(place: Path) -> None:
        descriptor = os.open(place, os.O_RDONLY)
        sync(descriptor)
        os.close(descriptor)

    replace_file(path, "one", is_durable=True)
    assert order == [f"CURRENT{files.PARTIAL_SUFFIX}", "rename", tmp_path.name]
