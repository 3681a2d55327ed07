"""The `/v1` wire and nothing else: routes, server-sent events, keys, limits, configuration, command line."""
