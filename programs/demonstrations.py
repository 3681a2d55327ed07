"""The demonstrations that `Explore` starts with, as native turns; an optimised program brings its own."""

from __future__ import annotations

import dspy

DEMONSTRATIONS: tuple[dspy.Example, ...] = ()
