"""Seats: what happens rarely to a place, from its stage's construction to its end.

    template ──construct, setup──▶ turns (`fastflow._place`) ──▶ end: terminate, result, tell the neighbours

A seat runs on its scheduler's thread.  What other threads want of it comes as mail.  The end of a stage goes two ways:
its consumers learn of it behind the last event that was sent to them, its producers at once.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from fastflow._place import Place
from fastflow._scheduler import Reply, Timer
from fastflow.errors import CallbackError, Closed, GraphError, Retry, SchemaError
from fastflow.runtime.options import subscription_options, whole_fits
from fastflow.runtime.ref import Ref, Subscription
from fastflow.schema import Schema, same_or_refuse
from fastflow.stage import LATER, Stage, check_attributes, check_callbacks, kind_of

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


class Seat:
    """One stage's place in a runtime.

    Parameters
    ----------
    runtime : Runtime
        The one it belongs to.
    template : Stage
        What was given to `start`.
    options : dict
        Checked overrides of the stage's options.
    name : str
        For messages; registered by the runtime when the user gave it.
    """

    def __init__(self, runtime: Runtime, template: Stage, options: dict[str, Any], name: str) -> None:
        self.runtime = runtime
        self.template = template
        self.options = options
        self.name = name
        self.cls = type(template)
        self.kind = kind_of(self.cls)
        self.ref = Ref(self)
        self.done = Reply()
        self.reason: Any = None
        self.traceback: TracebackType | None = None
        self.value: Any = None
        self.ending = False
        self.kernel: Any = None
        self.warned_return = False
        self.waiting_calls: list[Reply] = []
        self.place = Place(runtime.scheduler, name, self.cls._emits)
        self.place.host = self
        self.place.seed = runtime.seed
        self.place.buffer_size = self.option("buffer_size")
        self.place.buffer_keep = self.option("buffer_keep")
        self.stage: Any = None

    def option(self, name: str) -> Any:
        """An option: given at the start, else the class's."""
        return self.options.get(name, getattr(self.cls, name))

    # -- start --

    def construct(self) -> None:
        """Construct the stage from its template's arguments, in its place, and set it up."""
        template = self.template
        stage: Any = self.cls(*template._arguments, **template._keywords)
        self.stage = stage
        check_attributes(stage, "__init__")
        own = {**stage._own_options(), **self.options}
        self.place.whole = own.get("whole", self.cls.whole)
        dtype = own.get("dtype", stage.dtype)
        accepts = own.get("accepts", self.cls.accepts)
        self.accepts = None if accepts is None else Schema.of(accepts)
        make_kernel = getattr(stage, "make_kernel", None)
        self.place.seat(
            stage,
            tuple(self.option("state")),
            stage.handle_events if self.cls._takes and make_kernel is None else None,
            stage.handle_demand if self.kind == "producer" and make_kernel is None else None,
        )
        if dtype is not None and self.cls._emits:
            self.place.set_schema(Schema.of(dtype))
        if make_kernel is not None and self.cls._emits:
            self.seat_kernel(None)
        try:
            self.place.take("setup", stage.setup, (), None, False)
            check_attributes(stage, "setup()")
            self.place.first_commit()
        except BaseException as error:
            error.add_note(f"in stage {self.name!r} ({self.cls.__name__}), callback setup")
            if isinstance(error, Retry):
                error.add_note("setup is no turn, so it can't be taken again; start the stage again later")
            self.place.vacate()
            raise

    def seat_kernel(self, schema: Schema | None) -> None:
        """A native stage learns its schema: a source says it, a sink takes that of its first producer."""
        if self.kernel is None:
            self.kernel = self.stage.make_kernel(None if schema is None else schema)
            self.place.seat_kernel(self.kernel)
            self.kernel_schema: Any = schema
        elif schema is not None and schema != self.kernel_schema:
            raise SchemaError(
                f"{self.name!r} ({self.cls.__name__}): got a second producer of {schema.describe()}, expected "
                f"{self.kernel_schema.describe()} as from the first; convert one of them, or start two stages"
            )

    # -- subscriptions --

    def subscribe(self, producer: Seat, given: dict[str, Any]) -> Subscription:
        """Join this stage to a producer; runs on the scheduler's thread."""
        where = f"subscription of {self.name!r} to {producer.name!r}"
        if not self.cls._takes:
            raise GraphError(f"{where}: got a producer as the subscriber, expected a consumer; make {self.name!r} an "
                             "ff.ProducerConsumer, or subscribe the other way round")
        if not producer.cls._emits:
            raise GraphError(f"{where}: got a consumer as the producer, expected a stage that emits; make "
                             f"{producer.name!r} an ff.ProducerConsumer")
        if self.done.is_set or self.ending:
            raise Closed(f"{where}: {self.name!r} has ended, expected it to run; start it again")
        if producer is self or self.runtime.is_upstream(self, producer):
            raise GraphError(f"{where}: that makes a cycle, expected events to flow one way; send what must go back "
                             "as a cast")
        check_callbacks(self.stage)
        schema = producer.place.schema
        guess = schema if schema is not None else self.accepts
        options = subscription_options(given, guess, where)
        whole_fits(producer.place.whole, options, where)
        cast = self.check_schema(producer, schema, options.convert) if schema is not None else False
        subscription = Subscription(producer.ref, self.ref, options.tag)
        subscription.options = options.given
        subscription.cancel_mode = options.cancel
        subscription.writable = options.writable
        # Joined before the callbacks are asked, so that they may ask for events themselves.
        subscription.connect(producer.place, self.place, options.max_demand, options.min_demand, True)
        if schema is not None:
            subscription.set_schema(self.accepts if cast else schema, cast)
        busy = self.place if self.place.busy else producer.place if producer.place.busy else None
        if busy is not None:
            # One of the two is in a turn of its own, which must commit before another one can begin.
            busy.outbox.append((self.agree, (producer, subscription)))
        else:
            self.agree(producer, subscription)
        return subscription

    def agree(self, producer: Seat, subscription: Subscription) -> None:
        """Ask both sides about a new subscription, and begin to ask for events."""
        options = subscription.options
        try:
            mode = self.place.take(
                "handle_subscribe",
                self.stage.handle_subscribe,
                ("producer", options, subscription),
                subscription,
                False,
            )
            if mode not in ("automatic", "manual"):
                raise CallbackError(
                    f"handle_subscribe of {self.name!r}: got {mode!r}, expected 'automatic' or 'manual'"
                )
            if not producer.done.is_set:
                producer.place.take(
                    "handle_subscribe",
                    producer.stage.handle_subscribe,
                    ("consumer", options, subscription),
                    subscription,
                    False,
                )
        except BaseException:
            subscription.close(False)
            raise
        if producer.done.is_set:
            subscription.put_end(producer.reason)
        elif mode == "automatic":
            subscription.set_manual(False)
            subscription.start_asking()

    def check_schema(self, producer: Seat, schema: Schema, convert: bool) -> bool:
        """Refuse events that this stage doesn't take; True: they are to be cast."""
        cast = False
        if self.accepts is not None:
            cast = same_or_refuse(schema, self.accepts, producer.name, self.name, convert) == "cast"
        if getattr(self.stage, "make_kernel", None) is not None:
            self.seat_kernel(self.accepts if cast else schema)
        return cast

    def first_output(self, events: Any) -> None:
        """What one event is, seen at the first output of a stage that did not declare it; fixes its subscriptions."""
        schema = Schema.infer(events)
        self.place.set_schema(schema)
        for subscription in self.place.outputs:
            consumer = subscription.consumer._seat
            cast = consumer.check_schema(self, schema, subscription.options.get("convert", False))
            subscription.set_schema(consumer.accepts if cast else schema, cast)

    def cancel_subscription(self, subscription: Subscription, reason: Any) -> None:
        """The consumer ends one of its subscriptions."""
        if subscription.closed:
            return
        producer = subscription.producer._seat
        _, sent, acked = subscription.counters
        if producer.done.is_set and sent > acked:
            log.warning(
                "%r -> %r: %d events are discarded: the subscription was cancelled, and their producer has ended",
                producer.name, self.name, sent - acked,
            )
        subscription.close(True)
        producer.hear_cancel(reason, subscription)
        self.input_ended(subscription, reason)

    def hear_cancel(self, reason: Any, subscription: Subscription) -> None:
        """`handle_cancel`, as a turn of its own; a failure in it is this stage's."""
        if self.ending or self.done.is_set:
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
            else:
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
        if reply is not None and reply.is_set and not self.runtime.here_alone:
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
        if self.ending or self.done.is_set:
            return
        abnormal = isinstance(reason, BaseException)
        mode = subscription.cancel_mode
        if mode == "permanent" or (mode in ("auto", "transient") and abnormal):
            if abnormal:
                self.runtime.same_failure(reason, self)
            self.end(reason)
        elif mode == "auto" and self.place.open_inputs == 0:
            self.guarded("handle_end", self.stage.handle_end, (), None, self.place.finish)

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
            self.place.outbox.append((scheduler.start_timer, (timer,)))
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
        if not self.warned_return:
            self.warned_return = True
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
        if reply in self.waiting_calls:
            self.waiting_calls.remove(reply)

    def call(self, request: Any, timeout: float | None) -> Any:
        """`Ref.call`, on the caller's thread."""
        reply = Reply()
        runtime = self.runtime
        if runtime.driven and runtime.here:
            return self.call_here(request, reply)
        if not self.done.is_set:
            runtime.must_be_driven(f"call to {self.name!r}")
        elif runtime.here:
            self.receive("call", request, reply)
            return reply.wait(timeout)
        runtime.scheduler.post(self.receive, "call", request, reply)
        return reply.wait(timeout, f"call to {self.name!r}")

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
            current.outbox.append((self.receive, (kind, content, None)))
        else:
            runtime.execute_soon(self.receive, kind, content, None)

    def receive(self, kind: str, content: Any, reply: Reply | None) -> None:
        """Mail has come, on the scheduler's thread."""
        if self.ending or self.done.is_set:
            if reply is not None:
                reply.fail(Closed(f"call to {self.name!r}: it has ended ({self.reason!r}), expected it to run; "
                                  "start another"))
            return
        if reply is not None:
            if self.cls.handle_call is Stage.handle_call:
                reply.fail(CallbackError(f"call to {self.name!r}: got {content!r}, but {self.cls.__name__} has no "
                                         "handle_call, expected one; define handle_call(self, request, reply)"))
                return
            self.waiting_calls.append(reply)
        self.place.post((kind, content, reply))

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

    def end(self, reason: Any) -> None:
        """The stage ends: terminate, result, and word to its neighbours."""
        if self.ending:
            return
        self.ending = True
        place = self.place
        for subscription in list(place.inputs):
            subscription.close(True)
            subscription.producer._seat.hear_cancel(reason, subscription)
        reason = self.last_words(reason)
        self.reason = reason
        if isinstance(reason, BaseException):
            self.traceback = reason.__traceback__
        for subscription in list(place.outputs):
            subscription.put_end(reason)
        place.vacate()
        closed = Closed(f"call to {self.name!r}: it ended ({reason!r}) before it answered; call a stage that runs")
        for reply in self.waiting_calls:
            reply.fail(closed)
        self.waiting_calls.clear()
        self.runtime.seat_ended(self)
        self.done.set(None)

    def last_words(self, reason: Any) -> Any:
        """`terminate` and `result`; a failure in either is the stage's, unless it has one already."""
        last_turns = (("terminate", self.stage.terminate, (reason,)), ("result", self.stage.result, ()))
        for callback, function, args in last_turns:
            if callback == "result" and isinstance(reason, BaseException):
                break
            try:
                self.value = function(*args)
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
        if not self.done.is_set:
            self.runtime.must_be_driven(f"{what} of {self.name!r}")
            self.done.wait(timeout, f"{what} of {self.name!r}")

    def fetch(self) -> None:
        """Its failure has been seen."""
        if isinstance(self.reason, BaseException):
            self.runtime.failures.pop(id(self.reason), None)
