"""No path leads out of a workspace, whatever lies in it and whatever happens meanwhile; and files change at once."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from programs.errors import ToolFailed
from programs.tools.staging import Change
from programs.tools.walking import walk
from programs.tools.workspace import Workspace, tenant_folder

SECRET = b"the secret outside"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_bytes(SECRET)
    return folder


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    root = tmp_path / "inside"
    root.mkdir()
    (root / "folder").mkdir()
    (root / "folder" / "file").write_bytes(b"inside")
    return Workspace(root)


Make = Callable[[Path, Path], str]


def _relative(root: Path, outside: Path) -> str:
    return "../outside/secret"


def _through_a_folder(root: Path, outside: Path) -> str:
    return "folder/../../outside/secret"


def _absolute(root: Path, outside: Path) -> str:
    return str(outside / "secret")


def _absolute_and_up(root: Path, outside: Path) -> str:
    return f"{root}/../outside/secret"


def _begins_like_the_root(root: Path, outside: Path) -> str:
    (root.parent / "inside-too").symlink_to(outside)
    return f"{root}-too/secret"


def _link(root: Path, outside: Path) -> str:
    (root / "link").symlink_to(outside / "secret")
    return "link"


def _relative_link(root: Path, outside: Path) -> str:
    (root / "folder" / "link").symlink_to("../../outside/secret")
    return "folder/link"


def _link_to_a_folder(root: Path, outside: Path) -> str:
    (root / "link").symlink_to(outside)
    return "link/secret"


def _link_to_a_link(root: Path, outside: Path) -> str:
    (root / "one").symlink_to(root / "two")
    (root / "two").symlink_to("folder/../three")
    (root / "three").symlink_to(outside)
    return "one/secret"


def _link_to_the_parent(root: Path, outside: Path) -> str:
    (root / "folder" / "up").symlink_to("..")
    return "folder/up/../outside/secret"


def _magic_link(root: Path, outside: Path) -> str:
    (root / "cwd").symlink_to("/proc/self/cwd")
    return f"cwd/{os.path.relpath(outside)}/secret"


def _magic_root(root: Path, outside: Path) -> str:
    (root / "top").symlink_to("/proc/self/root")
    return f"top{outside}/secret"


WAYS_OUT: list[Make] = [
    _relative,
    _through_a_folder,
    _absolute,
    _absolute_and_up,
    _begins_like_the_root,
    _link,
    _relative_link,
    _link_to_a_folder,
    _link_to_a_link,
    _link_to_the_parent,
    _magic_link,
    _magic_root,
]


@pytest.mark.parametrize("make", WAYS_OUT, ids=lambda make: make.__name__.strip("_"))
def test_no_path_leads_out(workspace: Workspace, outside: Path, make: Make) -> None:
    path = make(workspace.root, outside)
    folder, _, _ = path.rpartition("/")
    new = f"{path}/new" if (workspace.root / folder).resolve().is_relative_to(workspace.root) else f"{folder}/new"
    for touch in (
        lambda: workspace.read(path),
        lambda: workspace.write(path, b"mine"),
        lambda: workspace.write(new, b"mine"),
        lambda: workspace.stat(path),
        lambda: walk(workspace, path),
    ):
        with pytest.raises(ToolFailed, match="is outside of the workspace"):
            touch()
    assert {file.name: file.read_bytes() for file in outside.iterdir()} == {"secret": SECRET}


def test_a_link_that_leads_out_can_itself_be_removed(workspace: Workspace, outside: Path) -> None:
    path = _link(workspace.root, outside)
    workspace.change([Change(path, None)])
    assert not os.path.lexists(workspace.root / path)
    assert (outside / "secret").read_bytes() == SECRET


def test_a_walk_follows_no_link(workspace: Workspace, outside: Path) -> None:
    (workspace.root / "out").symlink_to(outside)
    (workspace.root / "round").symlink_to(".")
    assert [entry.path for entry in walk(workspace).files] == ["folder/file"]


@pytest.mark.parametrize(
    "path",
    [
        "folder/file",
        "./folder//file",
        "folder/../folder/file",
        "{root}/folder/file",
        "link",
        "there/file",
        "there/far",
    ],
)
def test_paths_and_links_that_stay_inside_work(workspace: Workspace, path: str) -> None:
    (workspace.root / "link").symlink_to("there/../folder/file")
    (workspace.root / "there").symlink_to("folder")
    (workspace.root / "folder" / "far").symlink_to(workspace.root / "there" / "file")
    path = path.format(root=workspace.root)
    assert workspace.read(path) == b"inside"
    workspace.write(path, b"new")
    assert (workspace.root / "folder" / "file").read_bytes() == b"new"
    assert (workspace.root / "link").is_symlink()


def test_a_workspace_that_is_reached_by_a_link_takes_both_of_its_names(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "name").symlink_to(workspace.root)
    named = Workspace(tmp_path / "name")
    assert named.read(f"{tmp_path}/name/folder/file") == named.read(f"{workspace.root}/folder/file") == b"inside"


def test_links_in_a_circle_end(workspace: Workspace) -> None:
    (workspace.root / "a").symlink_to("b/x")
    (workspace.root / "b").symlink_to("a/x")
    with pytest.raises(ToolFailed, match="too many links"):
        workspace.read("a")


@pytest.mark.parametrize("path", ["", ".", "folder", "folder/..", "fifo", "socket", "zero"])
def test_only_regular_files_are_read_and_written(workspace: Workspace, path: str) -> None:
    os.mkfifo(workspace.root / "fifo")
    os.mkfifo(workspace.root / "socket")
    if path == "zero":
        try:
            os.mknod(workspace.root / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
        except PermissionError:
            pytest.skip("devices are made by root alone")
    with pytest.raises(ToolFailed, match="not a"):
        workspace.read(path)
    with pytest.raises(ToolFailed, match="not a"):
        workspace.write(path, b"x")


@pytest.mark.parametrize(
    "path", ["a\0b", "\ud800", "n" * 300, "/".join("d" * 1000), "folder/file/below", "../" * 300, "missing/file"]
)
def test_a_path_that_cannot_be_is_an_error_that_says_so(workspace: Workspace, path: str) -> None:
    with pytest.raises(ToolFailed):
        workspace.read(path)


def _swap(place: Path, inside: Path, other: Path, stop: threading.Event) -> None:
    """Make a path be two things in turn, as fast as can be."""
    while not stop.is_set():
        for one in (inside, other):
            try:
                one.rename(place)
            except OSError:
                # A write has made it, as it was not there; it may be writing there still.
                shutil.rmtree(place, ignore_errors=True)
            else:
                place.rename(one)


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_is_swapped_for_a_link_while_it_is_used_leads_nowhere(
    workspace: Workspace, outside: Path, tmp_path: Path, what: str
) -> None:
    good, bad = workspace.root / "good", workspace.root / "bad"
    if what == "folder":
        good.mkdir()
        (good / "secret").write_bytes(b"inside")
        bad.symlink_to(outside)
        path = "place/secret"
    else:
        good.write_bytes(b"inside")
        bad.symlink_to(outside / "secret")
        path = "place"
    stop = threading.Event()
    swapping = threading.Thread(target=_swap, args=(workspace.root / "place", good, bad, stop))
    swapping.start()
    seen: set[bytes | str] = set()
    try:
        for number in range(3000):
            try:
                seen.add(workspace.read(path))
                if what == "folder" and number % 10 == 0:
                    workspace.write(path, b"inside")
            except ToolFailed:
                seen.add("failed")
    finally:
        stop.set()
        swapping.join()
    assert seen <= {b"inside", "failed"}
    assert {file.name: file.read_bytes() for file in outside.iterdir()} == {"secret": SECRET}


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_walk_goes_into_no_folder_that_becomes_a_link(
    workspace: Workspace, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = workspace.root / "place"
    place.mkdir()
    really_open = os.open

    def swap_and_open(path: str, flags: int, *mode: int, dir_fd: int | None = None) -> int:
        if path == "place" and not place.is_symlink():
            place.rmdir()
            place.symlink_to(outside)
        return really_open(path, flags, *mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", swap_and_open)
    assert [entry.path for entry in walk(workspace).files] == ["folder/file"]
    assert place.is_symlink()


def test_a_root_that_is_not_there_is_made(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "a" / "b")
    workspace.write("c/d", b"x")
    assert (tmp_path / "a/b/c/d").read_bytes() == b"x"


def test_writing_keeps_the_mode_and_leaves_nothing_behind(workspace: Workspace) -> None:
    file = workspace.root / "folder" / "file"
    file.chmod(0o750)
    workspace.write("folder/file", b"new")
    assert stat.S_IMODE(file.stat().st_mode) == 0o750
    assert _names(file.parent) == ["file"]


def test_a_file_of_root_does_not_get_its_privileges_for_new_bytes(workspace: Workspace) -> None:
    file = workspace.root / "folder" / "file"
    file.chmod(0o4755)
    workspace.write("folder/file", b"new")
    assert stat.S_IMODE(file.stat().st_mode) == 0o755


def test_changes_are_all_made_or_none(workspace: Workspace) -> None:
    (workspace.root / "full").mkdir()
    changes = [Change("folder/file", b"new"), Change("other", b"new"), Change("full", b"a folder")]
    with pytest.raises(ToolFailed, match="full is a folder"):
        workspace.change(changes)
    assert workspace.read("folder/file") == b"inside"
    assert not (workspace.root / "other").exists()
    workspace.change(changes[:2])
    assert workspace.read("folder/file") == workspace.read("other") == b"new"


def test_changes_that_were_made_are_undone_when_a_later_one_fails(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace.root / "link").symlink_to("folder/file")
    (workspace.root / "gone").write_bytes(b"gone")
    rename = os.rename

    def full(source: str, target: str, **folders: int) -> None:
        if target == "last":
            raise OSError(28, "No space left on device")
        rename(source, target, **folders)

    monkeypatch.setattr(os, "rename", full)
    changes = [
        Change("folder/file", b"new"),
        Change("made", b"new"),
        Change("link", None),
        Change("gone", None),
        Change("last", b"new"),
    ]
    with pytest.raises(ToolFailed, match="last: No space left"):
        workspace.change(changes)
    assert workspace.read("folder/file") == workspace.read("link") == b"inside"
    assert workspace.read("gone") == b"gone"
    assert _names(workspace.root) == ["folder", "gone", "link"]


def test_a_file_is_changed_once_whatever_its_names(workspace: Workspace) -> None:
    (workspace.root / "link").symlink_to("folder")
    with pytest.raises(ToolFailed, match="changed twice"):
        workspace.change([Change("folder/file", b"a"), Change("link/file", b"b")])
    assert workspace.read("folder/file") == b"inside"


def test_a_reader_sees_the_old_bytes_or_the_new_ones(workspace: Workspace) -> None:
    texts = [letter * 300_000 for letter in (b"a", b"b")]
    workspace.write("file", texts[0])
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for text in texts:
                workspace.write("file", text)

    writing = threading.Thread(target=write)
    writing.start()
    try:
        assert {workspace.read("file") for _ in range(300)} <= set(texts)
    finally:
        stop.set()
        writing.join()


def test_nothing_stays_open(workspace: Workspace, outside: Path) -> None:
    (workspace.root / "link").symlink_to("folder/../folder")
    before = len(_names(Path("/dev/fd")))
    for path in ("link/file", "missing", "../x", "folder", "link/file/x", "new/folder/file"):
        for touch in (workspace.read, lambda path: workspace.write(path, b"x")):
            try:
                touch(path)
            except ToolFailed:
                continue
    walk(workspace)
    assert len(_names(Path("/dev/fd"))) == before


def test_tenants_have_folders_of_their_own_whatever_their_names() -> None:
    names = ["alice", "Alice", "../alice", "a/b", "a-b", "", ".", "..", "ä", "a" * 500, "a" * 501]
    folders = {tenant_folder(Path("/w"), name) for name in names}
    assert len({str(folder).casefold() for folder in folders}) == len(names)
    assert all(folder.parent == Path("/w") and len(folder.name) < 100 and folder.name.isascii() for folder in folders)
