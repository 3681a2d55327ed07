"""Gateway tools: what RANTS itself can do in its workspace and beyond. One file a family; the registry joins them."""

from programs.tools.protocol import Caller, Execute, Execution, GatewayTool, Result, Runner, Todos
from programs.tools.registry import Registry, workspace_tools
from programs.tools.workspace import Workspace, tenant_folder

__all__ = [
    "Caller",
    "Execute",
    "Execution",
    "GatewayTool",
    "Registry",
    "Result",
    "Runner",
    "Todos",
    "Workspace",
    "tenant_folder",
    "workspace_tools",
]
