"""Each event at a glance, in small rows of their own, also of those that are there."""

import peewee as pw
from pydantic import TypeAdapter

from programs.events import Trajectory
from store.happenings import seen

_BATCH = 100  # events that are in memory at once


def up(migrator, db):
    class Row(pw.Model):
        tenant = pw.TextField()
        run = pw.TextField()
        number = pw.IntegerField()
        body = pw.TextField()

        class Meta:
            database = db

    class Event(Row):
        class Meta:
            table_name = "event"

    class Glance(Row):
        class Meta:
            table_name = "glance"
            primary_key = pw.CompositeKey("tenant", "run", "number")
            without_rowid = isinstance(db, pw.SqliteDatabase)
            constraints = (pw.SQL("FOREIGN KEY (tenant, run) REFERENCES run (tenant, id) ON DELETE CASCADE"),)

    Glance.create_table()
    event = TypeAdapter(Trajectory)
    last = 0
    while there := list(Event.select().where(Event.id > last).order_by(Event.id).limit(_BATCH)):
        last = there[-1].id
        Glance.insert_many(
            (one.tenant, one.run, one.number, seen(one.number, event.validate_json(one.body))) for one in there
        ).execute()
