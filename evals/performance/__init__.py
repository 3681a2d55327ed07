"""Speed, measured side by side: ratios to a known neighbour, never a lone time."""
