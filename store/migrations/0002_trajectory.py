"""What a run did with its context: its trajectory, an event a row."""

import peewee as pw


def up(migrator, db):
    class Event(pw.Model):
        tenant = pw.TextField()
        run = pw.TextField()
        number = pw.IntegerField()
        body = pw.TextField()

        class Meta:
            database = db
            table_name = "event"
            indexes = ((("tenant", "run", "number"), True),)
            constraints = (pw.SQL("FOREIGN KEY (tenant, run) REFERENCES run (tenant, id) ON DELETE CASCADE"),)

    db.create_tables([Event])
