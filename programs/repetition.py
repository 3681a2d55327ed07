"""Notices a model that repeats itself without end, as small ones do: in one reply, or turn after turn."""

from __future__ import annotations

import re

from dspy.lm15 import StreamDeltaEvent, StreamStartEvent, TextDelta

from programs.backends.engine import StreamEvent
from programs.events import CodeRan, CodeWritten
from programs.turns import NOTHING

_PROSE, _CODE = 400, 2000  # characters that are nothing but one phrase, before it is taken for a loop
_TIMES = 4  # that the phrase is in them, at least
_PROBE = 16  # characters, by which phrases are looked for
_EVERY = 64  # characters
_FENCE = "```"
_STANDING = 4  # turns
_NUMBERED = re.compile(r"<turn \d+>")  # in tracebacks


class Repetition:
    """Follows one reply as it is written. In code it bears more: there may be tables in it.

    Attributes:
        text: what was written; where the reply ended in a loop, up to where its phrase has been said once.
        noticed: whether it did.
    """

    def __init__(self) -> None:
        self.text = ""
        self.noticed = False
        self._looked_at = 0

    def hear(self, event: StreamEvent) -> bool:
        """Take an event of the reply; whether what was written is enough. For `listening`."""
        match event:
            case StreamStartEvent():  # again, where a call is made once more
                self.text, self._looked_at = "", 0
            case StreamDeltaEvent(delta=TextDelta(text=piece)):
                self.text += piece
                if len(self.text) - self._looked_at >= _EVERY:
                    self._looked_at = len(self.text)
                    self._look()
        return self.noticed

    def _look(self) -> None:
        most = _CODE if _FENCE in self.text else _PROSE
        period = _period(self.text[-most:]) if len(self.text) >= most else None
        if period is not None:
            end = len(self.text)
            while end > period and self.text[end - 1] == self.text[end - 1 - period]:
                end -= 1
            self.text, self.noticed = self.text[:end], True


class Standing:
    """Notices turns that are one like the other, which the next would be, too."""

    def __init__(self) -> None:
        self._last: tuple[str, str, str] | None = None
        self._times = 0

    def after(self, written: CodeWritten, ran: CodeRan) -> bool:
        """Whether, with this one, the same has been written and shown a few times in a row."""
        turn = (written.reasoning, written.code, _NUMBERED.sub("", ran.observation))
        self._times = self._times + 1 if turn == self._last else 1
        self._last = turn
        # Code that prints nothing may have come further all the same.
        return self._times == _STANDING and ran.observation != NOTHING


def _period(text: str) -> int | None:
    """The length of the phrase that `text` is made of alone, if there is one."""
    probe = text[-_PROBE:]
    at = len(text) - len(probe)
    while at > 0 and (at := text.rfind(probe, 0, at + len(probe) - 1)) >= 0:
        period = len(text) - len(probe) - at
        if period * _TIMES > len(text):
            return None
        if text[period:] == text[:-period]:
            return period
    return None
