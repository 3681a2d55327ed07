"""`patch`: both forms, on awkward files; what does not fit changes nothing."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from programs.tools.patches import read_patch
from programs.tools.patching import changes_of
from programs.tools.workspace import Workspace
from tests.programs.tools.calling import Calling


@pytest.fixture
def call(tmp_path: Path) -> Calling:
    return Calling(tmp_path)


async def _patched(call: Calling, before: str | bytes, patch: str, *, ok: bool = True) -> bytes:
    file = call.root / "file"
    file.write_bytes(before if isinstance(before, bytes) else before.encode())
    said = await call("patch", patchText=patch)
    assert said.ok is ok, said.output
    return file.read_bytes()


TEXT = "one\ntwo\nthree\nfour\nfive\n"


def _marked(*lines: str) -> str:
    return "\n".join(["*** Begin Patch", *lines, "*** End Patch"])


def _unified(*lines: str, name: str = "file") -> str:
    return "\n".join([f"--- a/{name}", f"+++ b/{name}", *lines, ""])


async def test_the_marked_form_adds_updates_moves_and_deletes(call: Calling) -> None:
    (call.root / "gone").write_text("x")
    (call.root / "old").write_text("a\nb\nc")
    (call.root / "old").chmod(0o755)
    patch = _marked(
        *("*** Add File: new/file.txt", "+first", "+", "+\ttab"),
        *("*** Update File: file", "@@", " two", "-three", "+3", " four"),
        *("*** Update File: old", "*** Move to: moved/here", "@@", "-b", "+B"),
        "*** Delete File: gone",
    )
    assert await _patched(call, TEXT, patch) == b"one\ntwo\n3\nfour\nfive\n"
    assert (call.root / "new/file.txt").read_text() == "first\n\n\ttab\n"
    assert (call.root / "moved/here").read_text() == "a\nB\nc"
    assert (call.root / "moved/here").stat().st_mode & 0o777 == 0o755
    assert not (call.root / "gone").exists()
    assert not (call.root / "old").exists()


async def test_the_unified_form_adds_updates_moves_and_deletes(call: Calling) -> None:
    (call.root / "gone").write_text("x\ny\n")
    (call.root / "old").write_text("a\nb\nc")
    patch = (
        "--- /dev/null\n+++ b/new/file.txt\n@@ -0,0 +1,2 @@\n+first\n+\ttab\n\\ No newline at end of file\n"
        + _unified("@@ -2,3 +2,3 @@ def f():", " two", "-three", "+3", " four")
        + "--- a/gone\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-x\n-y\n"
        + "--- a/old\n+++ b/moved\n@@ -2 +2 @@\n-b\n+B\n"
    )
    assert await _patched(call, TEXT, patch) == b"one\ntwo\n3\nfour\nfive\n"
    assert (call.root / "new/file.txt").read_text() == "first\n\ttab"
    assert (call.root / "moved").read_text() == "a\nB\nc"
    assert not (call.root / "gone").exists()
    assert not (call.root / "old").exists()


async def test_hunks_are_found_where_lines_have_moved(call: Calling) -> None:
    before = "".join(f"{n}\n" for n in range(100))
    patch = _unified("@@ -31,1 +31,1 @@", "-40", "+vierzig", "@@ -41,1 +41,1 @@", "-50", "+fünfzig")
    assert await _patched(call, before, patch) == before.replace("40\n", "vierzig\n").replace("50", "fünfzig").encode()


async def test_of_equal_places_the_nearest_is_meant(call: Calling) -> None:
    before = "x\n" * 3 + "y\n" + "x\n" * 3 + "y\n" + "x\n"
    patch = _unified("@@ -8,1 +8,1 @@", "-y", "+z")
    assert await _patched(call, before, patch) == b"x\nx\nx\ny\nx\nx\nx\nz\nx\n"
    patch = _unified("@@ -3,1 +3,1 @@", "-y", "+z")
    assert await _patched(call, before, patch) == b"x\nx\nx\nz\nx\nx\nx\ny\nx\n"


async def test_a_place_is_sought_where_the_hunk_before_has_moved_to(call: Calling) -> None:
    lines = ["first", *["p"] * 2, "same", *["p"] * 9, "same", "p"]
    before = "".join(f"{line}\n" for line in [*["new"] * 10, *lines])
    patch = _unified("@@ -1 +1 @@", "-first", "+1", "@@ -14 +14 @@", "-same", "+other")
    lines = ["1", *["p"] * 2, "same", *["p"] * 9, "other", "p"]
    assert await _patched(call, before, patch) == "".join(f"{line}\n" for line in [*["new"] * 10, *lines]).encode()


async def test_empty_lines_between_the_parts_of_a_patch_are_nothing(call: Calling) -> None:
    (call.root / "other").write_text("x\n")
    patch = _unified("@@ -2 +2 @@", "-two", "+2") + "\n\n" + _unified("@@ -1 +1 @@", "-x", "+y", name="other")
    assert await _patched(call, TEXT, patch) == TEXT.replace("two", "2").encode()
    assert (call.root / "other").read_text() == "y\n"
    patch = _marked("", "*** Update File: file", "", "@@", "-two", "+2", "", "*** Update File: other", "-y", "+z", "")
    assert await _patched(call, TEXT, patch) == TEXT.replace("two", "2").encode()
    assert (call.root / "other").read_text() == "z\n"


async def test_an_empty_line_within_a_hunk_is_an_empty_line(call: Calling) -> None:
    patch = _unified("@@ -1,3 +1,3 @@", " a", "", "-b", "+c")
    assert await _patched(call, "a\n\nb\n", patch) == b"a\n\nc\n"
    assert await _patched(call, "a\nb\n", patch, ok=False) == b"a\nb\n"


async def test_an_anchor_says_which_of_equal_places_is_meant(call: Calling) -> None:
    before = "class A:\n    def f(self):\n        return 1\nclass B:\n    def f(self):\n        return 1\n"
    patch = _marked(
        "*** Update File: file", "@@ class B:", "@@     def f(self):", "-        return 1", "+        return 2"
    )
    assert await _patched(call, before, patch) == (before[:-2] + "2\n").encode()


async def test_lines_can_be_meant_to_be_the_last(call: Calling) -> None:
    patch = _marked("*** Update File: file", "@@", "-a", "+z", "*** End of File")
    assert await _patched(call, "a\nb\na\n", patch) == b"a\nb\nz\n"
    assert await _patched(call, "a\nb\n", patch, ok=False) == b"a\nb\n"


async def test_lines_that_come_alone_go_where_the_patch_says(call: Calling) -> None:
    assert (
        await _patched(call, TEXT, _marked("*** Update File: file", "@@ two", "+2.5"))
        == b"one\ntwo\n2.5\n" + TEXT[8:].encode()
    )
    assert await _patched(call, TEXT, _marked("*** Update File: file", "@@", "+six")) == TEXT.encode() + b"six\n"
    assert await _patched(call, TEXT, _unified("@@ -2,0 +3 @@", "+2.5")) == b"one\ntwo\n2.5\nthree\nfour\nfive\n"
    assert await _patched(call, "", _unified("@@ -0,0 +1 @@", "+a")) == b"a\n"


async def test_the_ends_of_lines_stay_what_they_are(call: Calling) -> None:
    before = b"\xef\xbb\xbfone\r\ntwo\r\ngr\xfcn\nfour\r\nlast"
    after = await _patched(call, before, _unified("@@ -1,2 +1,3 @@", " two", "+2.5"))
    assert after == b"\xef\xbb\xbfone\r\ntwo\r\n2.5\r\ngr\xfcn\nfour\r\nlast"
    after = await _patched(call, before, _marked("*** Update File: file", "@@", "-last", "+end"))
    assert after == before.removesuffix(b"last") + b"end"
    after = await _patched(call, before, _unified("@@ -5 +5 @@", "-last", "\\ No newline at end of file", "+last"))
    assert after == before + b"\r\n"


async def test_white_space_at_the_ends_of_lines_may_differ_and_is_kept(call: Calling) -> None:
    patch = _unified("@@ -1,3 +1,3 @@", " one", "-two", "+2", " three")
    assert await _patched(call, "one  \ntwo\t\nthree \n", patch) == b"one  \n2\nthree \n"


async def test_counts_in_heads_may_be_wrong(call: Calling) -> None:
    for head in ("@@ -2,9 +2,9 @@", "@@ -2,1 +2,1 @@", "@@ -2 +2 @@", "@@ @@", "@@", "@@ ... @@"):
        patch = _unified(head, " two", "-three", "+3", " four") + _unified("@@ -1 +1 @@", "-x", "+y", name="other")
        (call.root / "other").write_text("x\n")
        assert await _patched(call, TEXT, patch) == b"one\ntwo\n3\nfour\nfive\n", head
        assert (call.root / "other").read_text() == "y\n"


async def test_lines_that_look_like_heads_are_lines_where_the_counts_say_so(call: Calling) -> None:
    patch = _unified("@@ -1,3 +1,3 @@", " a", "--- b", "+++ c", " d") + _unified(
        "@@ -1 +1 @@", "-x", "+y", name="other"
    )
    (call.root / "other").write_text("x\n")
    assert await _patched(call, "a\n-- b\nd\n", patch) == b"a\n++ c\nd\n"
    assert (call.root / "other").read_text() == "y\n"
    patch = _unified("@@ -1,2 +1,2 @@", " a", "--- b", "+++ c", "@@ -4 +4 @@", "-e", "+f")
    assert await _patched(call, "a\n-- b\nd\ne\n", patch) == b"a\n++ c\nd\nf\n"


@pytest.mark.parametrize(
    "around",
    [
        "```diff\n{}```",
        "```\n{}```\n",
        "From 0123 Mon Sep 17\nSubject: x\n---\n file | 2 +-\n\ndiff --git a/file b/file\n{}-- \n2.39\n",
        "\n\n{}\n\n",
        "Index: file\n=======\n{}",
    ],
)
async def test_what_stands_around_a_patch_does_no_harm(call: Calling, around: str) -> None:
    patch = around.format(_unified("@@ -2,2 +2,2 @@", " two", "-three", "+3"))
    assert await _patched(call, TEXT, patch) == b"one\ntwo\n3\nfour\nfive\n"


async def test_a_patch_that_came_with_crlf_is_one(call: Calling) -> None:
    patch = _unified("@@ -2,2 +2,2 @@", " two", "-three", "+3").replace("\n", "\r\n")
    assert await _patched(call, TEXT, patch) == b"one\ntwo\n3\nfour\nfive\n"


async def test_several_parts_of_a_patch_about_one_file_follow_each_other(call: Calling) -> None:
    patch = _marked("*** Update File: file", "@@", "-two", "+2", "*** Update File: ./file", "@@", "-2", "+zwei")
    assert await _patched(call, TEXT, patch) == TEXT.replace("two", "zwei").encode()


def _after_another(*lines: str) -> str:
    """A patch whose first part is right."""
    return _marked("*** Add File: first", "+x", *lines)


GIT_LINK = "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc\n"
GIT_COPY = "diff --git a/file b/c\ncopy from file\ncopy to c\n--- a/file\n+++ b/c\n@@ -1 +1 @@\n-one\n+1\n"
MALFORMED = {
    "no patch at all": ("please change two to 2", "names no file"),
    "no end": ("*** Begin Patch\n*** Update File: file\n@@\n-two\n+2", "no `*** End Patch`"),
    "no heading": (_after_another("@@", "-two", "+2"), "line 4 of the patch should be `*** Add File: PATH`"),
    "no path": (_after_another("*** Update File: ", "-two", "+2"), "line 4 of the patch should be"),
    "unknown heading": (_after_another("*** Rename File: file"), "line 4 of the patch should be"),
    "no hunk": (_after_another("*** Update File: file"), "what is to change in file"),
    "an empty hunk": (_after_another("*** Update File: file", "@@"), "a line that begins with a space"),
    "a line without a sign": (_after_another("*** Update File: file", "@@", "two"), "line 6 of the patch should be"),
    "added lines without a sign": (_after_another("*** Add File: new", "words"), "line 5 of the patch should be"),
    "a hunk before its file": ("@@ -1 +1 @@\n-one\n+1\n", "before the first `@@`"),
    "a unified file without hunks": ("--- a/file\n+++ b/file\n", "`@@ -1,3 +1,4 @@`"),
    "a binary file": ("diff --git a/file b/file\nGIT binary patch\nliteral 3\n", "a binary file"),
    "a link": (GIT_LINK, "mode 120000"),
    "no file on either side": ("--- /dev/null\n+++ /dev/null\n@@ -1 +1 @@\n-a\n+b\n", "/dev/null"),
    "a copy": (GIT_COPY, "copies"),
    "lines that are not there": (_after_another("*** Update File: file", "@@", "-zwei", "+2"), "does not fit"),
    "lines in another order": (_unified("@@ -1,2 +1,2 @@", " two", "-one", "+1"), "does not fit"),
    "the second of two hunks": (_unified("@@ -1 +1 @@", "-one", "+1", "@@ -2 +2 @@", "-zwei", "+2"), "hunk 2 of 2"),
    "an anchor that is not there": (_after_another("*** Update File: file", "@@ def f", "-two"), "no line 'def f'"),
    "a file that is not there": (_after_another("*** Update File: other", "@@", "-two"), "there is no such file"),
    "a deletion of what is not there": (_after_another("*** Delete File: other"), "there is no such file"),
    "a deletion that leaves something": ("--- a/file\n+++ /dev/null\n@@ -1 +0,0 @@\n-one\n", "holds more"),
    "an addition of what is there": (_after_another("*** Add File: file", "+x"), "it is there"),
    "a move to what is there": (_after_another("*** Update File: file", "*** Move to: there"), "which is there"),
    "a way out": (_after_another("*** Add File: ../out", "+x"), "outside of the workspace"),
    "an absolute way out": ("--- /dev/null\n+++ /etc/rants-test\n@@ -0,0 +1 @@\n+x\n", "outside of the workspace"),
    "a move out": (_after_another("*** Update File: file", "*** Move to: ../../out"), "outside of the workspace"),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_patch_that_is_wrong_changes_nothing_and_says_why(call: Calling, name: str) -> None:
    patch, why = MALFORMED[name]
    (call.root / "there").write_text("there")
    (call.root / "file").write_text(TEXT)
    said = await call("patch", patchText=patch)
    assert not said.ok
    assert why in said.output
    assert {path.name: path.read_text() for path in call.root.iterdir()} == {"file": TEXT, "there": "there"}


async def test_a_search_for_lines_does_not_multiply(call: Calling) -> None:
    before = "x\n" * 200_000
    patch = _unified("@@ -100000,9 +100000,9 @@", *[" x"] * 20_000, "-y", "+z")
    assert await _patched(call, before, patch, ok=False) == before.encode()


WORDS = [b"a", b"b", b"  c", b"", b"-- x", b"++ y", b"+z", b"-q", b" ", b"\xff\xe9", "ä\t".encode(), b"@@ -1 +1 @@"]
WORDS += [b"--- a/x", b"+++ b/x", b"\\ no", b"diff --git a/x b/x", b"*** End Patch"]


def _text(dice: random.Random) -> bytes:
    end = dice.choice([b"\n", b"\r\n"])
    text = b"".join(dice.choice(WORDS) + end for _ in range(dice.randint(0, 40)))
    return text if dice.random() < 0.7 else text.rstrip(b"\r\n")


def _mutated(text: bytes, dice: random.Random) -> bytes:
    end = b"\r\n" if b"\r\n" in text else b"\n"
    lines = text.split(end)
    for _ in range(dice.randint(1, 5)):
        index = dice.randrange(len(lines) + 1)
        lines[index : index + dice.randint(0, 1)] = [dice.choice(WORDS)] if dice.random() < 0.6 else []
    return end.join(lines)


def _files(folder: Path) -> dict[str, tuple[bytes, bool]]:
    files = [path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts]
    return {str(path.relative_to(folder)): (path.read_bytes(), bool(path.stat().st_mode & 0o100)) for path in files}


@pytest.mark.parametrize("seed", range(12))
def test_what_git_writes_is_applied_as_git_means_it(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)

    def git(*words: str) -> bytes:
        setting = ("-c", "user.name=a", "-c", "user.email=a", "-c", "core.autocrlf=false")
        return subprocess.run(["git", *setting, *words], cwd=tmp_path, capture_output=True, check=True).stdout

    git("init", "-q")
    names = ["file", "folder/file", "a space", "ü", 'quote"d']
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(_text(dice))
    git("add", "-A")
    git("commit", "-qm", "1")
    for name in names:
        match dice.randint(0, 5):
            case 0:
                (tmp_path / name).unlink()
            case 1:
                (tmp_path / "moved").mkdir(exist_ok=True)
                (tmp_path / name).rename(tmp_path / "moved" / Path(name).name)
            case 2:
                (tmp_path / name).chmod(0o755)
            case _:
                (tmp_path / name).write_bytes(_mutated((tmp_path / name).read_bytes(), dice))
    (tmp_path / "new").write_bytes(_text(dice))
    git("add", "-A")
    diff = git("diff", "--cached", "--text", "-M", f"-U{dice.choice([1, 3])}")
    wanted = _files(tmp_path)
    git("reset", "-q", "--hard")
    workspace = Workspace(tmp_path)
    changes, _ = changes_of(workspace, read_patch(diff.decode(errors="surrogateescape")))
    workspace.change(changes)
    assert _files(tmp_path) == wanted
