"""`glob`, `grep` and `codesearch`: what is found, in which order, and that nothing takes for ever."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from programs.settings import ToolSettings
from programs.tools.globs import Glob
from programs.tools.walking import walk
from programs.tools.workspace import Workspace
from tests.programs.tools.calling import Calling


@pytest.fixture
def call(tmp_path: Path) -> Calling:
    return Calling(tmp_path)


def _lay(root: Path, **files: str) -> None:
    """Files by path, each newer than the one before."""
    for number, (path, content) in enumerate(files.items()):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        os.utime(file, (1_000_000 + number, 1_000_000 + number))


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("*.py", ["a.py", "deep/er/b.py", ".hidden.py"], ["a.pyc", "py"]),
        ("src/*.py", ["src/a.py"], ["src/x/a.py", "a.py", "x/src/a.py"]),
        ("src/**/*.py", ["src/a.py", "src/x/y/a.py"], ["a.py", "src"]),
        ("src/**", ["src/a", "src/x/y"], ["src", "srcs/a"]),
        ("**/test/*", ["test/a", "x/test/a"], ["x/test", "test/a/b"]),
        ("*.{ts,tsx}", ["a.ts", "x/b.tsx"], ["a.t", "a.{ts,tsx}"]),
        ("{a,b{c,d}}/f", ["a/f", "bc/f", "bd/f"], ["b/f", "bcd/f"]),
        ("[a-c]?.[!x]", ["a1.y", "x/c2.z"], ["d1.y", "a1.x"]),
        ("./a", ["a"], ["a/a"]),
        ("a.b+(c)$", ["a.b+(c)$"], ["aXb+(c)$", "a.bb(c)"]),
        ("{a}", ["{a}"], ["a"]),
    ],
)
def test_what_a_glob_matches(pattern: str, matching: list[str], others: list[str]) -> None:
    glob = Glob(pattern)
    assert [path for path in [*matching, *others] if glob.matches(path)] == matching


def test_a_glob_takes_no_longer_for_being_mean() -> None:
    assert not Glob("*a" * 100 + "b").matches("a" * 255)
    assert not Glob("**/a/" * 100 + "b").matches("/".join("a" * 200))
    with pytest.raises(ValueError, match="more than 256"):
        Glob("{a,b}" * 20)


GITIGNORES = [
    ["*.log", "!keep.log"],
    ["build/", "/top"],
    ["a/b", "/c/*", "!/c/x"],
    ["**/x", "doc/**/*.txt"],
    ["a/**", "!a/b"],
    ["a/**/z", "*.py[cod]"],
    ["# no", "\\#yes", "foo\\ ", "b  ", "\\!x"],
    ["[!a]*.t", "x*y", "?"],
    ["*", "!*/", "!*.txt"],
    ["**", "!x"],
    [".hidden", "a/", "!a/b/"],
]


@pytest.mark.parametrize("rules", GITIGNORES, ids=" ".join)
def test_what_git_ignores_is_left_out(tmp_path: Path, rules: list[str]) -> None:
    names = ["a", "b", "c", "x", "y", "z", "top", "build", "doc"]
    files = ["k.log", "keep.log", "q.pyc", "a.t", "b.t", "#no", "#yes", "foo ", "xqy", ".hidden", "w.txt", "!x", "x1"]
    for outer in ["", *(f"{name}/" for name in names)]:
        for inner in ["", *(f"{name}/" for name in names[:6])]:
            (tmp_path / outer / inner).mkdir(parents=True, exist_ok=True)
            for file in files:
                (tmp_path / outer / inner / file).touch()
    (tmp_path / ".gitignore").write_text("\n".join(rules))
    (tmp_path / "b" / ".gitignore").write_text("!*.log\nx1\r\n")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    list_others = ["git", "ls-files", "-z", "--others", "--exclude-per-directory=.gitignore"]
    listed = subprocess.run(list_others, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert {entry.path for entry in walk(Workspace(tmp_path)).files} == set(listed.split("\0")) - {""}


async def test_glob_gives_the_newest_first_and_not_what_git_ignores(call: Calling) -> None:
    _lay(call.root, **{"old.py": "", "src/new.py": "", "build/x.py": "", ".git/y.py": "", ".gitignore": "build/"})
    assert (await call("glob", pattern="*.py")).output == "src/new.py\nold.py"
    assert (await call("glob", pattern="*.py", path="src")).output == "src/new.py"
    assert (await call("glob", pattern="*.rs")).output == "No file matches."
    assert "outside of the workspace" in (await call("glob", pattern="*", path="..")).output


async def test_of_many_files_the_newest_are_shown_and_the_others_counted(call: Calling) -> None:
    _lay(call.root, **{f"{number}": "" for number in range(150)})
    said = await call("glob", pattern="*")
    assert said.output.startswith("149\n148\n")
    assert said.output.endswith("\n50\n(50 older files are not shown; narrow the pattern or the path)")


async def test_grep_shows_path_number_and_line_of_the_newest_files_first(call: Calling) -> None:
    _lay(
        call.root, **{"a.py": "x = 1\r\nfind me\r\n", "b/c.py": "\tfind me", "d.txt": "find me", "skip/e.py": "find me"}
    )
    _lay(call.root, **{".gitignore": "skip"})
    said = await call("grep", pattern=r"find\s+me", include="*.py")
    assert said.output == "b/c.py:1: \tfind me\na.py:2: find me"
    assert (await call("grep", pattern="find me", path="b")).output == "b/c.py:1: \tfind me"
    assert (await call("grep", pattern="find me", path="d.txt")).output == "d.txt:1: find me"
    assert (await call("grep", pattern="find me", path="skip")).output == "skip/e.py:1: find me"
    assert (await call("grep", pattern="FIND")).output == "No line matches."
    assert (await call("grep", pattern="(?i)FIND", path="d.txt")).ok


async def test_grep_looks_into_no_binary_and_through_no_link(tmp_path: Path) -> None:
    call = Calling(tmp_path / "inside")
    call.root.mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("find me")
    (call.root / "link").symlink_to(outside)
    (call.root / "file-link").symlink_to(outside / "secret")
    (call.root / "binary").write_bytes(b"\0find me")
    os.mkfifo(call.root / "fifo")
    (call.root / "odd").write_bytes(b"\xff find me \xfc")
    assert (await call("grep", pattern="find me")).output == "odd:1: \ufffd find me \ufffd"


async def test_of_a_long_line_grep_shows_what_surrounds_the_place(call: Calling) -> None:
    (call.root / "file").write_text("a" * 500_000 + "needle" + "b" * 500_000)
    said = await call("grep", pattern="needle")
    assert said.output == f"file:1: ...{'a' * 200}needle{'b' * 200}..."


async def test_grep_stops_at_a_hundred_lines_and_says_so(call: Calling) -> None:
    (call.root / "file").write_text("x\n" * 1000)
    said = await call("grep", pattern="x")
    assert said.output.count("file:") == 100
    assert "more than 100 lines" in said.output


@pytest.mark.parametrize("pattern", ["(", "*", "(?P<1>x)", "[z-a]", "a{3,2}"])
async def test_a_pattern_that_is_none_is_an_error(call: Calling, pattern: str) -> None:
    (call.root / "file").write_text("x")
    said = await call("grep", pattern=pattern)
    assert (said.ok, said.output[:31]) == (False, "pattern is no regular expression"[:31])


async def test_a_pattern_that_takes_for_ever_is_stopped_and_the_loop_goes_on_meanwhile(tmp_path: Path) -> None:
    call = Calling(tmp_path, ToolSettings(search_seconds=1))
    _lay(tmp_path, slow="a" * 40 + "!", quick="aaa")
    (tmp_path / "slow").write_text("a" * 40 + "!")
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    said = await call("grep", pattern="^(a|a)+$")
    ticking.cancel()
    assert "the search was stopped after 1 seconds" in said.output
    assert not said.ok
    assert ticks > 10


async def test_a_search_that_is_cancelled_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: asyncio.Queue[asyncio.subprocess.Process] = asyncio.Queue()
    start = asyncio.create_subprocess_exec

    async def watched(*words: Any, **more: Any) -> asyncio.subprocess.Process:
        process = await start(*words, **more)
        started.put_nowait(process)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", watched)
    call = Calling(tmp_path)
    (tmp_path / "slow").write_text("a" * 40 + "!")
    searching = asyncio.create_task(call("grep", pattern="^(a|a)+$"))
    process = await asyncio.wait_for(started.get(), 30)
    searching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await searching
    assert process.returncode is not None
    assert call.executed[0].outcome == "cancelled"


async def test_codesearch_finds_by_words_and_by_names_of_any_style(call: Calling) -> None:
    filler = "\n".join(f"value_{number} = compute({number})" for number in range(100))
    code = "def readConfigFile(path):\n    '''Loads the settings.'''\n    return parse(path)"
    _lay(call.root, **{"a.py": filler, "deep/b.py": f"{filler}\n\n\n{code}\n\n\n{filler}", "c.md": filler})
    for query in ("read config file", "where are the settings loaded?", "read_config_file", "readConfigFile"):
        said = await call("codesearch", query=query)
        first, _, _ = said.output.partition("\n")
        assert first.startswith("deep/b.py:"), query
        assert code in said.output
    begin, end = map(int, first.partition(":")[2].split("-"))
    assert code in "\n".join((call.root / "deep/b.py").read_text().split("\n")[begin - 1 : end])
    assert (await call("codesearch", query="zebra")).output == "Nothing is said about it."
    assert "deep/b.py" not in (await call("codesearch", query="settings", include="*.md")).output
