"""Speed, measured side by side: ratios to a known neighbour, never a lone time. And what holds under load."""

from evals.performance.cache import cache
from evals.performance.chaos import chaos
from evals.performance.crowd import crowd
from evals.performance.gateway import gateway
from evals.performance.loop import loop
from evals.performance.soak import soak

__all__ = ["cache", "chaos", "crowd", "gateway", "loop", "soak"]
