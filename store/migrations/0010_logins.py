"""Browsers that have shown a key."""

import peewee as pw


def up(migrator, db):
    class Login(pw.Model):
        tenant = pw.TextField()
        digest = pw.TextField(primary_key=True)
        key = pw.TextField()
        expires_at = pw.DoubleField()

        class Meta:
            database = db
            table_name = "login"
            without_rowid = isinstance(db, pw.SqliteDatabase)

    Login.create_table()
