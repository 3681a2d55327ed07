"""What the code of a turn may call: the sub-LM, alone or many times at once, sessions below its own, and vision."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Coroutine, Iterable
from typing import Any

from pydantic import ValidationError

from programs.classify import Asked, Classify, Labelling
from programs.environment import Context, HostFunction, HostFunctionFailed
from programs.errors import BackendError, BudgetSpent, ContextTooLong, InvalidRequest
from programs.formats import as_text
from programs.transcript import Session
from programs.tree import Recurse, Tree
from programs.vision import Vision, images_of

_FAILURES = (BudgetSpent, BackendError, ContextTooLong)
"""Of model calls, that the code is told."""


class HostCalls:
    """The host functions of one session. What they raise for the code to see, it sees as a `RuntimeError`."""

    def __init__(self, session: Session, tree: Tree, recurse: Recurse, vision: Vision, classify: Classify) -> None:
        self._session = session
        self._tree = tree
        self._recurse = recurse
        self._vision = vision
        self._labels = classify
        self._asked: Counter[str] = Counter()
        self.turn = 0
        self.functions: dict[str, HostFunction] = {
            "llm_query": self._llm_query,
            "llm_query_batched": self._llm_query_batched,
            "classify": self._classify,
            "rlm_query": self._rlm_query,
        }
        if images_of(session):
            self.functions["vision_query"] = self._vision_query

    async def _llm_query(self, prompt: str) -> str:
        try:
            return await self._tree.query(self._session.id, self.turn, prompt)
        except _FAILURES as error:
            raise HostFunctionFailed(str(error)) from error

    async def _llm_query_batched(self, prompts: list[str]) -> list[str]:
        return await _every(map(self._llm_query, prompts))

    async def _classify(self, *values: Any, **fields: Any) -> list[str | None]:
        try:
            asked = Asked.of(*values, **fields)
        except (TypeError, ValidationError) as error:
            raise HostFunctionFailed(
                "classify(texts, labels, examples): texts and labels are lists of str, examples a list of (text, label)"
                " whose labels are among labels"
            ) from error
        try:
            labelling = await self._labels.begin(asked, self._session.id, self.turn, self._tree)
        except _FAILURES as error:
            raise HostFunctionFailed(str(error)) from error
        return await _every(self._label(labelling, text) for text in asked.texts)

    async def _label(self, labelling: Labelling, text: str) -> str | None:
        try:
            return await labelling.of(text)
        except _FAILURES as error:
            raise HostFunctionFailed(str(error)) from error

    async def _rlm_query(self, question: str, context: Context) -> str:
        if self._session.depth >= self._tree.settings.max_depth:
            return await self._llm_query(f"{as_text(context)}\n\n{question}")
        child = Session.asking(self._child_id(question, context), question, context, parent=self._session)
        try:
            async with self._tree.children[child.depth]:
                with self._tree.tracing.session(child, self._tree.settings.name):
                    return (await self._recurse(child, self._tree)).text
        except _FAILURES as error:
            raise HostFunctionFailed(str(error)) from error

    async def _vision_query(self, question: Any = "", number: Any = 1, *_: Any) -> str:
        if not isinstance(number, int):
            raise HostFunctionFailed("vision_query(question, number): number should be an integer, counted from 1")
        try:
            return await self._vision.query(self._session, self._tree, self.turn, str(question), number)
        except (BudgetSpent, BackendError, InvalidRequest) as error:
            raise HostFunctionFailed(str(error)) from error

    def _child_id(self, question: str, context: Context) -> str:
        """The same for the same call of the same turn, however often and in whatever order a run is replayed."""
        digest = hashlib.blake2b(f"{question}\0{as_text(context)}".encode("utf-8", "replace"), digest_size=6)
        name = f"{self._session.id}/{self.turn}.{digest.hexdigest()}"
        self._asked[name] += 1
        return name if self._asked[name] == 1 else f"{name}.{self._asked[name]}"


async def _every[T](calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What all calls give, made at once, in order; every one is made, also when some fail."""
    replies = await asyncio.gather(*calls, return_exceptions=True)
    failures = [reply for reply in replies if isinstance(reply, BaseException)]
    for failure in failures:
        if not isinstance(failure, HostFunctionFailed):
            raise failure
    if failures:
        raise HostFunctionFailed(f"{len(failures)} of {len(replies)} calls failed; the first: {failures[0]}")
    return [reply for reply in replies if not isinstance(reply, BaseException)]
