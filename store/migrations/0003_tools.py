"""Tools: which run made a call, what gateway tools have done, and the to-do lists of sessions."""

import peewee as pw


def up(migrator, db):
    class Row(pw.Model):
        tenant = pw.TextField()

        class Meta:
            database = db

    class Call(Row):
        id = pw.TextField()
        run = pw.TextField()

        class Meta:
            table_name = "call"
            primary_key = pw.CompositeKey("tenant", "id")
            without_rowid = isinstance(db, pw.SqliteDatabase)
            indexes = ((("tenant", "run"), False),)
            constraints = (pw.SQL("FOREIGN KEY (tenant, run) REFERENCES run (tenant, id) ON DELETE CASCADE"),)

    class Audit(Row):
        run = pw.TextField()
        session = pw.TextField()
        at = pw.DoubleField()
        call = pw.TextField()
        tool = pw.TextField()
        digest = pw.TextField()
        seconds = pw.DoubleField()
        outcome = pw.TextField()

        class Meta:
            table_name = "audit"
            indexes = ((("tenant", "at"), False),)

    class Todo(Row):
        session = pw.TextField()
        body = pw.TextField()

        class Meta:
            table_name = "todo"
            primary_key = pw.CompositeKey("tenant", "session")
            without_rowid = isinstance(db, pw.SqliteDatabase)
            constraints = (pw.SQL("FOREIGN KEY (tenant, session) REFERENCES session (tenant, id) ON DELETE CASCADE"),)

    db.create_tables([Call, Audit, Todo])
