"""A budget for programs that have none of their own: the engine that they call refuses when it is spent."""

from __future__ import annotations

from dspy.lm15 import InvalidRequestError, Request, Response

from evals.around import Around
from evals.metering import cost
from programs.backends import AsyncEngine
from programs.backends.fallbacks import size_of
from programs.budget import Budget
from programs.errors import BudgetSpent


class Bounded(Around):
    """Calls are charged to a budget, and made within it.

    Args:
        engine: is asked.
        budget: of all that the program calls. `Budget.check` tells whether it is spent.
    """

    def __init__(self, engine: AsyncEngine, budget: Budget) -> None:
        super().__init__(engine)
        self._budget = budget

    async def complete(self, request: Request) -> Response:
        """See `AsyncEngine.complete`.

        Raises:
            lm15.InvalidRequestError: the budget is spent. No program tries this again.
            lm15.LM15Error: the engine's own.
        """
        try:
            async with self._budget.call(size_of(request)):
                response = await self.engine.complete(request)
        except BudgetSpent as stop:
            raise InvalidRequestError(str(stop)) from stop
        self._budget.spend(cost(request, response))
        return response
