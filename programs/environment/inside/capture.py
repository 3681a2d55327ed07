"""How much of what a turn says the model is shown: of what it prints the two ends, of a traceback the last."""

from __future__ import annotations

import io

MESSAGE_CHARS = 2000
_TRACEBACK_CHARS = 4000


class Capture(io.TextIOBase):
    """What a turn prints: the head and the tail of it, and how much was between them. Bounded, however much comes."""

    def __init__(self, limit: int) -> None:
        self._head_limit, self._tail_limit = limit - limit // 4, limit // 4
        self.reset()

    def reset(self) -> None:
        """Forget what was printed."""
        self._head: list[str] = []
        self._head_size = 0
        self._tail = ""
        self._total = 0

    def writable(self) -> bool:
        """Always."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """As a terminal's would be."""
        return "utf-8"

    def write(self, text: str, /) -> int:
        """Take what is printed; keep the ends of it."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._total += len(text)
        rest = text
        if self._head_size < self._head_limit:
            first = text[: self._head_limit - self._head_size]
            self._head.append(first)
            self._head_size += len(first)
            rest = text[len(first) :]
        if rest:
            self._tail += rest[-self._tail_limit :] if self._tail_limit else ""
            if len(self._tail) > 8 * self._tail_limit:
                self._tail = self._tail[-self._tail_limit :]
        return len(text)

    def shown(self) -> tuple[str, str, int]:
        """The head, the tail, and how many characters between them are not kept."""
        tail = self._tail[-self._tail_limit :] if self._tail_limit else ""
        return "".join(self._head), tail, self._total - self._head_size - len(tail)


def joined(head: str, tail: str, cut: int) -> str:
    """What the model is shown: both ends, and between them a note where `cut` characters are missing."""
    return head + (f"\n[... {cut:,} characters cut ...]\n" if cut else "") + tail


def shortened(traceback: str) -> str:
    """A traceback's end, where the error is."""
    return traceback if len(traceback) <= _TRACEBACK_CHARS else "...\n" + traceback[-_TRACEBACK_CHARS:]
