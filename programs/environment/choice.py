"""Which environment, and the one instance of it that a whole process shares."""

from __future__ import annotations

import atexit
import sys
from typing import Literal

from programs.environment.jail import Jail
from programs.environment.monty import Monty
from programs.environment.protocol import Environment

Kind = Literal["auto", "jail", "monty"]

_jail = Jail()  # a zygote costs a second: one for all
_monty = Monty()

atexit.register(_jail.end)  # monty's workers end with the pipes that they read


def shared(kind: Kind) -> Environment:
    """This process's environment of that kind, not yet started. Do not close it: it is everybody's, and ends at exit.

    `auto` is the jail on Linux and monty elsewhere. Where the jail cannot be had, `start` and `open` say so: no other
    takes its place.
    """
    if kind == "auto":
        kind = "jail" if sys.platform == "linux" else "monty"
    return _jail if kind == "jail" else _monty
