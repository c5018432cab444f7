"""Rules of retention and clock marks in memory."""

from __future__ import annotations

from sottovoce.adapters.memory.tables import Tables
from sottovoce.model.retention import ClockMark, RetentionRule


class MemoryPolicy:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def rules(self) -> tuple[RetentionRule, ...]:
        return tuple(
            self._tables.retention_rules.rows[kind] for kind in sorted(self._tables.retention_rules.rows)
        )

    def set_rule(self, rule: RetentionRule) -> None:
        self._tables.retention_rules.put(rule.kind, rule)

    def clock(self, tenant: str) -> ClockMark | None:
        return self._tables.clock_marks.rows.get(tenant)

    def set_clock(self, mark: ClockMark) -> None:
        self._tables.clock_marks.put(mark.tenant, mark)
