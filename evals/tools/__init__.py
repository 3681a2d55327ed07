"""How often the right tools are called with the right arguments: the tool compiler beside the model's own function calling.

Cases are given as a file, one JSON object a line, in the form of the Berkeley Function Calling Leaderboard.
"""
