"""Which decision of the log a request for a human review contests.

Frozen: a change of the schema is a new migration.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("cases", sa.Column("decision_id", sa.Text(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("sottovoce never goes back to an older schema: restore a backup")
