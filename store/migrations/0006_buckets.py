"""Token buckets that several processes share: what is in them, and when that was."""

import peewee as pw


def up(migrator, db):
    class Bucket(pw.Model):
        tenant = pw.TextField()
        name = pw.TextField()
        level = pw.DoubleField()
        at = pw.DoubleField()

        class Meta:
            database = db
            table_name = "bucket"
            primary_key = pw.CompositeKey("tenant", "name")

    db.create_tables([Bucket])
