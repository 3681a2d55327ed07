"""What each run was asked, in short: runs that were there before have none."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE run ADD COLUMN question TEXT NOT NULL DEFAULT ''")
