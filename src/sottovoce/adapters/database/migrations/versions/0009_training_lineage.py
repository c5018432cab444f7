"""Rounds of training, whose results they used, and which rows have to be left out since.

Frozen: a change of the schema is a new migration.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "training_rounds",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("people", sa.BigInteger(), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("epsilon", sa.Text(), nullable=True),
        sa.Column("delta", sa.Text(), nullable=True),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("on_leave", sa.Text(), nullable=False),
        sa.Column("use_until", sa.BigInteger(), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.Column("dataset_sha256", sa.Text(), nullable=True),
        sa.Column("model_sha256", sa.Text(), nullable=True),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("retired_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_rounds")),
        sa.UniqueConstraint("tenant", "model", "number", name=op.f("uq_training_rounds_tenant_model_number")),
    )
    op.create_table(
        "training_uses",
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("round_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("speaker", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("left_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("label", name=op.f("pk_training_uses")),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.id"], name=op.f("fk_training_uses_subject_id")),
        sa.ForeignKeyConstraint(["session_id"], ["recordings.id"], name=op.f("fk_training_uses_session_id")),
    )
    op.create_index(op.f("ix_training_uses_round_id"), "training_uses", ["round_id"])
    op.create_index(op.f("ix_training_uses_subject_id"), "training_uses", ["subject_id"])
    op.create_index(op.f("ix_training_uses_session_id"), "training_uses", ["session_id"])
    op.create_table(
        "training_departures",
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("round_id", sa.Text(), nullable=False),
        sa.Column("speaker", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("excluded", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("label", name=op.f("pk_training_departures")),
    )
    op.create_index(op.f("ix_training_departures_round_id"), "training_departures", ["round_id"])


def downgrade() -> None:
    raise NotImplementedError("sottovoce never goes back to an older schema: restore a backup")
