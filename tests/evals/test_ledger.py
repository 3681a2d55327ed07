"""The file of results: what is there is found, a torn line is dropped, something else is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from evals.ledger import Ledger
from programs.errors import ConfigurationError


class Entry(BaseModel):
    name: str
    worth: int


def ledger(folder: Path | None) -> Ledger[str, Entry]:
    return Ledger(folder, Entry, lambda entry: entry.name)


def test_what_was_added_is_found_again_and_the_last_counts(tmp_path: Path) -> None:
    first = ledger(tmp_path / "new" / "folder")
    for entry in Entry(name="a\u2028b", worth=1), Entry(name="c", worth=2), Entry(name="c", worth=3):
        first.add(entry)
    again = ledger(tmp_path / "new" / "folder")
    assert [*again] == [*first] == [Entry(name="a\u2028b", worth=1), Entry(name="c", worth=3)]
    assert again.find("c") == Entry(name="c", worth=3)
    assert again.find("d") is None


def test_a_torn_line_is_dropped_also_in_the_middle_of_a_character(tmp_path: Path) -> None:
    ledger(tmp_path).add(Entry(name="a", worth=1))
    path = tmp_path / "results.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + '{"name": "é'.encode()[:-1])
    again = ledger(tmp_path)
    assert path.read_bytes() == whole
    again.add(Entry(name="b", worth=2))
    assert [entry.name for entry in ledger(tmp_path)] == ["a", "b"]


def test_without_a_folder_nothing_is_written() -> None:
    kept = ledger(None)
    kept.add(Entry(name="a", worth=1))
    assert kept.find("a") == Entry(name="a", worth=1)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text('{"name": "a"}\n')
    with pytest.raises(ConfigurationError, match="line 1 is no result: choose another --out"):
        ledger(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot use"):
        ledger(tmp_path / "file")
