"""What the store does with runs and sessions, as jobs: each runs in a transaction, in one of the threads."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from programs.errors import NotFound
from programs.events import RunDone, Stepped
from programs.tools import Execution
from programs.transcript import Message, Transcript, Usage
from store import leases, prefixes, statements, titles
from store.database import Database
from store.keys import DAY
from store.runs import Finished, Run, StoredRun
from store.statements import Found, Values, row, rows
from store.tables import COST

_STEPS = TypeAdapter(tuple[Annotated[Stepped, Field(discriminator="kind")], ...])
_NUMBERS = TypeAdapter(tuple[int, ...])

_LONGEST_KEY = 500  # characters of a session's, which may stand in an index of PostgreSQL

_NOT_ENDED: Values = {
    "completed_at": None,
    "text": "",
    "steps": "[]",
    "timeline": "[]",
    "reason": None,
    "message": None,
    **Usage().model_dump(),
}


def begin(db: Database, run: Run, finished: Finished | None = None, *, owner: str | None = None) -> str:
    """Add the run and its transcript, and how it has ended already or who drives it. Gives its session."""
    if run.session_key is not None and len(run.session_key) > _LONGEST_KEY:
        run = replace(run, session_key=hashlib.blake2b(run.session_key.encode(), digest_size=32).hexdigest())
    messages, digests = run.transcript.messages, run.transcript.prefixes
    output = finished.output if finished else ()
    session, head = _named_session(db, run)
    # What ends in a session's head is known. Only where the transcript does not go on from there it is searched for.
    known = digests.index(head) + 1 if head in digests else prefixes.known(db, run.tenant, digests)
    session = session or _session_before(db, run, known)
    before = digests[known - 1] if known else None
    head = prefixes.grow(db, run.tenant, before, known, (*messages[known:], *output))
    question = titles.question(run.transcript)
    status = "queued" if run.background else "in_progress"
    session_id = session or f"sess_{uuid.uuid4().hex}"
    place: Values = {
        "tenant": run.tenant,
        "id": session_id,
        "key": run.session_key,
        "head": head if output or not session else None,
        "updated_at": finished.done.at if finished else run.created_at,
        "runs": 1,
        **_costs(run.created_at, status, finished),
    }
    if session:
        # On a line of its own after what the session is found by already, or nothing.
        rows(db, statements.MOVE_SESSION, place | {"named": titles.sought("\n", run.session_key)})
    else:
        place |= {"title": question, "sought": titles.sought(question, session_id, run.session_key)}
        rows(db, statements.ADD_SESSION, place | {"created_at": run.created_at})
    values: Values = {
        "tenant": run.tenant,
        "id": run.id,
        "session": session_id,
        "key": run.key,
        "status": status,
        "background": run.background,
        "model": run.model,
        "request": json.dumps(run.request, separators=(",", ":")),
        "question": question,
        "previous": run.previous,
        "input": digests[-1] if digests else None,
        "output": head,
        "created_at": run.created_at,
        "owner": owner,
    }
    rows(db, statements.ADD_RUN, values | (_ending(finished) if finished else _NOT_ENDED))
    if finished:
        _add_calls(db, run.tenant, run.id, finished)
        spend(db, run.tenant, run.id, finished)
    return session_id


def _costs(created_at: float, status: str, finished: Finished | None) -> Values:
    # What a run that began then adds to its session.
    newest: Values = {"newest_at": created_at, "status": finished.done.outcome if finished else status}
    seconds = finished.done.at - created_at if finished else 0.0
    usage = finished.done.usage if finished else Usage()
    return newest | {"seconds": seconds} | usage.model_dump()


def _named_session(db: Database, run: Run) -> tuple[str | None, bytes | None]:
    # The session that the client names, by its key or by a run of it, and where that one ends.
    found = None
    if run.session_key is not None:
        found = row(db, statements.SESSION_OF_KEY, {"tenant": run.tenant, "key": run.session_key})
    if found is None and run.previous is not None:
        found = row(db, statements.SESSION_OF_RUN, {"tenant": run.tenant, "previous": run.previous})
    return (found[0], found[1]) if found else (None, None)


def _session_before(db: Database, run: Run, known: int) -> str | None:
    # The session that the transcript goes on from; `known` of its messages are there. To go on is to add something:
    # who sends just what a session has heard is another that begins alike.
    length = min(known, len(run.transcript) - 1)
    if length < 1:
        return None
    values: Values = {"tenant": run.tenant, "key": run.session_key, "head": run.transcript.prefixes[length - 1]}
    found = row(db, statements.SESSION_OF_PREFIX, values)
    return found[0] if found else None


def finish(db: Database, tenant: str, run_id: str, finished: Finished, *, worker: str) -> bool:
    """End the run and add what it cost; False where it had ended or is gone."""
    found = row(db, statements.OPEN_RUN, {"tenant": tenant, "id": run_id})
    if found is not None:
        session, created_at, completed_at, before, length, _ = found
        if completed_at is not None:
            return False
        leases.own(found, worker, run_id)
        head = prefixes.grow(db, tenant, before, length or 0, finished.output)
        rows(db, statements.END_RUN, {"tenant": tenant, "id": run_id, "output": head} | _ending(finished))
        place: Values = {"tenant": tenant, "id": session, "updated_at": finished.done.at}
        nothing_new: Values = {"key": None, "named": "", "runs": 0}
        costs = _costs(created_at, finished.done.outcome, finished)
        rows(db, statements.MOVE_SESSION, place | nothing_new | costs | {"head": head if finished.output else None})
        _add_calls(db, tenant, run_id, finished)
    spend(db, tenant, run_id, finished)
    return found is not None


def _add_calls(db: Database, tenant: str, run_id: str, finished: Finished) -> None:
    # A run that ends without any message has nothing to be found by its calls.
    for message in finished.output:
        for call in message.tool_calls:
            rows(db, statements.ADD_CALL, {"tenant": tenant, "id": call.id, "run": run_id})


def said(db: Database, tenant: str, calls: Sequence[str]) -> dict[str, tuple[Message, ...]]:
    """Find what the runs that made the calls have appended to their transcripts, by call; unknown ones are left out."""
    found: dict[str, tuple[Message, ...]] = {}
    for call in calls:
        if call not in found and (heads := row(db, statements.HEADS_OF_CALL, {"tenant": tenant, "id": call})):
            values: Values = {"tenant": tenant, "input": heads[0] or b"", "head": heads[1]}
            messages = [Message.model_validate_json(body) for (body,) in rows(db, statements.MESSAGES_AFTER, values)]
            found |= {made.id: tuple(messages) for message in messages for made in message.tool_calls}
    return found


def audit(db: Database, tenant: str, run_id: str, session: str, execution: Execution, *, worker: str) -> None:
    """Add that a gateway tool was executed."""
    leases.own(row(db, statements.OWNER, {"tenant": tenant, "id": run_id}), worker, run_id)
    values: Values = {"tenant": tenant, "run": run_id, "session": session, "at": time.time() - execution.seconds}
    rows(db, statements.ADD_AUDIT, values | asdict(execution))


def todos(db: Database, tenant: str, session: str) -> list[dict[str, Any]]:
    """Read the to-do list of a session."""
    found = row(db, statements.TODOS, {"tenant": tenant, "session": session})
    listed: list[dict[str, Any]] = json.loads(found[0]) if found else []
    return listed


def set_todos(db: Database, tenant: str, session: str, listed: list[dict[str, Any]]) -> None:
    """Replace the to-do list of a session."""
    values: Values = {"tenant": tenant, "session": session, "body": json.dumps(listed, ensure_ascii=False)}
    rows(db, statements.SET_TODOS, values)


def _ending(finished: Finished) -> Values:
    done = finished.done
    return {
        "status": done.outcome,
        "completed_at": finished.done.at,
        "text": done.text,
        "steps": _STEPS.dump_json(finished.steps).decode(),
        "timeline": _NUMBERS.dump_json(finished.timeline).decode(),
        "reason": done.reason,
        "message": done.message,
        **done.usage.model_dump(),
    }


def spend(db: Database, tenant: str, run_id: str, finished: Finished) -> None:
    """Add what a run cost."""
    done, key = finished.done, finished.key
    place: Values = {"tenant": tenant, "run": run_id, "created_at": done.at}
    ended: Values = {"key": key, "outcome": done.outcome, "reason": done.reason, "seconds": finished.seconds}
    rows(db, statements.ADD_USAGE, place | ended | done.usage.model_dump())
    for model in finished.models:
        rows(db, statements.ADD_SPENT, place | asdict(model))
    if key is not None:
        tokens = done.usage.prompt + done.usage.completion
        of_day: Values = {"tenant": tenant, "key": key, "day": int(done.at // DAY), "calls": 0, "tokens": tokens}
        rows(db, statements.SPEND_OF_DAY, of_day)


def read(db: Database, tenant: str, run_id: str) -> StoredRun | None:
    """Find the run."""
    found = row(db, statements.RUN, {"tenant": tenant, "id": run_id})
    return stored(found) if found else None


def unfinished(db: Database) -> list[StoredRun]:
    """Find the runs of all tenants that have not ended, oldest first."""
    return [stored(found) for found in rows(db, statements.UNFINISHED_RUNS, {})]


def stored(found: Found) -> StoredRun:
    """Give the run of which these are the columns `statements.STORED`."""
    values: Values = dict(zip(statements.STORED, found, strict=True))
    values["usage"] = Usage.model_validate({name: values.pop(name) for name in COST})
    values["background"] = bool(values["background"])
    values["request"] = json.loads(values["request"])
    values["steps"] = _STEPS.validate_json(values["steps"])
    values["timeline"] = _NUMBERS.validate_json(values["timeline"])
    return StoredRun(**values)


def transcript(db: Database, tenant: str, run_id: str, *, output: bool) -> Transcript:
    """Read what the run was given, and what it appended."""
    heads = row(db, statements.RUN_HEADS, {"tenant": tenant, "id": run_id})
    if heads is None:
        raise NotFound(f"There is no run {run_id!r}.")
    return prefixes.read(db, tenant, heads[1] if output else heads[0])


def delete(db: Database, tenant: str, run_id: str) -> bool:
    """Remove the run and what only it referred to."""
    db.one_at_a_time(f"delete {tenant}")  # else two would leave to each other what both have referred to
    dropped = row(db, statements.DROP_RUN, {"tenant": tenant, "id": run_id})
    if dropped is None:
        return False
    session, head = dropped
    place: Values = {"tenant": tenant, "id": session}
    rows(db, statements.LOCK_SESSION, place)
    if newest := row(db, statements.NEWEST_OF_SESSION, place):
        [(runs, prompt, completion, cached, estimated, seconds)] = rows(db, statements.COSTS_OF_SESSION, place)
        usage = Usage(prompt=prompt, completion=completion, cached=cached, estimated=estimated > 0)
        left: Values = {"runs": runs, "seconds": seconds, **usage.model_dump()}
        left |= dict(zip(("head", "status", "newest_at"), newest, strict=True))
        # A session whose newest run is gone ends where the newest of the others does.
        rows(db, statements.MOVE_SESSION_BACK, place | left | {"dropped": head})
    else:
        rows(db, statements.DROP_SESSION, place)
    prefixes.prune(db, tenant, head)
    return True


def try_to_write(db: Database) -> None:
    """Write a row and take it back."""
    nothing = RunDone(outcome="completed", text="", usage=Usage(), at=0.0)
    with db.savepoint() as savepoint:
        spend(db, "", "", Finished(nothing, seconds=0.0))
        savepoint.rollback(begin=False)
