"""opencode end to end: small tasks, done by a local model through RANTS and by its own tool calling.

`python -m evals.opencode --gguf PATH` measures and prints a table. `OpenCode` drives the client, here and in the tests.
"""

from evals.opencode.client import Execution, OpenCode, OpenCodeFailed, Session
from evals.opencode.tasks import TASKS, Task

__all__ = ["TASKS", "Execution", "OpenCode", "OpenCodeFailed", "Session", "Task"]
