"""What RANTS remembers: sessions, runs and their transcripts, in one SQLite file.

async with await Store.open(StateSettings()) as store:
    session = await store.begin(Run(...))
    await store.finish(tenant, run_id, Finished(...))
"""

from store.buckets import Bucket, Draw, Drawn, draw
from store.runs import Finished, Run, Status, StoredRun
from store.settings import StateSettings
from store.store import Store

__all__ = ["Bucket", "Draw", "Drawn", "Finished", "Run", "StateSettings", "Status", "Store", "StoredRun", "draw"]
