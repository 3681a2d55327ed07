"""Tasks that a runtime must answer exactly when the models in it do: long texts, questions, and models that know.

    task = labels.make(seed=1)
    with ScriptedBackend(scripted_root) as root, ScriptedBackend(Oracle(task.gold)) as sub_lm:
        ...  # explore task.context with these two: the answer is task.answer, to the character

The modules `labels`, `pairs`, `needle` and `depth` each make one kind of task from a seed; what is right is known by
construction. `scripted_root` writes the code that a good root LM would write, over several turns; `Oracle` answers what
this code asks a sub-LM. So a wrong answer is the runtime's: something was lost, doubled, or put out of order.
"""

from evals.tasks.instances import LABELS, Instance, made_up, read_instances
from evals.tasks.oracle import Oracle
from evals.tasks.root import scripted_root
from evals.tasks.task import Task

__all__ = ["LABELS", "Instance", "Oracle", "Task", "made_up", "read_instances", "scripted_root"]
