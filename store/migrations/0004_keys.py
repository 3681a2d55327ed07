"""API keys, what each spends in a day, and which key asked for a run."""

import peewee as pw


def up(migrator, db):
    class Row(pw.Model):
        tenant = pw.TextField()

        class Meta:
            database = db

    class Key(Row):
        id = pw.TextField(primary_key=True)
        name = pw.TextField(null=True)
        digest = pw.TextField(unique=True)
        created_at = pw.DoubleField()
        expires_at = pw.DoubleField(null=True)
        used_at = pw.DoubleField(null=True)
        revoked_at = pw.DoubleField(null=True)
        models = pw.TextField(null=True)
        tools = pw.TextField(null=True)
        calls_per_day = pw.BigIntegerField(null=True)
        tokens_per_day = pw.BigIntegerField(null=True)

        class Meta:
            table_name = "key"

    class Daily(Row):
        key = pw.TextField()
        day = pw.IntegerField()
        calls = pw.BigIntegerField()
        tokens = pw.BigIntegerField()

        class Meta:
            table_name = "daily"
            primary_key = pw.CompositeKey("tenant", "key", "day")

    db.create_tables([Key, Daily])
    migrator.migrate(
        migrator.add_column("run", "key", pw.TextField(null=True)),
        migrator.add_column("usage", "key", pw.TextField(null=True)),
    )
