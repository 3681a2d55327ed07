"""What generators said, by the calls that came of it: clients send calls back, and never the intents behind them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from programs import Message, Transcript
from store import Store

_MOST_BYTES = 64 << 20


class Memory:
    """Puts intents back into conversations that clients send whole.

    What is recent is kept here, also of runs that are not to be stored; for the rest the store is asked.

    Args:
        store: where finished runs are.
        most_bytes: of messages that are kept here; the oldest are forgotten.
    """

    def __init__(self, store: Store, most_bytes: int = _MOST_BYTES) -> None:
        self._store = store
        self._most_bytes = most_bytes
        self._bytes = 0
        self._said: OrderedDict[tuple[str, str], tuple[Message, ...]] = OrderedDict()

    def keep(self, tenant: str, said: Sequence[Message]) -> None:
        """Remember what a run has appended to its transcript."""
        size = _size(said)
        for call in (call for message in said for call in message.tool_calls):
            self._said[tenant, call.id] = tuple(said)
            self._bytes += size
        while self._bytes > self._most_bytes:
            _, forgotten = self._said.popitem(last=False)
            self._bytes -= _size(forgotten)

    async def retell(self, tenant: str, transcript: Transcript) -> Transcript:
        """The transcript with each turn that made calls as it was when they were made.

        That is with its intents, and with what was said and done before it in the same run. Calls that nobody knows
        stay as they were sent.

        Raises:
            StoreError: the store could not be asked.
        """
        ids = [message.tool_calls[0].id for message in transcript.messages if message.tool_calls]
        if not ids:
            return transcript
        said = {call: kept for call in ids if (kept := self._said.get((tenant, call))) is not None}
        if unknown := [call for call in ids if call not in said]:
            said |= await self._store.said(tenant, unknown)
        return Transcript(messages=tuple(_retold(transcript.messages, said)))


def _retold(messages: Sequence[Message], said: Mapping[str, tuple[Message, ...]]) -> list[Message]:
    told: list[Message] = []
    calls = set[str]()  # those of the runs that are told again
    for message in messages:
        first = message.tool_calls[0].id if message.tool_calls else None
        if first in calls:
            continue  # of the same run: a client has parted its calls
        known = said.get(first) if first is not None else None
        if known is None:
            told.append(message)
            continue
        calls |= {call.id for step in known for call in step.tool_calls}
        # Names and arguments may have been written anew by the client; ids are not. Earlier steps of the same run may
        # have come as messages of their own.
        earlier = {(step.role, step.content) for step in known}
        while told and not told[-1].tool_calls and told[-1].role == "assistant" and _words(told[-1]) in earlier:
            told.pop()
        told += known
    return told


def _words(message: Message) -> tuple[str, str]:
    return message.role, message.content


def _size(said: Sequence[Message]) -> int:
    return sum(len(message.said()) for message in said)
