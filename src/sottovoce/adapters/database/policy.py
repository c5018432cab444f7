"""What an operator has set in this home, and the mark of its clock."""

from __future__ import annotations

import sqlalchemy as sa

from sottovoce.adapters.database.rows import fetch, fetch_one, insert, row_of
from sottovoce.adapters.database.schema import clock_marks, retention_rules
from sottovoce.model.retention import ClockMark, RetentionRule


class SqlPolicy:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def rules(self) -> tuple[RetentionRule, ...]:
        return fetch(self._connection, RetentionRule, retention_rules, {}, order=("kind",))

    def set_rule(self, rule: RetentionRule) -> None:
        self._connection.execute(retention_rules.delete().where(retention_rules.c.kind == rule.kind))
        insert(self._connection, retention_rules, row_of(rule), taken="rule_exists")

    def clock(self, tenant: str) -> ClockMark | None:
        return fetch_one(self._connection, ClockMark, clock_marks, {"tenant": tenant})

    def set_clock(self, mark: ClockMark) -> None:
        self._connection.execute(clock_marks.delete().where(clock_marks.c.tenant == mark.tenant))
        insert(self._connection, clock_marks, row_of(mark), taken="mark_exists")
