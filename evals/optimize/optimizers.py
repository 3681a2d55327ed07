"""DSPy's optimisers, as this project runs them. Each tries programs until the budget ends (`Spent`) or it is done.

None of them chooses: what each program has made of the development set is remembered by the work, and the best is taken
from there.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dspy
from dspy.utils.exceptions import AdapterParseError

from evals.optimize.student import Student
from programs.errors import ConfigurationError

_SETS = 8  # of demonstrations, found in other orders of the training set
_CANDIDATES = 10  # instructions, and sets of demonstrations, that MIPROv2 combines
_REFLECTED = 3  # jobs that GEPA shows a reflecting model at once


@dataclass(frozen=True, slots=True)
class Search:
    """What an optimiser searches with.

    Attributes:
        student: what is there, to begin with.
        teacher: does the jobs that demonstrations are made of.
        lm: writes instructions, and reflects.
        train, dev: the jobs' names.
        calls: the budget, in jobs.
        demos: the most demonstrations to add.
        seed: of all that is left to chance.
        concurrency: jobs at once.
    """

    student: Student
    teacher: Student
    lm: dspy.LM
    train: Sequence[str]
    dev: Sequence[str]
    calls: int
    demos: int
    seed: int
    concurrency: int

    @property
    def trainset(self) -> list[dspy.Example]:
        """For DSPy: examples that name their jobs, and hold nothing that would be long in a log."""
        return _examples(self.train)

    @property
    def devset(self) -> list[dspy.Example]:
        """See `trainset`."""
        return _examples(self.dev)


def bootstrap(search: Search) -> None:
    """`dspy.BootstrapFewShot`, with the training set in one order after the other.

    What it finds is tried both after the demonstrations that are there and in their place.
    """
    dice = random.Random(search.seed)
    for turn in range(_SETS):
        jobs = search.trainset
        dice.shuffle(jobs)
        most = search.demos if turn == 0 else dice.randint(1, search.demos)
        finding = dspy.BootstrapFewShot(metric=right, max_bootstrapped_demos=most, max_labeled_demos=0, max_errors=1)
        found = finding.compile(search.student, teacher=search.teacher, trainset=jobs)
        for kept in (True, False):
            candidate = search.student.deepcopy()
            for (_, one), (_, more) in zip(candidate.named_predictors(), found.named_predictors(), strict=True):
                one.demos = [*(one.demos if kept else ()), *more.demos]
            look(candidate, search.dev, search.concurrency)


def look(student: Student, jobs: Sequence[str], concurrency: int) -> None:
    """Have the student do these jobs."""
    evaluate = dspy.Evaluate(
        devset=_examples(jobs), metric=score, num_threads=concurrency, max_errors=1, display_progress=True
    )
    evaluate(student)


class _MIPROv2(dspy.MIPROv2):  # type: ignore[misc]
    """MIPROv2 that goes on from the demonstrations which are there, as it does from the instructions.

    It would begin without any, and weak models cannot do without: so each set of those that it finds is also tried
    after them. It has no hook for that.
    """

    def _bootstrap_fewshot_examples(self, program: Student, *args: Any, **named: Any) -> dict[int, list[list[Any]]]:
        found = super()._bootstrap_fewshot_examples(program, *args, **named)
        return {
            place: [
                list(predictor.demos),
                *(more for demos in found[place] for more in ([*predictor.demos, *demos], demos)),
            ]
            for place, predictor in enumerate(program.predictors())
        }


def miprov2(search: Search) -> None:
    """`dspy.MIPROv2`: combinations of instructions, which a model proposes, and of demonstrations, by Optuna's TPE."""
    trials = max(2, search.calls // len(search.dev))
    candidates = max(3, min(_CANDIDATES, trials // 2))
    optimizer = _MIPROv2(
        metric=score,
        prompt_model=search.lm,
        task_model=search.lm,  # not asked: the student has models of its own
        auto=None,
        num_candidates=candidates,
        max_bootstrapped_demos=search.demos,
        max_labeled_demos=0,
        metric_threshold=1.0,  # of what may be shown
        num_threads=search.concurrency,
        max_errors=1,
        # It takes its own seed for 0.
        seed=search.seed + 1,
        track_stats=False,
    )
    _proposing(
        optimizer.compile,
        search.student,
        teacher=search.teacher,
        trainset=search.trainset,
        valset=search.devset,
        num_trials=trials,
        minibatch=False,
        # It would read the whole program, and jobs say nothing but their names.
        program_aware_proposer=False,
        data_aware_proposer=False,
    )


def _proposing(run: Callable[..., object], *args: Any, **named: Any) -> None:
    """Run an optimiser that has instructions proposed.

    Raises:
        ConfigurationError: the model that is to propose instructions does not write what DSPy asks for.
    """
    try:
        run(*args, **named)
    except AdapterParseError as error:
        raise ConfigurationError(
            "the model that is to propose instructions does not write them in the form that DSPy asks for: name one"
            " that can with --teacher, or take the optimiser bootstrap"
        ) from error


def gepa(search: Search) -> None:
    """`dspy.GEPA` (arXiv 2507.19457): instructions that a model writes which reads what went wrong, and why."""
    search.student.cut = True
    optimizer = dspy.GEPA(
        metric=_with_feedback,
        max_metric_calls=search.calls,
        reflection_minibatch_size=min(_REFLECTED, len(search.train)),
        reflection_lm=search.lm,
        num_threads=search.concurrency,
        seed=search.seed,
    )
    optimizer.compile(search.student, trainset=search.trainset, valset=search.devset)


type Optimizer = Callable[[Search], None]

OPTIMIZERS: Mapping[str, Optimizer] = {"bootstrap": bootstrap, "gepa": gepa, "miprov2": miprov2}


def score(example: dspy.Example, said: dspy.Prediction, trace: Any = None) -> float:
    """DSPy's metric by which programs are compared."""
    return float(said.score)


def right(example: dspy.Example, said: dspy.Prediction, trace: Any = None) -> bool:
    """DSPy's metric of what may be shown."""
    return bool(said.right)


def _with_feedback(
    gold: dspy.Example, pred: dspy.Prediction, trace: Any = None, pred_name: Any = None, pred_trace: Any = None
) -> dspy.Prediction:
    """GEPA's metric."""
    return dspy.Prediction(score=float(pred.score), feedback=pred.feedback)


def _examples(jobs: Sequence[str]) -> list[dspy.Example]:
    return [dspy.Example(job=job).with_inputs("job") for job in jobs]
