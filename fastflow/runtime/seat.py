"""Seats: what happens rarely to a place, from its stage's construction to its end.

    template ──construct, setup──▶ turns (`fastflow._place`) ──▶ end: terminate, result, tell the neighbours

A seat runs on its scheduler's thread.  What other threads want of it comes as mail.  The end of a stage goes two ways:
its consumers learn of it behind the last event that was sent to them, its producers at once.
"""

from __future__ import annotations

import logging
import os
import threading
import zlib
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from fastflow._place import Place
from fastflow._scheduler import Reply, Timer
from fastflow.errors import CallbackError, Closed, Killed, OptionError, Retry, SchemaError
from fastflow.runtime import joining
from fastflow.runtime.reader import Reader
from fastflow.runtime.recipe import Recipe
from fastflow.runtime.ref import Ref, Subscription
from fastflow.schema import Schema, same_or_refuse
from fastflow.stage import LATER, Stage, check_isolate

if TYPE_CHECKING:
    from fastflow.runtime.runtime import Runtime

__all__ = ["Seat"]

log = logging.getLogger("fastflow.runtime")

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def user_frames(traceback: TracebackType | None) -> TracebackType | None:
    """Drop our own frames from the outer end of a traceback: what is left begins with the user's callback."""
    first = traceback
    while first is not None and _is_ours(first.tb_frame.f_code.co_filename):
        first = first.tb_next
    return first if first is not None else traceback


def _is_ours(filename: str) -> bool:
    """Whether a frame belongs to the machinery; compiled modules give a path relative to the package's folder."""
    return filename.startswith("fastflow/_") or os.path.dirname(filename).startswith(_PACKAGE)


_doors = threading.Lock()

#: Which callback a message is for.
CALLBACKS_OF_MAIL = {
    "call": "handle_call", "cast": "handle_cast", "info": "handle_info", "info in order": "handle_info",
    "due info": "handle_info", "again": "handle_cancel",
}


class Extras:
    """What most stages never need: it comes when it is needed, since there may be a million of them."""

    __slots__ = ("done", "kernel", "kernel_schema", "name", "traceback", "value", "waiting_calls", "warned", "watchers")

    def __init__(self) -> None:
        self.done: Reply | None = None
        self.kernel: Any = None
        self.kernel_schema: Any = None
        self.name: str | None = None
        self.traceback: TracebackType | None = None
        self.value: Any = None
        self.waiting_calls: list[Reply] = []
        self.warned: set[str] = set()
        self.watchers: list[Callable[[Seat], None]] = []


class Seat:
    """One stage's place in a runtime.

    Parameters
    ----------
    recipe : Recipe
        What the stage is made of.
    name : str or None
        The one that the user gave.
    number : int
        Otherwise, the stage's number among the unnamed ones of its class, which makes a name.
    """

    __slots__ = ("_extras", "_ref", "accepts", "ending", "place", "reason", "recipe")

    def __init__(self, recipe: Recipe, name: str | None, number: int) -> None:
        self.recipe = recipe
        self.ending = False
        self.accepts: Schema | None = None
        self.reason: Any = None
        self._ref: Ref | None = None
        self._extras: Extras | None = None
        self.place = Place(recipe.runtime.scheduler, recipe.emits)
        self.place.host = self
        self.place.number = number
        if name is not None:
            self.extras.name = name

    @property
    def extras(self) -> Extras:
        """What is rare; made when it is first asked for."""
        if self._extras is None:
            with _doors:
                if self._extras is None:
                    self._extras = Extras()
        return self._extras

    @property
    def ended(self) -> bool:
        """Whether the stage has ended."""
        return self.place.ended

    @property
    def value(self) -> Any:
        """What its `result` returned."""
        return None if self._extras is None else self._extras.value

    @property
    def runtime(self) -> Runtime:
        """The runtime that it belongs to."""
        return self.recipe.runtime

    @property
    def cls(self) -> type[Stage]:
        """The stage's class."""
        return self.recipe.cls

    @property
    def kind(self) -> str:
        """Which kind of stage it is."""
        return self.recipe.kind

    @property
    def stage(self) -> Any:
        """The stage that sits here."""
        return self.place.stage

    @property
    def name(self) -> str:
        """Its name, for messages."""
        extras = self._extras
        if extras is not None and extras.name is not None:
            return extras.name
        return f"{self.recipe.base_name}-{self.place.number}"

    @property
    def named(self) -> bool:
        """Whether the user gave it a name."""
        return self._extras is not None and self._extras.name is not None

    @property
    def ref(self) -> Ref:
        """What users hold of it."""
        if self._ref is None:
            with _doors:
                if self._ref is None:
                    self._ref = Ref(self)
        return self._ref

    def new_ref(self) -> Ref:
        """The same of a stage that nobody else knows yet."""
        ref = self._ref
        if ref is None:
            ref = self._ref = Ref(self)
        return ref

    @property
    def done(self) -> Reply:
        """What is set when the stage has ended."""
        extras = self.extras
        if extras.done is None:
            with _doors:
                if extras.done is None:
                    extras.done = Reply()
            if self.ended:
                extras.done.set(None)
        return extras.done

    def warn_once(self, what: str) -> bool:
        """Whether a warning of that kind is still to be given."""
        if what in self.extras.warned:
            return False
        self.extras.warned.add(what)
        return True

    def has_warned(self, what: str) -> bool:
        """Whether a warning of that kind was given."""
        return self._extras is not None and what in self._extras.warned

    def watch(self, watcher: Callable[[Seat], None]) -> None:
        """Have a function called when the stage has ended."""
        self.extras.watchers.append(watcher)

    # -- start --

    def construct(self) -> None:
        """Construct the stage from its template's arguments, in its place, and set it up."""
        recipe, place = self.recipe, self.place
        stage = recipe.construct()
        own = recipe.own_options(stage)
        place.seat(stage, recipe.state, recipe.hears_demand and not recipe.native)
        if recipe.takes:
            self.accepts = recipe.accepts(own)
        if recipe.emits:
            self.prepare_output(stage, own)
        isolate = own.get("isolate", self.cls.isolate)
        if isolate is not False:
            self.isolate(stage, isolate)
        try:
            if recipe.sets_up:
                place.take("setup", stage.setup, (), None, False)
                recipe.check(stage, "setup()")
            place.first_commit()
        except BaseException as error:
            error.add_note(f"in stage {self.name!r} ({self.cls.__name__}), callback setup")
            if isinstance(error, Retry):
                error.add_note("setup is no turn, so it can't be taken again; start the stage again later")
            place.vacate()
            place.leave_queue()         # it may have finished in its setup
            raise

    def isolate(self, stage: Any, how: Any) -> None:
        """Give a stage that blocks a thread of its own to do that on."""
        check_isolate(self.cls, how)
        if how is None:
            return
        reader = Reader(self.runtime, self.place)
        stage.read_by(reader)
        self.watch(lambda _seat: reader.stop())

    def prepare_output(self, stage: Any, own: dict[str, Any]) -> None:
        """What a stage that emits has besides: a schema, a buffer, a dispatcher."""
        place = self.place
        self.recipe.choose_dispatcher(place)
        place.keep(
            own.get("buffer_size", self.cls.buffer_size), own.get("buffer_keep", self.cls.buffer_keep) == "first",
            own.get("whole", self.cls.whole),
        )
        dtype = own.get("dtype", stage.dtype)
        if dtype is not None:
            place.set_schema(Schema.of(dtype))
        if own.get("hold", self.cls.hold):
            place.hold(True)
        if self.recipe.native:
            self.seat_kernel(None)

    def shuffle_seed(self) -> int:
        """Of the order of its consumers."""
        return zlib.crc32(self.name.encode(), self.runtime.seed & 0xFFFFFFFF)

    def seat_kernel(self, schema: Schema | None) -> None:
        """A native stage learns its schema: a source says it, a sink takes that of its first producer."""
        extras = self.extras
        if extras.kernel is None:
            extras.kernel = self.stage.make_kernel(None if schema is None else schema)
            self.place.seat_kernel(extras.kernel)
            extras.kernel_schema = schema
        elif schema is not None and schema != extras.kernel_schema:
            raise SchemaError(
                f"{self.name!r} ({self.cls.__name__}): got a second producer of {schema.describe()}, expected "
                f"{extras.kernel_schema.describe()} as from the first; convert one of them, or start two stages"
            )

    # -- subscriptions --

    def subscribe(self, producer: Seat, given: dict[str, Any]) -> Subscription:
        """Join this stage to a producer."""
        return joining.subscribe(self, producer, given)

    def subscribe_somehow(self, to: Any, given: dict[str, Any]) -> None:
        """The same for somebody who does not wait to hear how it went."""
        joining.subscribe_somehow(self, to, given)

    def resubscribe(self, old: Subscription, reason: Any, given: dict[str, Any]) -> Subscription:
        """Replace a subscription by a new one, in one step."""
        return joining.resubscribe(self, old, reason, given)

    def tell_dispatcher(self, what: str, *args: Any) -> None:
        """Word to a dispatcher of the user's own."""
        dispatcher = self.place.dispatcher
        if dispatcher is not None and self.place.by_protocol:
            getattr(dispatcher, what)(*args)

    def consumer_left(self, subscription: Subscription) -> None:
        """A dispatcher in Python hears that a consumer takes nothing more."""
        try:
            self.tell_dispatcher("cancel", subscription)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.failed(error, "cancel of its dispatcher", None, -1, 0)

    def check_schema(self, producer: Seat, schema: Schema, convert: bool) -> bool:
        """Refuse events that this stage doesn't take; True: they are to be cast."""
        cast = False
        if self.accepts is not None:
            cast = same_or_refuse(schema, self.accepts, producer.name, self.name, convert) == "cast"
        if self.recipe.native:
            self.seat_kernel(self.accepts if cast else schema)
        return cast

    def first_output(self, events: Any) -> None:
        """What one event is, seen at the first output of a stage that did not declare it; fixes its subscriptions."""
        schema = Schema.infer(events)
        self.place.set_schema(schema)
        for subscription in self.place.output_edges:
            consumer = subscription.consumer_place.host
            cast = consumer.check_schema(self, schema, subscription.options.convert)
            subscription.set_schema(consumer.accepts if cast else schema, cast)

    def cancel_subscription(self, subscription: Subscription, reason: Any) -> None:
        """The consumer ends one of its subscriptions."""
        producer = subscription.producer_place.host
        if subscription.closed:
            return
        if self.place.busy or producer.place.busy:
            self.runtime.scheduler.post(self.cancel_subscription, subscription, reason)
            return
        _, sent, acked = subscription.counters
        if producer.ended and sent > acked:
            log.warning(
                "%r -> %r: %d events are discarded: the subscription was cancelled, and their producer has ended",
                producer.name, self.name, sent - acked,
            )
        subscription.close(True)
        producer.hear_cancel(reason, subscription)
        self.input_ended(subscription, reason)

    def hear_cancel(self, reason: Any, subscription: Subscription) -> None:
        """`handle_cancel`, as a turn of its own; a failure in it is this stage's."""
        if self.ending or self.cls.handle_cancel is Stage.handle_cancel:
            return
        if self.place.busy:                     # in a turn of its own, which must end first
            self.runtime.scheduler.post(self.hear_cancel, reason, subscription)
            return
        self.guarded("handle_cancel", self.stage.handle_cancel, (reason, subscription), subscription)

    # -- turns that the place passes on --

    def guarded(
        self,
        callback: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        source: Any = None,
        then: Callable[[], None] | None = None,
    ) -> None:
        """Take one of the rare callbacks as a turn, and do `then` when it has not failed."""
        try:
            self.place.take(callback, function, args, source)
        except Retry as pause:
            self.put_off(("again", (callback, function, args, source, then), None), "mail", pause)
            return
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.failed(error, callback, source, -1, 0)
            return
        if then is not None:
            then()

    def put_off(self, message: Any, kind: Literal["mail", "timer"], pause: Retry) -> None:
        """A Retry in a turn that was taken here: the same message again, and nothing else before it."""
        if kind == "mail":
            self.place.post_first(message)
        else:
            self.place.fire_first(message)
        self.place.put_off(kind)
        self.resume_after(pause.after)

    def mail_turn(self, message: tuple[Any, ...]) -> None:
        """One message: a call, a cast or an info."""
        kind, content, reply = message
        stage = self.stage
        try:
            if kind == "call":
                value = self.place.take("handle_call", stage.handle_call, (content, self.answerer(reply)), None, False)
                if value is not LATER:
                    self.answer(reply, value)
            elif kind == "again":
                self.guarded(*content)
            elif kind == "cast":
                self.place.take("handle_cast", stage.handle_cast, (content,))
            elif kind == "due info":
                self.place.take("handle_info", stage.handle_info, (self.place.due_info(),))
                self.place.info_was_handled()
            elif kind == "info" or not self.place.info_waits(content):
                self.place.take("handle_info", stage.handle_info, (content,))
        except Retry as pause:
            self.put_off(message, "mail", pause)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if reply is not None:
                closed = Closed(f"call to {self.name!r}: it failed in handle_call ({error!r}); see the cause")
                closed.__cause__ = error
                reply.fail(closed)
            self.failed(error, f"handle_{kind}", None, -1, 0)
        if type(reply) is Reply and reply.is_set and not self.runtime.here_alone:
            self.runtime.scheduler.give_way(reply)

    def timer_turn(self, timer: Timer) -> None:
        """A timer has fired: its message, as handle_info."""
        try:
            self.place.take("handle_info", self.stage.handle_info, (timer.message,))
        except Retry as pause:
            self.put_off(timer, "timer", pause)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.failed(error, "handle_info", None, -1, 0)

    def end_of_input(self, subscription: Subscription, reason: Any) -> None:
        """The end of a producer has been reached in its ring."""
        subscription.close(False)
        self.input_ended(subscription, reason)

    def input_ended(self, subscription: Subscription, reason: Any) -> None:
        """What the end of a subscription means, by its cancel mode."""
        self.guarded("handle_cancel", self.stage.handle_cancel, (reason, subscription), subscription,
                     lambda: self.after_input(subscription, reason))

    def after_input(self, subscription: Subscription, reason: Any) -> None:
        """Its handle_cancel is done: does the stage end?"""
        if self.ending:
            return
        abnormal = isinstance(reason, BaseException)
        mode = subscription.options.cancel
        if mode == "permanent" or (mode in ("auto", "transient") and abnormal):
            if abnormal:
                self.runtime.same_failure(reason, self)
            self.end(reason)
        elif mode == "auto" and self.place.open_inputs == 0:
            self.guarded("handle_end", self.stage.handle_end, (), None,
                         lambda: self.stage._sources_over(self.place.finish))

    # -- what a stage asks for in its turns --

    def now(self) -> float:
        """Seconds on the runtime's clock."""
        return self.runtime.clock()

    def after(self, seconds: float, message: Any) -> Timer:
        """A timer; it is set when the turn commits."""
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < float("inf"):
            raise ValueError(f"after of {self.name!r}: got {seconds!r}, expected seconds from 0 up; give 0.5, say")
        if not self.place.busy and not self.runtime.here:
            raise CallbackError(f"after of {self.name!r}: got a call from another thread, expected one in a callback; "
                                "send the stage a message, and call after in handle_info")
        scheduler = self.runtime.scheduler
        timer = Timer(scheduler.clock() + seconds, self.place, message)
        if self.place.busy:
            self.place.later(scheduler.start_timer, (timer,))
        else:
            scheduler.start_timer(timer)
        return timer

    def resume_after(self, seconds: float) -> None:
        """A Retry: the same turn again after so many seconds."""
        scheduler = self.runtime.scheduler
        scheduler.start_timer(Timer(scheduler.clock() + seconds, self.place, None, True))

    def finish_from_outside(self) -> None:
        """`finish` of a stage, called outside of its turns."""
        self.runtime.execute_soon(self.place.finish)

    def wake_from_outside(self) -> None:
        """`wake` of a stage, called outside of its turns."""
        self.runtime.execute_soon(self.place.wake)

    def held_back(self, error: BaseException) -> None:
        """Memory is short: the stage waits until others let go of what they keep."""
        log.warning("%s", error)

    def large_buffer(self, events: int) -> None:
        """The buffer has grown past 64 MiB."""
        log.warning(
            "stage %r: %d events wait in its buffer, more than 64 MiB; emit what is asked for, or set buffer_size",
            self.name, events,
        )

    def discarded_events(self, count: int) -> None:
        """A bounded buffer discarded events."""
        try:
            told = self.stage.format_discarded(count) is False
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.failed(error, "format_discarded", None, -1, 0)
            return
        if not told:
            log.warning("stage %r has discarded %d events from its buffer", self.name, count)

    def dropped_return(self, callback: str) -> None:
        """A consumer returned something: there is nobody to send it to."""
        if self.warn_once("return"):
            log.error(
                "consumer %r: %s returned something, expected None, since a consumer emits nothing; it was dropped. "
                "Make it an ff.ProducerConsumer, or return None",
                self.name, callback,
            )

    # -- calls and messages --

    def answerer(self, reply: Reply) -> Callable[[Any], None]:
        """What handle_call gets to answer with, now or later; from a turn the answer leaves when that commits."""
        return lambda value: self.runtime.execute_soon(self.answer, reply, value)

    def answer(self, reply: Reply, value: Any) -> None:
        """Answer a call; only the first answer counts."""
        reply.set(value)
        self.forget_call(reply)

    def call(self, request: Any, timeout: float | None) -> Any:
        """`Ref.call`, on the caller's thread."""
        reply = Reply()
        self.send_call(request, reply)
        return reply.wait(timeout, f"call to {self.name!r}")

    async def acall(self, request: Any, timeout: float | None) -> Any:
        """`Ref.acall`, on the caller's event loop."""
        from fastflow.runtime.awaited import AwaitedReply  # asyncio takes long to import, and few need it

        reply = AwaitedReply()
        self.send_call(request, reply)
        try:
            return await reply.answer(timeout, f"call to {self.name!r}")
        finally:
            if not reply.is_set:
                self.runtime.execute_soon(self.forget_call, reply)

    def forget_call(self, reply: Reply) -> None:
        """Nobody waits for this answer any more."""
        if self._extras is not None and reply in self._extras.waiting_calls:
            self._extras.waiting_calls.remove(reply)

    def send_call(self, request: Any, reply: Reply) -> None:
        """A request on its way, unless nobody would ever answer."""
        runtime = self.runtime
        if runtime.driven and runtime.here:
            self.call_here(request, reply)
        elif not self.ended:
            runtime.must_be_driven(f"call to {self.name!r}")
            runtime.post(self.receive, "call", request, reply)
        elif runtime.here:
            self.receive("call", request, reply)
        else:
            runtime.post(self.receive, "call", request, reply)

    def call_here(self, request: Any, reply: Reply) -> Any:
        """A call from the scheduler's own thread would wait for itself."""
        raise CallbackError(
            f"call to {self.name!r}: got a call from a callback of the same scheduler, expected one from another "
            "thread, since it would wait for itself; use cast, and let the other stage cast its answer back"
        )

    def send(self, kind: str, content: Any) -> None:
        """A cast or an info, from any thread; from a turn it leaves when that commits."""
        runtime = self.runtime
        current = runtime.scheduler.current if runtime.here else None
        if current is not None and current.busy:
            current.later(self.receive, (kind, content, None))
        else:
            runtime.execute_soon(self.receive, kind, content, None)

    def receive(self, kind: str, content: Any, reply: Reply | None) -> None:
        """Mail has come, on the scheduler's thread."""
        if self.ending:
            if reply is not None:
                reply.fail(Closed(f"call to {self.name!r}: it has ended ({self.reason!r}), expected it to run; "
                                  "start another"))
            return
        if reply is not None:
            if self.cls.handle_call is Stage.handle_call:
                reply.fail(CallbackError(f"call to {self.name!r}: got {content!r}, but {self.cls.__name__} has no "
                                         "handle_call, expected one; define handle_call(self, request, reply)"))
                return
            self.extras.waiting_calls.append(reply)
        self.place.post((kind, content, reply))

    def receive_in_order(self, message: Any, queued: Reply | None = None) -> None:
        """A message that comes behind the events that wait when its turn comes; in order with the other mail."""
        self.receive("info in order", message, None)
        if queued is not None:
            queued.set(None)

    def info_is_due(self) -> None:
        """The events before a message have left: it comes before any other mail."""
        self.place.post_first(("due info", None, None))

    # -- demand held back --

    def hold(self, holding: bool) -> None:
        """Hold demand back, or let it go on."""
        if self.kind != "producer":
            word = "hold" if holding else "release"
            raise OptionError(f"{word} of {self.name!r}: got a {self.kind}, expected a producer, since only a "
                              "producer's demand can be held back; hold the stage that it subscribes to")
        if not self.ending:
            self.place.hold(holding)

    # -- the end --

    def failed(self, error: BaseException, callback: str, source: Any, first: int, count: int) -> None:
        """A callback raised: the stage ends, with a note that says where it happened."""
        note = f"in stage {self.name!r} ({self.cls.__name__}), callback {callback}"
        if source is not None:
            note += f", source {source.producer.name!r}"
        if count and callback == "handle_events":
            note += f", events {first} to {first + count - 1} of that stream"
        elif callback == "handle_demand":
            note += f", at position {first} of its own stream"
        if isinstance(error, ValueError) and "read-only" in str(error):
            error.add_note("batches are read-only, since others may read the same memory; write to events.copy(), or "
                           "subscribe with writable=True, which makes a copy of each batch")
        error.add_note(note)
        error.__traceback__ = user_frames(error.__traceback__)
        self.runtime.new_failure(error, self)
        self.end(error)

    def kill(self, reason: Any) -> None:
        """End at once, without a chance to clean up; whoever asked for it knows, so it is no failure of its own."""
        text = f"stage {self.name!r} was killed ({reason}); start another, or use stop to let it clean up"
        self.end(Killed(text), True)

    def end(self, reason: Any, killed: bool = False) -> None:
        """The stage ends: terminate, result, and word to its neighbours."""
        if self.ending:
            return
        if self.place.busy:
            self.runtime.scheduler.post(self.end, reason, killed)       # behind the turn under way
            return
        self.ending = True
        place = self.place
        for subscription in list(place.input_edges):
            producer = subscription.producer_place.host
            subscription.close(True)
            producer.hear_cancel(reason, subscription)
        if not killed:
            reason = self.last_words(reason)
        self.reason = reason
        if isinstance(reason, BaseException):
            self.extras.traceback = reason.__traceback__
        for subscription in list(place.output_edges):
            subscription.put_end(reason)
        place.vacate()
        extras = self._extras
        if extras is not None and extras.waiting_calls:
            self.fail_calls(
                Closed(f"call to {self.name!r}: it ended ({reason!r}) before it answered; call a stage that runs"))
        self.runtime.seat_ended(self)
        extras = self._extras
        if extras is None:
            return
        if extras.done is not None:
            extras.done.set(None)
        watchers, extras.watchers = extras.watchers, []
        for watcher in watchers:
            watcher(self)

    def fail_calls(self, error: BaseException) -> None:
        """Nobody will answer those who wait."""
        if self._extras is not None:
            waiting, self._extras.waiting_calls = self._extras.waiting_calls, []
            for reply in waiting:
                reply.fail(error)

    def last_words(self, reason: Any) -> Any:
        """`terminate` and `result`; a failure in either is the stage's, unless it has one already."""
        stage = self.stage
        for callback, function, args in (("terminate", stage.terminate, (reason,)), ("result", stage.result, ())):
            if callback == "result" and isinstance(reason, BaseException):
                break
            try:
                value = function(*args)
                if value is not None and callback == "result":
                    self.extras.value = value
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                error.add_note(f"in stage {self.name!r} ({self.cls.__name__}), callback {callback}")
                error.__traceback__ = user_frames(error.__traceback__)
                if isinstance(reason, BaseException):
                    log.error("stage %r: its terminate failed after it had failed", self.name, exc_info=error)
                else:
                    self.runtime.new_failure(error, self)
                    reason = error
        return reason

    def wait_done(self, what: str, timeout: float | None) -> None:
        """Wait until the stage has ended."""
        if not self.ended:
            self.runtime.must_be_driven(f"{what} of {self.name!r}")
            self.done.wait(timeout, f"{what} of {self.name!r}")

    def fetch(self) -> None:
        """Its failure has been seen."""
        if isinstance(self.reason, BaseException):
            self.runtime.failures.pop(id(self.reason), None)
