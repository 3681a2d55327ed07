"""The work of an optimisation: jobs that programs do and are judged by, within a budget.

Each program does each job once. What it was answered is kept on disk, so that an optimisation that was interrupted goes
on without asking for it again; and the same optimisation with a larger budget begins where the smaller one ended.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Literal, Self

import dspy

from evals.caching import Cache
from evals.optimize.steps import Step, steps_of
from programs import RANTS, Backends
from programs.backends import run_sync
from programs.errors import BudgetSpent, UserError
from programs.program import SavedPredictor, saved

type Program = Mapping[str, SavedPredictor]
"""What an optimiser changes: predictors by name."""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a job.

    Attributes:
        score: 0 to 1.
        right: whether it is wholly right: only then it may become a demonstration.
        feedback: what was wrong and what was done, in words, for a model that is to do better.
    """

    score: float
    right: bool
    feedback: str


type Job = Callable[[RANTS], Coroutine[object, object, Done]]
"""Does one thing with a program, and judges it."""


class Spent(BaseException):
    """The optimisation is over. No `Exception`: DSPy takes those for a wrong answer, and goes on.

    Args:
        what: `calls`, `minutes`, or `perfect`: a program does all jobs of the development set.
    """

    def __init__(self, what: Literal["calls", "minutes", "perfect"]) -> None:
        super().__init__(what)
        self.what = what


class Halted(BaseException):
    """A job could not be done for a reason that no program can mend. It is the cause; DSPy must not go on, either."""


@dataclass(frozen=True, slots=True)
class _Ran:
    """A job, done: what came of it, and the calls of models that may be shown for it."""

    done: Done
    steps: tuple[Step, ...]


class Work:
    """All jobs of an optimisation, and what each program has made of them.

    Args:
        jobs: by name.
        dev: the names of those by which programs are chosen.
        cache: keeps what models answer.
        calls: how many jobs may be done while it is `bounded`: those that were done before and are remembered count,
            too, so that the same command always has the same budget.
        minutes: how long that may take.
    """

    def __init__(
        self, jobs: Mapping[str, Job], dev: Sequence[str], cache: Cache, *, calls: int, minutes: float = math.inf
    ) -> None:
        self.dev = tuple(dev)
        self.bounded = True
        self.calls = 0
        self._jobs = jobs
        self._cache = cache
        self._most = calls
        self._deadline = time.monotonic() + minutes * 60
        self._ran: dict[tuple[str, str], _Ran] = {}
        self._programs: dict[str, Program] = {}
        self._lock = threading.Lock()
        self._doing: defaultdict[tuple[str, str], threading.Lock] = defaultdict(threading.Lock)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Optimisers copy programs; their work is one."""
        return self

    def do(self, rants: RANTS, backends: Backends, program: Program, who: str, job: str) -> _Ran:
        """Have a program do a job, if it has not yet. Blocks.

        Args:
            rants: has the predictors of the program.
            backends: the models.
            program: which is to be remembered.
            who: tells the models apart: `STUDENT`, or a teacher.
            job: its name.

        Raises:
            Spent: there is no budget left.
            Halted: a model or the environment failed.
        """
        name = _name(program, who)
        with self._lock:
            doing = self._doing[name, job]
        with doing:
            if (known := self._ran.get((name, job))) is None:
                self._take()
                known = self._now(rants, backends, f"{name} {job}", job)
                with self._lock:
                    self._ran[name, job] = known
                    if who == STUDENT:
                        self._programs[name] = program
        return known

    def on(self, program: Program, jobs: Sequence[str]) -> list[Done]:
        """What the student has made of these jobs as this program, as far as it has done them."""
        name = _name(program, STUDENT)
        return [self._ran[name, job].done for job in jobs if (name, job) in self._ran]

    def best(self, first: Program) -> Program:
        """The program that does most of the development set: the earliest of equals, and so `first` if it can."""
        return max((first, *self._programs.values()), key=lambda program: self.mean(program) or 0.0)

    def mean(self, program: Program) -> float | None:
        """The mean score of a program on the development set; None where it has not done all of it."""
        done = self.on(program, self.dev)
        return sum(one.score for one in done) / len(done) if len(done) == len(self.dev) else None

    def settle(self) -> None:
        """Wait for the jobs that are still being done in other threads."""
        for doing in list(self._doing.values()):
            with doing:
                pass

    def _take(self) -> None:
        """Take a job's share of the budget."""
        if not self.bounded:
            return
        with self._lock:
            if any(self.mean(program) == 1.0 for program in self._programs.values()):
                raise Spent("perfect")
            if self.calls >= self._most:
                raise Spent("calls")
            if time.monotonic() > self._deadline:
                raise Spent("minutes")
            self.calls += 1

    def _now(self, rants: RANTS, backends: Backends, cell: str, job: str) -> _Ran:
        mine = copy(rants)
        mine.tool_compiler = copy(rants.tool_compiler)
        mine.bind(backends.through(self._cache.cell(cell)))
        try:
            with dspy.context(trace=[]):
                try:
                    done = run_sync(self._jobs[job](mine))
                except (UserError, BudgetSpent) as error:
                    done = Done(0.0, right=False, feedback=f"It failed: {error}")
                return _Ran(done, steps_of(rants, dspy.settings.trace))
        except Exception as error:
            raise Halted from error


STUDENT = "student"
"""Who is optimised; a teacher is somebody else."""


def _name(program: Program, who: str) -> str:
    told = json.dumps([who, {name: kept.model_dump() for name, kept in sorted(program.items())}], sort_keys=True)
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def program_of(rants: RANTS, names: Sequence[str]) -> dict[str, SavedPredictor]:
    """Some predictors of a program."""
    return {name: saved(predictor) for name, predictor in rants.named_predictors() if name in names}
