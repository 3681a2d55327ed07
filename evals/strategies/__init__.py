"""The strategies of `rants eval`, by name: ways to have the same model answer a question about a text."""

from evals.strategies.strategy import Said, Strategy

__all__ = ["Said", "Strategy"]
