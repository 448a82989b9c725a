"""Reports: what a runtime looks like, and what it says about itself, as text.

Pure functions of seats: the table behind ``repr(rt)``, the warning about undelivered events, the line at the end of a
run, and the reason why nothing moves.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastflow._core import kept_batches
from fastflow.stage import Producer

try:
    import resource
except ImportError:
    resource = None  # type: ignore[assignment]  # Windows has no such module

if TYPE_CHECKING:
    from fastflow.runtime.seat import Seat

__all__ = ["Forgotten", "run_line", "stall_text", "table", "undelivered"]


def table(seats: Sequence[Seat], closed: bool, driven: bool) -> str:
    """Stages and what they have done, as aligned columns."""
    state = "closed" if closed else "driven" if driven else "not driven"
    lines = [f"<Runtime: {len(seats)} stages, {state}>"]
    rows: list[tuple[str, ...]] = [("stage", "kind", "state", "handled", "emitted", "buffered", "asked of it")]
    for seat in seats[:40]:
        ended = seat.ended
        place = seat.place
        state = "ended" if ended else "finishing" if place.finishing else "ready" if place.is_ready else "waiting"
        numbers = (place.handled, place.emitted, place.waiting, place.pending)
        rows.append((seat.name, seat.kind, state, *(f"{n:,}" for n in numbers)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        left = "  ".join(row[i].ljust(widths[i]) for i in range(3))
        lines.append("  " + left + "  " + "  ".join(row[i].rjust(widths[i]) for i in range(3, 7)))
    if len(seats) > 40:
        lines.append(f"  ... and {len(seats) - 40} more")
    return "\n".join(lines)


def undelivered(seats: Sequence[Seat]) -> list[str]:
    """A line for each edge with events that nobody has handled, and for each buffer that is not empty."""
    lines = []
    for seat in seats:
        for subscription in seat.place.output_edges:
            asked, sent, acked = subscription.counters
            if sent > acked:
                lines.append(
                    f"{seat.name!r} -> {subscription.consumer.name!r}: {sent - acked} events are left undelivered "
                    f"(asked {asked}, sent {sent}, acked {acked})"
                )
        if seat.ended:
            continue
        buffered = seat.place.buffered
        if buffered:
            lines.append(f"{seat.name!r}: {buffered} events are left in its buffer, which nobody asked for")
        if seat.place.waiting > buffered:
            lines.append(f"{seat.name!r}: {seat.place.waiting - buffered} events are left in its partitions: "
                         f"{queues_text(seat)}")
        if seat.place.held and seat.place.output_edges:
            lines.append(f"{seat.name!r} was held back to the end, so its consumers had nothing more of it; call "
                         "release() on its ref")
    return lines


def stall_text(seats: Sequence[Seat]) -> str:
    """Why nothing moves although a consumer has not ended."""
    reasons = []
    for seat in seats:
        place = seat.place
        if seat.ended:
            continue
        if place.is_held_back:
            kept = ", ".join(f"{who!r} keeps {size:,} bytes" for who, size in kept_batches().items())
            reasons.append(f"{seat.name!r} waits for memory ({kept or 'nobody keeps any'} of batches)")
        elif place.suspended:
            reasons.append(f"{seat.name!r} has put off its turn")
        elif place.full_partitions:
            reasons.append(full_text(seat))
        elif place.held:
            reasons.append(f"{seat.name!r} is held back, and was asked for {place.pending:,} events; call release() "
                           "on its ref")
        elif place.waiting > place.buffered and (place.finishing or not place.pending):
            reasons.append(f"{seat.name!r} has events in its partitions: {queues_text(seat)}")
        elif seat.kind == "producer":
            deaf = getattr(seat.cls, "handle_demand", None) is Producer.handle_demand and not place.native
            if place.pending and deaf:
                reasons.append(f"{seat.name!r} was asked for {place.pending:,} events, but {seat.cls.__name__} has no "
                               "handle_demand; define handle_demand(self, demand)")
            elif place.pending:
                reasons.append(f"{seat.name!r} was asked for {place.pending:,} events and gave none; "
                               "emit them, call wake() when there are some, or finish()")
            elif place.output_edges:
                reasons.append(f"nobody asks {seat.name!r} for events")
            else:
                reasons.append(f"{seat.name!r} has no consumer")
        elif not place.input_edges:
            reasons.append(f"{seat.name!r} is subscribed to nothing")
        else:
            for subscription in place.input_edges:
                reasons.append(edge_text(subscription))
    return "; ".join(reasons)


def full_text(seat: Seat) -> str:
    """Which partitions keep a producer from being asked."""
    full = queues_text(seat, seat.place.full_partitions)
    return f"{seat.name!r} is asked for nothing, since the queue of a partition is full: {full}"


def queues_text(seat: Seat, numbers: Sequence[int] | None = None) -> str:
    """What waits in partitions, and for whom; those that are empty are left out."""
    place = seat.place
    names = place.dispatcher.names
    if numbers is None:
        numbers = [number for number in range(len(names)) if place.events_of_partition(number)]
    queues = []
    for number in numbers[:8]:
        taker = place.partition_taken(number)
        who = "that nobody takes" if taker is None else f"that {taker.consumer.name!r} has not asked for"
        queues.append(f"partition {names[number]!r} has {place.events_of_partition(number):,} events {who}")
    if len(numbers) > 8:
        queues.append(f"and {len(numbers) - 8} more partitions have some")
    return ", ".join(queues)


def edge_text(subscription: Any) -> str:
    """What a consumer waits for on one subscription."""
    asked, sent, acked = subscription.counters
    producer, consumer = subscription.producer.name, subscription.consumer.name
    if sent > acked:
        return f"{consumer!r} has {sent - acked:,} events of {producer!r} waiting, and nobody asks it for output"
    if asked > sent:
        return f"{consumer!r} has asked {producer!r} for {asked - sent:,} events"
    return f"{consumer!r} has not asked {producer!r} for anything"


class Forgotten:
    """What stages came to that the runtime no longer keeps."""

    def __init__(self) -> None:
        self.stages = self.events_in = self.events_out = 0

    def add(self, seat: Seat) -> None:
        """One stage more."""
        self.stages += 1
        if seat.kind == "producer":
            self.events_in += seat.place.emitted
        elif seat.kind == "consumer":
            self.events_out += seat.place.handled


def run_line(seats: Sequence[Seat], forgotten: Forgotten, seconds: float) -> str:
    """One line about a run that is over."""
    total = Forgotten()
    total.stages, total.events_in, total.events_out = forgotten.stages, forgotten.events_in, forgotten.events_out
    for seat in seats:
        total.add(seat)
    return (f"run over: {total.events_in:,} events in, {total.events_out:,} out, {total.stages} stages, {seconds:.3f} "
            f"s, peak memory {peak_memory_mib():,.0f} MiB")


def peak_memory_mib() -> float:
    """The most memory this process has had, in MiB; 0 where that is not known."""
    if resource is None:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024
