"""WHAT is asked of a model: typed `dspy.Signature`s, no logic and no I/O."""

from signatures.act import Act
from signatures.classify import Classify
from signatures.compile_tools import CompileTools, SplitIntent
from signatures.explore import Conclude, Explore
from signatures.generate import Generate
from signatures.look import Look

__all__ = ["Act", "Classify", "CompileTools", "Conclude", "Explore", "Generate", "Look", "SplitIntent"]
