"""Gateway tools: what RANTS itself can do in its workspace and beyond. One file a family; the registry joins them."""

from programs.tools.protocol import Caller, Execute, GatewayTool, Result, Runner, Todos

__all__ = ["Caller", "Execute", "GatewayTool", "Result", "Runner", "Todos"]
