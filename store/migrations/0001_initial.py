"""The first tables: messages and the tree of their transcripts, sessions, runs, and what runs cost."""

import peewee as pw


def _same_tenant(column, table, target):
    """A foreign key that cannot lead to another tenant's row."""
    return pw.SQL(f"FOREIGN KEY (tenant, {column}) REFERENCES {table} (tenant, {target})")


def up(migrator, db):
    class Row(pw.Model):
        tenant = pw.TextField()

        class Meta:
            database = db

    class Message(Row):
        digest = pw.BlobField()
        body = pw.TextField()

        class Meta:
            table_name = "message"
            indexes = ((("tenant", "digest"), True),)

    class Prefix(Row):
        digest = pw.BlobField()
        parent = pw.BlobField(null=True)
        message = pw.BlobField()
        length = pw.IntegerField()

        class Meta:
            table_name = "prefix"
            primary_key = pw.CompositeKey("tenant", "digest")
            without_rowid = isinstance(db, pw.SqliteDatabase)
            indexes = ((("tenant", "parent"), False), (("tenant", "message"), False))
            constraints = (
                _same_tenant("parent", "prefix", "digest"),
                _same_tenant("message", "message", "digest"),
            )

    class Session(Row):
        id = pw.TextField()
        key = pw.TextField(null=True)
        parent = pw.TextField(null=True)
        depth = pw.IntegerField(constraints=[pw.SQL("DEFAULT 0")])
        head = pw.BlobField(null=True)
        created_at = pw.DoubleField()
        updated_at = pw.DoubleField()

        class Meta:
            table_name = "session"
            primary_key = pw.CompositeKey("tenant", "id")
            without_rowid = isinstance(db, pw.SqliteDatabase)
            indexes = ((("tenant", "key"), True), (("tenant", "head", "key"), False))
            constraints = (_same_tenant("head", "prefix", "digest"),)

    class Run(Row):
        id = pw.TextField()
        session = pw.TextField()
        background = pw.BooleanField()
        model = pw.TextField()
        request = pw.TextField()
        previous = pw.TextField(null=True)
        input = pw.BlobField(null=True)
        created_at = pw.DoubleField()
        output = pw.BlobField(null=True)
        status = pw.TextField()
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
            table_name = "run"
            primary_key = pw.CompositeKey("tenant", "id")
            indexes = ((("tenant", "session"), False), (("tenant", "output"), False))
            constraints = (
                _same_tenant("session", "session", "id"),
                _same_tenant("output", "prefix", "digest"),
            )

    Run.add_index(Run.index(Run.created_at, where=Run.completed_at.is_null(), name="run_unfinished"))

    class Usage(Row):
        run = pw.TextField()
        created_at = pw.DoubleField()
        outcome = pw.TextField()
        seconds = pw.DoubleField()
        prompt = pw.IntegerField()
        completion = pw.IntegerField()
        cached = pw.IntegerField()
        estimated = pw.BooleanField()

        class Meta:
            table_name = "usage"

    for table in (Message, Prefix, Session, Run, Usage):  # in this order: each refers to those before it
        table.create_table()
