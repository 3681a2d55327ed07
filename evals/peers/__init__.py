"""RANTS's loop and its neighbours, each in a process of its own, asked in the same way. See `speak`."""
