"""How well and how fast RANTS does: benchmarks, scores, optimisation, performance."""
