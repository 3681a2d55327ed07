"""Tool use over several turns: conversations with a library's lending desk, whose end is checked exactly.

In the spirit of tau-bench (arXiv 2406.12045) and of the multi-turn cases of the Berkeley Function Calling Leaderboard,
with a domain and words of our own. A member asks two to four things, some of which go on from what came before; the
model has ten tools over the desk's state, and a page of rules that the tools do not check. A conversation is right when
the state is in the end what it should be, and every answer tells what was asked for. RANTS is asked over HTTP as any
client asks it, beside the same weights' own tool calling.
"""

from evals.turns.run import turns

__all__ = ["turns"]
