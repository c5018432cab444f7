"""A story told step by step: each one printed with its time when it has succeeded, or all of it as one object."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sottovoce.doors.cli import payloads
from sottovoce.doors.cli.world import World

Tell = Callable[..., None]


@dataclass(slots=True)
class Telling:
    """Prints each step with its time as it ends, or (quiet) collects everything for one JSON object."""

    world: World
    quiet: bool
    number: int = 0
    began: float = field(default_factory=time.perf_counter)
    collected: payloads.Json = field(default_factory=dict)

    def say(self, text: str) -> None:
        if not self.quiet:
            self.world.console.data(text)

    @contextmanager
    def step(self, title: str, name: str) -> Iterator[Tell]:
        """One step: what it told is printed when it has succeeded."""
        lines: list[str] = []
        facts: payloads.Json = {}

        def tell(line: str, more: payloads.Json | None = None) -> None:
            lines.extend(line.splitlines())
            facts.update(more or {})

        self.number += 1
        start = time.perf_counter()
        with self.world.console.progress(title):
            yield tell
        took_s = time.perf_counter() - start
        self.collected[name] = {**facts, "took_s": round(took_s, 3)}
        style = self.world.console.style
        heading = f"{self.number:>2}  {style.bold(f'{title:<44}')}{style.dim(f'{took_s:6.2f} s')}"
        self.say("\n".join([heading, *(f"      {line}".rstrip() for line in lines)]))

    def end(self, remark: str) -> None:
        total_s = time.perf_counter() - self.began
        self.say(f"\nAll of this held, in {total_s:.1f} s; {remark}.")
        if self.quiet:
            self.world.console.json({**self.collected, "held": True, "took_s": round(total_s, 3)})
