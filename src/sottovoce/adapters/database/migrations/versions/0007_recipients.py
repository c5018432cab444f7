"""Recipients of data, what each has received, their feeds and acknowledgements.

Frozen: a change of the schema is a new migration.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _recipients()
    _disclosures()
    _feed()


def downgrade() -> None:
    raise NotImplementedError("sottovoce never goes back to an older schema: restore a backup")


def _recipients() -> None:
    op.create_table(
        "recipients",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("sealed_name", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("destroyed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recipients")),
    )


def _disclosures() -> None:
    op.create_table(
        "disclosures",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("recipient_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("form", sa.Text(), nullable=False),
        sa.Column("opaque_subject", sa.Text(), nullable=False),
        sa.Column("opaque_session", sa.Text(), nullable=True),
        sa.Column("note", sa.LargeBinary(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["recipient_id"], ["recipients.id"], name=op.f("fk_disclosures_recipient_id")
        ),
        sa.ForeignKeyConstraint(["session_id"], ["recordings.id"], name=op.f("fk_disclosures_session_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.id"], name=op.f("fk_disclosures_subject_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_disclosures")),
    )
    op.create_index(op.f("ix_disclosures_subject_id"), "disclosures", ["subject_id"], unique=False)
    op.create_index(op.f("ix_disclosures_session_id"), "disclosures", ["session_id"], unique=False)
    op.create_index(op.f("ix_disclosures_recipient_id"), "disclosures", ["recipient_id"], unique=False)


def _feed() -> None:
    op.create_table(
        "feed_entries",
        sa.Column("recipient_id", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("opaque_subject", sa.Text(), nullable=False),
        sa.Column("opaque_session", sa.Text(), nullable=True),
        sa.Column("purposes", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("previous", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["recipient_id"], ["recipients.id"], name=op.f("fk_feed_entries_recipient_id")
        ),
        sa.PrimaryKeyConstraint("recipient_id", "number", name=op.f("pk_feed_entries")),
    )
    op.create_index(op.f("ix_feed_entries_cause"), "feed_entries", ["cause"], unique=False)
    op.create_table(
        "acknowledgements",
        sa.Column("recipient_id", sa.Text(), nullable=False),
        sa.Column("through", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("applied_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["recipient_id"], ["recipients.id"], name=op.f("fk_acknowledgements_recipient_id")
        ),
        sa.PrimaryKeyConstraint("recipient_id", "through", name=op.f("pk_acknowledgements")),
    )
