"""The first tables: messages and their tree, sessions, runs, usage.

A frozen copy, on purpose independent of `store.tables`, which goes on changing.
"""

import peewee as pw


def _of_tenant(column, table, target):
    """A foreign key that cannot lead to another tenant's row."""
    return pw.SQL(f"FOREIGN KEY (tenant, {column}) REFERENCES {table} (tenant, {target})")


def up(migrator, db):
    class Message(pw.Model):
        tenant = pw.TextField()
        digest = pw.BlobField()
        body = pw.TextField()

        class Meta:
            database = db
            table_name = "message"
            indexes = ((("tenant", "digest"), True),)

    class Prefix(pw.Model):
        tenant = pw.TextField()
        digest = pw.BlobField()
        parent = pw.BlobField(null=True)
        message = pw.BlobField()
        length = pw.IntegerField()

        class Meta:
            database = db
            table_name = "prefix"
            primary_key = pw.CompositeKey("tenant", "digest")
            without_rowid = True
            indexes = ((("tenant", "parent"), False), (("tenant", "message"), False))
            constraints = [  # noqa: RUF012 - Peewee's own convention
                _of_tenant("parent", "prefix", "digest"),
                _of_tenant("message", "message", "digest"),
            ]

    class Session(pw.Model):
        tenant = pw.TextField()
        id = pw.TextField()
        key = pw.TextField(null=True)
        parent = pw.TextField(null=True)
        depth = pw.IntegerField(default=0)
        head = pw.BlobField(null=True)
        created_at = pw.DoubleField()
        updated_at = pw.DoubleField()

        class Meta:
            database = db
            table_name = "session"
            primary_key = pw.CompositeKey("tenant", "id")
            without_rowid = True
            indexes = ((("tenant", "key"), True), (("tenant", "head"), False))
            constraints = [_of_tenant("head", "prefix", "digest")]  # noqa: RUF012

    class Run(pw.Model):
        tenant = pw.TextField()
        id = pw.TextField()
        session = pw.TextField()
        status = pw.TextField()
        background = pw.BooleanField()
        model = pw.TextField()
        request = pw.TextField()
        previous = pw.TextField(null=True)
        input = pw.BlobField(null=True)
        output = pw.BlobField(null=True)
        created_at = pw.DoubleField()
        completed_at = pw.DoubleField(null=True)
        text = pw.TextField()
        steps = pw.TextField()
        timeline = pw.TextField()
        reason = pw.TextField(null=True)
        message = pw.TextField(null=True)
        prompt = pw.IntegerField()
        completion = pw.IntegerField()
        cached = pw.IntegerField()
        estimated = pw.BooleanField()

        class Meta:
            database = db
            table_name = "run"
            primary_key = pw.CompositeKey("tenant", "id")
            indexes = ((("tenant", "session"), False), (("tenant", "output"), False))
            constraints = [  # noqa: RUF012
                _of_tenant("session", "session", "id"),
                _of_tenant("output", "prefix", "digest"),
            ]

    Run.add_index(Run.index(Run.created_at, where=Run.completed_at.is_null(), name="run_unfinished"))

    class Usage(pw.Model):
        tenant = pw.TextField()
        run = pw.TextField()
        created_at = pw.DoubleField()
        prompt = pw.IntegerField()
        completion = pw.IntegerField()
        cached = pw.IntegerField()
        estimated = pw.BooleanField()
        outcome = pw.TextField()
        seconds = pw.DoubleField()

        class Meta:
            database = db
            table_name = "usage"

    db.create_tables([Message, Prefix, Session, Run, Usage])
