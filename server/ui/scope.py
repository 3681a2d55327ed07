"""Whose sessions a page may show."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from server.auth import Granted


async def _whose(grant: Granted) -> str:
    return grant.tenant


Whose = Annotated[str, Depends(_whose)]
"""The tenant that a page is about."""
