"""Finding the runs that are older than `state.retention_days`."""


def up(migrator, db):
    migrator.migrate(migrator.add_index("run", ("completed_at",)))
