"""Leases: the processes that live, which run is whose, and which ones somebody has asked to cancel."""

import peewee as pw


def up(migrator, db):
    class Worker(pw.Model):
        id = pw.TextField(primary_key=True)
        process = pw.TextField()
        seen_at = pw.DoubleField()

        class Meta:
            database = db
            table_name = "worker"
            without_rowid = isinstance(db, pw.SqliteDatabase)

    Worker.create_table()
    migrator.migrate(
        migrator.add_column("run", "owner", pw.TextField(null=True)),
        migrator.add_column("run", "cancel_asked_at", pw.DoubleField(null=True)),
    )
