"""A subscriber within the process, which checks what it is promised."""

from __future__ import annotations

from typing import Any

from longwire.hub import Hub
from longwire.hub.entries import Position, Verdict
from longwire.hub.subscriptions import Missing, Request


class Listener:
    """A subscriber within the process that can be without room."""

    def __init__(self, hub: Hub, topic: str) -> None:
        self.hub = hub
        self.topic = topic
        self.subs: dict[str, Any] = {}
        self.behind: dict[Any, None] = {}
        self.has_room = True
        self.position: Position | None = None
        self.offsets: list[tuple[str, int, int]] = []
        self.data: list[bytes] = []
        self.gaps: list[Missing] = []
        self.verdicts: list[Any] = []
        self._then: Any = None

    async def subscribe(self, since: Position | None = None) -> Any:
        service = self.hub._running
        declaration, _ = service.find(self.topic)
        wanted = [(self.topic, declaration.storage, declaration.slow, since, 0)]
        (found,) = await service.driver.subscribe(self, wanted)
        if not isinstance(found, Request):
            raise found
        outcome = found.outcome
        self.verdicts.append(outcome.verdict)
        if outcome.verdict is Verdict.COMPLETE:
            self.position = since
        else:
            self.position = outcome.position if not outcome.entries else None
        for entry in outcome.entries:
            self._take(entry)
        service.driver.activate(found.sub)
        return outcome

    def _take(self, entry: Any) -> None:
        before = self.position
        if before is not None:
            assert (entry.epoch, entry.prev) == (before.epoch, before.offset), (
                before,
                entry,
            )
            assert entry.prev_tag in (None, before.tag), (before, entry)
        self.position = entry.position
        self.offsets.append((entry.epoch, entry.offset, entry.tag))
        self.data.append(entry.data)

    def deliver(self, message: Any) -> bool:
        if not self.has_room:
            return False
        assert message.before == self.position
        if isinstance(message, Missing):
            self.gaps.append(message)
            self.position = message.after
        else:
            for entry in message.entries:
                self._take(entry)
        return True

    def wait_for_room(self, then: Any) -> None:
        self._then = then

    def open(self) -> None:
        """There is room again."""
        self.has_room = True
        if self._then is not None:
            then, self._then = self._then, None
            then(self)

    def hang_up(self, reason: str, limit: str, value: float | None) -> None:
        raise AssertionError(f"hung up on: {reason}")

    @property
    def reasons(self) -> list[str]:
        return [gap.reason for gap in self.gaps]
