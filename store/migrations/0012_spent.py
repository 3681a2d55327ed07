"""What the calls of each model have cost in a run, and why a run has ended: for what is told of a time."""

import peewee as pw


def up(migrator, db):
    class Spent(pw.Model):
        tenant = pw.TextField()
        run = pw.TextField()
        role = pw.TextField()
        created_at = pw.DoubleField()
        calls = pw.IntegerField()
        failed = pw.IntegerField()
        seconds = pw.DoubleField()
        prompt = pw.BigIntegerField()
        completion = pw.BigIntegerField()
        cached = pw.BigIntegerField()

        class Meta:
            database = db
            table_name = "spent"
            indexes = ((("tenant", "created_at"), False),)

    db.create_tables([Spent])
    db.execute_sql("ALTER TABLE usage ADD COLUMN reason TEXT")
    db.execute_sql(
        "UPDATE usage SET reason = (SELECT reason FROM run WHERE run.tenant = usage.tenant AND run.id = usage.run)"
    )
    migrator.migrate(migrator.add_index("usage", ("tenant", "created_at")))
