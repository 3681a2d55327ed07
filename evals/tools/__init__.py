"""How often the right tools are called, and rightly: the tool compiler beside the model's own function calling.

Cases are given as a file, one JSON object a line, in the form of the Berkeley Function Calling Leaderboard.
"""

from evals.tools.run import tools

__all__ = ["tools"]
