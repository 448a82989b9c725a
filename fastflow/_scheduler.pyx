# cython: language_level=3, binding=True, embedsignature=True
# -- no hot path here: between two turns mail, timers and signals are looked at, in Python; native turns are in _turn.pyx --
"""Schedulers: the loop that gives places their turns, one at a time.

    mailbox (any thread) ──▶ ┌──────────────────────────────┐
    timers ────────────────▶ │ run queue: a turn, a turn, … │ ──▶ nothing is ready: the driver waits, or returns
    signals ───────────────▶ └──────────────────────────────┘

All turns of one scheduler run on the thread that drives it: the caller's in ``ff.run``, one behind in ``with rt:``.
Other threads only put functions into the mailbox; a flag says so, at which the loop looks between two turns, and a
sleeping driver is woken.

**The GIL.**  Turns in Python need it.  A run of native turns goes on without it, until a place in Python is next, mail
has come, or some thousand turns have passed.  One short native turn between two in Python keeps it: dropping it and
taking it again costs as much as the turn.  After an answer to another thread the loop lets go of the GIL until that
thread has it; otherwise the thread would wait for the interpreter's switch interval, 5 ms.
"""
cimport cython
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport INT64_MAX, int32_t, int64_t

import gc
import heapq
from collections import deque

from fastflow.errors import WaitTimeout

from fastflow._output cimport Turns
from fastflow._place cimport Place
from fastflow._pool cimport ff_flag, ff_flag_add, ff_flag_set, ff_now, ff_pause, ff_sleep_while, ff_wake
from fastflow._pool import memory_is_short
from fastflow._turn cimport dequeue, ff_edge, ff_place, native_turns, next_kind

cdef extern from "sched.h" nogil:
    int sched_yield()

cdef enum:
    NATIVE_TURNS = 4096             # at a stretch, without a look at signals: about half a millisecond
    SHORT_EVENTS = 4096             # a native turn of fewer events keeps the GIL
    TURNS_BETWEEN_LOOKS = 64        # at the clock, when timers are set
    TURNS_BETWEEN_SIGNALS = 16
    GIVE_WAY_NS = 500_000           # how long the GIL is left to a thread that was answered
    SPINS = 1500                    # pauses before a caller that waits for an answer sleeps


cdef class Timer:
    """A message that comes later; `cancel` takes it back."""

    def __init__(self, double due, Place place, message, bint resumes=False):
        self.due, self.place, self.message, self.resumes = due, place, message, resumes

    def cancel(self):
        """Take it back; nothing happens when it has fired already."""
        if self.place is not None and self.place.busy:
            self.place.later(self.take_back, ())    # with the turn, or not at all
        else:
            self.take_back()

    def take_back(self):
        """It will not fire."""
        if not self.cancelled:
            self.cancelled = True
            if self.place is not None:
                self.place.forget_timer(self)


cdef class Reply:
    """One answer from the scheduler's thread to another one.

    The waiter sleeps without the GIL, on a word that it shares with nobody else.
    """

    def set(self, value):
        """Answer; only the first answer counts."""
        if not self.answered:
            self.value = value
            self.announce()

    def fail(self, error):
        """Answer with an exception, which `wait` raises."""
        if not self.answered:
            self.error = error
            self.announce()

    def announce(self):
        ff_flag_set(&self.answered, 1)
        ff_wake(&self.answered)

    @property
    def is_set(self):
        return ff_flag(&self.answered) != 0

    def wait(self, timeout=None, str what="an answer"):
        """The answer; raises WaitTimeout after `timeout` seconds, and lets Ctrl-C through."""
        cdef int64_t end = INT64_MAX if timeout is None else ff_now() + <int64_t> min(timeout * 1e9, 9e17)
        cdef int64_t left
        cdef int _spin
        if not ff_flag(&self.answered):
            with nogil:
                for _spin in range(SPINS):
                    if ff_flag(&self.answered):
                        break
                    ff_pause()
            PyErr_CheckSignals()        # one that came meanwhile would not end the sleep
        while not ff_flag(&self.answered):
            left = -1 if end == INT64_MAX else end - ff_now()
            if end != INT64_MAX and left <= 0:
                raise WaitTimeout(f"{what}: got none within {timeout} s; give a longer timeout, or see what keeps it")
            with nogil:
                ff_sleep_while(&self.answered, 0, left)
            PyErr_CheckSignals()
        ff_flag_set(&self.fetched, 1)
        if self.error is not None:
            raise self.error
        return self.value


cdef int64_t amount(const ff_place *place) noexcept nogil:
    """Events that a native place's next turn is about, roughly."""
    cdef ff_edge *edge = place.inputs_head
    if edge != NULL:
        return edge.ring.w.sent - edge.ring.r.position
    return place.pending


@cython.final
cdef class Scheduler(Turns):
    """The run queue, the mailbox and the timers of one thread's places."""

    def __init__(self, clock):
        self.mailbox, self.timers, self.clock = deque(), [], clock

    # -- from any thread --

    def post(self, function, *args):
        """Have ``function(*args)`` called on the scheduler's thread, between two turns."""
        self.mailbox.append((function, args))
        self.nudge()

    def nudge(self):
        """Let the loop look around before its next turn, or wake up."""
        ff_flag_set(&self.c.flag, 1)
        ff_flag_add(&self.c.bell, 1)
        if ff_flag(&self.asleep):
            ff_wake(&self.c.bell)

    def pause(self):
        """Leave the loop before the next turn."""
        self.pausing = True
        ff_flag_set(&self.c.flag, 1)

    # -- by the thread that drives --

    def hold_turns(self, int32_t by):
        """Take no turns from now on (1), or take them again (-1); blocks of that may be nested."""
        self.turns_held += by
        ff_flag_set(&self.c.flag, 1)

    def sleep(self, timeout=None):
        """Wait, without the GIL and without using any CPU, until there is mail; at most `timeout` seconds."""
        cdef int32_t bell = ff_flag(&self.c.bell)
        cdef int64_t limit = -1 if timeout is None else <int64_t> (timeout * 1e9)
        ff_flag_set(&self.asleep, 1)
        if not ff_flag(&self.c.flag):
            with nogil:
                ff_sleep_while(&self.c.bell, bell, limit)
        ff_flag_set(&self.asleep, 0)
        PyErr_CheckSignals()

    def give_way(self, Reply reply):
        """Let go of the GIL until the thread that was answered has it, for half a millisecond at most."""
        cdef int64_t end = ff_now() + GIVE_WAY_NS
        with nogil:
            while not ff_flag(&reply.fetched) and ff_now() < end:
                sched_yield()

    def start_timer(self, Timer timer):
        self.timer_numbers += 1
        heapq.heappush(self.timers, (timer.due, self.timer_numbers, timer))

    def next_due(self):
        """When the next timer is due, in seconds on the clock; None: there is none."""
        cdef Timer timer
        while self.timers:
            timer = self.timers[0][2]
            if not timer.cancelled and not timer.place.c.ended:
                break
            heapq.heappop(self.timers)
        return self.timers[0][0] if self.timers else None

    def run(self, most=None):
        """Give turns until nothing is ready, `pause` was called, or `most` turns were taken; returns how many."""
        return self.loop(INT64_MAX if most is None else most)

    @property
    def idle(self):
        """Whether no place stands in the run queue and no mail waits."""
        return (self.c.head == NULL or self.turns_held > 0) and not self.mailbox

    @property
    def paused(self):
        """Whether no turns are taken for now."""
        return self.turns_held > 0

    @property
    def turns_taken(self):
        return self.c.turns

    def handle_mail(self):
        """Do what other threads have asked for, though no turn will follow."""
        self.empty_mailbox()

    cdef int empty_mailbox(self) except -1:
        ff_flag_set(&self.c.flag, 0)
        while self.mailbox:
            function, args = self.mailbox.popleft()
            function(*args)
        return 0

    cdef int fire_timers(self) except -1:
        cdef Timer timer
        cdef double now = self.clock()
        while self.timers and self.timers[0][0] <= now:
            timer = heapq.heappop(self.timers)[2]
            if timer.cancelled or timer.place.c.ended:
                continue
            if timer.resumes:
                timer.place.resume()
            else:
                timer.place.fire(timer)
        return 0

    cdef int64_t loop(self, int64_t most) except -1:
        cdef int64_t turns = 0, stretch
        cdef int32_t kind
        cdef ff_place *place
        while turns < most:
            if ff_flag(&self.c.flag):
                self.empty_mailbox()
                if self.interrupted:
                    self.interrupted = False
                    raise KeyboardInterrupt
                if self.pausing:
                    self.pausing = False
                    break
            if self.turns_held:
                break
            if (turns & (TURNS_BETWEEN_LOOKS - 1) == 0 or self.c.head == NULL) and self.timers:
                self.fire_timers()
            place = dequeue(&self.c)
            if place == NULL:
                if self.held_back_again():
                    continue
                break
            if place.kernel != NULL:
                stretch = most - turns
                if stretch > NATIVE_TURNS:
                    stretch = NATIVE_TURNS
                if amount(place) <= SHORT_EVENTS:
                    if native_turns(place, 1):
                        turns += 1
                        stretch -= 1
                        place = self.c.head
                        if place == NULL or place.kernel == NULL or stretch == 0:
                            continue
                        place = dequeue(&self.c)
                        with nogil:
                            stretch = native_turns(place, stretch)
                    else:
                        stretch = 0
                else:
                    with nogil:
                        stretch = native_turns(place, stretch)
                turns += stretch
                PyErr_CheckSignals()
                if stretch:
                    continue
                # Mail, a mark or the end comes first: the place is at the front again, for a turn in Python.
                place = dequeue(&self.c)
            kind = next_kind(place)
            if kind == 0:
                continue
            (<Place> place.face).run_turn(kind)
            self.c.turns += 1
            turns += 1
            if turns & (TURNS_BETWEEN_SIGNALS - 1) == 0:
                PyErr_CheckSignals()
        return turns

    def held_back_again(self):
        """Places that waited for memory: is there some now?  True: one of them may go on."""
        if not self.c.held_back:
            return False
        if memory_is_short(self.c.wanted_bytes):
            if not self.collected:
                # An exception that was caught by name keeps its batch in a cycle.
                self.collected = True
                gc.collect()
            if memory_is_short(self.c.wanted_bytes):
                return False
        self.collected = False
        self.c.held_back = 0
        for place in self.all_places():
            if place.is_held_back:
                place.memory_again()
        return self.c.head != NULL
