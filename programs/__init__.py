"""HOW it is answered: the loop as a DSPy Module, and what it stands on. Knows neither HTTP nor SQL."""

from programs.backends import Backends
from programs.outline import outline
from programs.program import load_program, save_program
from programs.rants import RANTS
from programs.transcript import Message, Sampling, Session, Transcript, Usage

__all__ = [
    "RANTS",
    "Backends",
    "Message",
    "Sampling",
    "Session",
    "Transcript",
    "Usage",
    "load_program",
    "outline",
    "save_program",
]
