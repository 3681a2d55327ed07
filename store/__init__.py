"""What RANTS remembers: sessions, runs and their transcripts, in SQLite or PostgreSQL.

async with await Store.open(StateSettings()) as store:
    session = await store.begin(Run(...))
    await store.finish(tenant, run_id, Finished(...))
"""

from store.buckets import Bucket, Draw, Drawn, draw
from store.keys import DAY, Key
from store.looking import Found, Login, Part, Spent, Stretch, Wanted, Window
from store.runs import Finished, Run, Status, StoredRun, StoredSession
from store.settings import StateSettings
from store.store import Store

__all__ = [
    "DAY",
    "Bucket",
    "Draw",
    "Drawn",
    "Finished",
    "Found",
    "Key",
    "Login",
    "Part",
    "Run",
    "Spent",
    "StateSettings",
    "Status",
    "Store",
    "StoredRun",
    "StoredSession",
    "Stretch",
    "Wanted",
    "Window",
    "draw",
]
