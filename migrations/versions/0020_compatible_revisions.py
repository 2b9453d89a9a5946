"""the revisions whose code works on the tables

Code of an older release reads them in `/readyz`, and so knows whether it works on newer tables.
"""

from alembic import op

revision = "0020"
down_revision = "0019"
# The code before this one rejects all newer tables.
is_backward_compatible = False

ADD_COLUMN = """
    ALTER TABLE alembic_version
    ADD COLUMN compatible_revisions text[] NOT NULL DEFAULT '{}'
"""


def upgrade() -> None:
    op.execute(ADD_COLUMN)


def downgrade() -> None:
    op.drop_column("alembic_version", "compatible_revisions")
