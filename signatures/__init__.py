"""WHAT is asked of a model: typed `dspy.Signature`s, no logic and no I/O."""

from signatures.explore import Conclude, Explore
from signatures.generate import Generate

__all__ = ["Conclude", "Explore", "Generate"]
