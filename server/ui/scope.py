"""Whose sessions a page may show."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request

from programs.errors import NotFound
from server.auth import Granted


async def _whose(request: Request, grant: Granted, tenant: Annotated[str | None, Query()] = None) -> str:
    whose = tenant or grant.tenant
    if whose != grant.tenant and not grant.operator:
        raise NotFound("There is no such tenant here.")
    request.state.whose = whose
    return whose


async def _listed(request: Request, grant: Granted, tenant: Annotated[str | None, Query()] = None) -> str | None:
    request.state.whose = None
    return None if grant.operator and not tenant else await _whose(request, grant, tenant)


Whose = Annotated[str, Depends(_whose)]
"""The tenant that a page is about: the key's own, or with `?tenant=NAME` any that an operator names.

`request.state.whose` has it too, so that links of the page stay with that tenant: see `rendering.link`.
"""

Listed = Annotated[str | None, Depends(_listed)]
"""As `Whose`, for a list: None, which is all tenants, where an operator names none."""
