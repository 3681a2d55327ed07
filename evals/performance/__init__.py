"""Speed, measured side by side: ratios to a known neighbour, never a lone time."""

from evals.performance.cache import cache
from evals.performance.gateway import gateway
from evals.performance.loop import loop

__all__ = ["cache", "gateway", "loop"]
