"""Logins: a browser shows its key once, and from then on a cookie that stands for it."""

from __future__ import annotations

import secrets
import time
from typing import Final

from programs.errors import NotAuthenticated
from server.gatekeeper import Gatekeeper
from server.grants import Grant
from server.keys import digest
from store import Login, Store

COOKIE: Final = "rants_login"


async def begin(gatekeeper: Gatekeeper, store: Store, key: str, *, seconds: float) -> str:
    """Log in with a key; gives what the cookie is to hold: 256 random bits, of which the store has the SHA-256.

    Raises:
        NotAuthenticated: the key is not good.
        StoreError: the store could not be asked or written.
    """
    grant = await gatekeeper.grant(key)
    token = secrets.token_urlsafe(32)
    await store.add_login(Login(digest(token), grant.tenant, digest(key), time.time() + seconds))
    return token


async def grant_of(gatekeeper: Gatekeeper, store: Store, token: str) -> Grant:
    """What the key of a login allows now.

    Raises:
        NotAuthenticated: there is no such login, it is over, or its key is.
        StoreError: the store could not be asked.
    """
    login = await store.login(digest(token))
    if login is None:
        raise NotAuthenticated("The login is over. Show the key again, at /ui/login.")
    return await gatekeeper.grant_of(login.key)


async def end(store: Store, token: str) -> None:
    """Log out.

    Raises:
        StoreError: the store could not be written.
    """
    await store.drop_login(digest(token))
