"""What a request with a key passes before it may start a run: the load of the server, and the rate of its tenant."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from programs.transcript import BYTES_PER_TOKEN
from server.admission import Admission
from server.body import JSONRoute
from server.rates import Charge
from server.sse import ClientGone


class Door(JSONRoute):
    """A route that starts a run. What cannot be served now is refused before the body is read, or at least parsed."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Put the checks in front of what FastAPI does."""
        answer = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            admission: Admission = request.app.state.admission
            tenant = request.state.grant.tenant
            admission.shed(tenant)
            try:
                body = await request.body()
            except ClientDisconnect as error:
                raise ClientGone from error
            charge = await admission.charge(tenant, len(body) // BYTES_PER_TOKEN)
            request.state.headers.update(charge.headers)
            if charge.refusal is not None:
                raise charge.refusal
            request.state.charge = charge
            try:
                return await answer(Request(request.scope, _again(body, request.receive)))
            finally:
                if not charge.taken:
                    await admission.rates.settle(charge, 0)

        return guarded


def _again(body: bytes, receive: Receive) -> Receive:
    """What is received by whoever comes behind: the body once more, and then what follows it."""
    messages: Iterator[Message] = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def again() -> Message:
        return next(messages, None) or await receive()

    return again


async def _charge(request: Request) -> Charge:
    charge: Charge = request.state.charge
    return charge


Charged = Annotated[Charge, Depends(_charge)]
"""What was charged for a request that has passed the door."""
