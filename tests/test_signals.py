"""Ctrl-C, handlers of the user's, and the end of the interpreter, in processes of their own.

Each test runs a script.  It prints `ready` when it is in the state that the test is about; only
then is it sent SIGINT, so nothing here depends on how long anything takes.  Where the state is
"native code is at work in the main thread", which can't print, a thread of the script prints when
the process has used some CPU time.

The exit code, what was printed and the time until the end are the outcome.
"""

import signal
import subprocess
import sys
import textwrap
import time

import pytest

pytestmark = pytest.mark.timeout(60)

# Ctrl-C ends a run at once; the rest is the end of the interpreter, on a machine that others use
# too.
REACTION_S = 5.0

PRELUDE = """
import os, signal, sys, threading, time
import numpy as np
import fastflow as ff
from fastflow import testing


def ready():
    print("ready", flush=True)


def ready_when_busy(seconds=0.2):
    "Print `ready` from a thread once the process has used that much CPU time."
    def watch():
        until = time.process_time() + seconds
        turn = threading.Condition()
        with turn:
            while time.process_time() < until:
                turn.wait(0.01)
        ready()
    threading.Thread(target=watch, daemon=True).start()


def numbers(edge):
    got = edge.statistics()
    names = ("asked", "sent", "acked")
    return tuple(got[name] if isinstance(got, dict) else getattr(got, name) for name in names)


class Count(ff.Producer):
    "Numbers for ever, from Python."
    dtype = "int64"
    state = ("next",)

    def __init__(self):
        self.next = 0

    def handle_demand(self, demand):
        out = self.claim(demand)
        ff.fill_range(out, self.next)
        self.next += len(out)
        return out


class Total(ff.Consumer):
    state = ("total",)

    def __init__(self):
        self.total = 0

    def handle_events(self, events, source):
        self.total += int(events.sum())

    def result(self):
        return self.total


"""


class Script:
    """A running script; `interrupt` waits until it is ready and sends it a signal."""

    def __init__(self, text):
        self.process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + textwrap.dedent(text)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def until_ready(self):
        line = self.process.stdout.readline()
        if line != "ready\n":
            self.process.kill()
            pytest.fail(f"got {line!r}, expected 'ready': {self.process.stderr.read()}")

    def interrupt(self, number=signal.SIGINT):
        self.until_ready()
        self.process.send_signal(number)
        return self

    def ends(self, seconds=30.0):
        """(exit code, stdout, stderr); fails when it does not end in time."""
        began = time.monotonic()
        try:
            out, err = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
            pytest.fail(f"still running {time.monotonic() - began:.1f} s later; {out!r} {err!r}")
        return self.process.returncode, out, err


def interrupted(text):
    """Run a script, interrupt it when it is ready; (exit code, stdout, stderr)."""
    with Script(text) as script:
        return script.interrupt().ends(REACTION_S)


def completed(text):
    """Run a script that ends by itself; (exit code, stdout, stderr)."""
    with Script(text) as script:
        return script.ends()


def assert_died_of_ctrl_c(code, err):
    """The way in which every Python program ends that does not catch KeyboardInterrupt."""
    assert code == -signal.SIGINT, err
    assert err.rstrip().endswith("KeyboardInterrupt"), err
    assert_quiet_end(err)
    assert err.count("Traceback") == 1, err


def assert_quiet_end(err):
    for noise in ("Exception ignored", "Fatal Python error", "Segmentation fault", "never awaited"):
        assert noise not in err, err


# -- Ctrl-C while something runs --


def test_ctrl_c_ends_a_native_run():
    code, _, err = interrupted(
        """
        ready_when_busy()
        ff.run(ff.Range(10**13), ff.Sum())
        """
    )

    assert_died_of_ctrl_c(code, err)


def test_ctrl_c_in_a_native_run_is_a_keyboard_interrupt_to_catch():
    code, out, err = interrupted(
        """
        before = signal.getsignal(signal.SIGINT)
        ready_when_busy()
        try:
            ff.run(ff.Range(10**13), ff.Sum())
        except KeyboardInterrupt:
            print("caught", signal.getsignal(signal.SIGINT) is before)
        print(ff.run(ff.Range(10), ff.Sum()))
        """
    )

    assert (code, out, err) == (0, "caught True\n45\n", "")


def test_ctrl_c_ends_a_run_of_python_callbacks():
    code, _, err = interrupted(
        """
        ready_when_busy()
        ff.run(Count(), lambda batch: batch * 2, Total())
        """
    )

    assert_died_of_ctrl_c(code, err)


def test_ctrl_c_ends_a_run_of_tiny_turns():
    code, _, err = interrupted(
        """
        ready_when_busy()
        rt = ff.Runtime()
        rt.start(Total(), subscribe_to=[(rt.start(Count()), dict(max_demand=1))])
        rt.run()
        """
    )

    assert_died_of_ctrl_c(code, err)


BLOCKING = """
class Blocks(Total):
    "Handles two batches; is still at the third when Ctrl-C comes."
    turns = 0

    def handle_events(self, events, source):
        super().handle_events(events, source)
        self.turns += 1
        if self.turns == 3:
            ready()
            threading.Event().wait(50)


rt = ff.Runtime()
consumer = rt.start(Blocks(), name="blocks")
edge = consumer.subscribe(rt.start(Count(), name="count"), max_demand=100, min_demand=50)
stage = testing.stage_of(consumer)
"""


def test_ctrl_c_is_raised_inside_a_callback_at_once_and_its_turn_never_happened():
    code, out, err = interrupted(
        BLOCKING
        + """
try:
    rt.run()
except KeyboardInterrupt:
    asked, sent, acked = numbers(edge)
    print(stage.total == sum(range(100)), acked == 100, acked <= sent <= asked <= acked + 100)
    """
    )

    assert (code, out, err) == (0, "True True True\n", "")


def test_ctrl_c_in_a_callback_shows_the_users_line():
    code, _, err = interrupted(BLOCKING + "\nrt.run()\n")

    assert_died_of_ctrl_c(code, err)
    assert "in handle_events" in err


def test_a_callback_that_catches_ctrl_c_has_had_it():
    code, out, err = interrupted(
        """
        def step(batch):
            try:
                ready()
                threading.Event().wait(50)
            except KeyboardInterrupt:
                print("mine")
            return batch

        print(ff.run(ff.Range(10), step, ff.Sum()))
        """
    )

    assert (code, out, err) == (0, "mine\n45\n", "")


def test_ctrl_c_ends_a_loop_over_a_stream():
    code, out, err = interrupted(
        """
        before = signal.getsignal(signal.SIGINT)
        n = 0
        try:
            for batch in ff.stream(ff.Range(10**13)):
                n += 1
                if n == 100:
                    ready()
        except KeyboardInterrupt:
            print("caught", n >= 100, signal.getsignal(signal.SIGINT) is before)
        """
    )

    assert (code, out, err) == (0, "caught True True\n", "")


def test_ctrl_c_in_the_body_of_a_loop_over_a_stream_is_raised_there():
    code, out, err = interrupted(
        """
        try:
            for batch in ff.stream(ff.Range(10**6)):
                ready()
                threading.Event().wait(50)
        except KeyboardInterrupt:
            print("caught")
        """
    )

    assert (code, out, err) == (0, "caught\n", "")


# -- Ctrl-C while something waits --


WAITING = """
class Idle(ff.Consumer):
    "Says that it is ready by a timer, from the thread that drives, while the main thread waits."
    def __init__(self, by_itself=True):
        self.by_itself = by_itself

    def setup(self):
        if self.by_itself:
            self.after(0.1, "now")

    def handle_info(self, message):
        ready()

    def handle_call(self, request, reply):
        ready()
        return ff.LATER

    def result(self):
        return 0
"""


@pytest.mark.parametrize(
    "wait",
    ["ref.result()", "ref.join()", "ref.result(timeout=50)", "rt.join()", "rt.join(timeout=50)"],
)
def test_ctrl_c_ends_an_idle_wait_and_stops_everything(wait):
    code, _, err = interrupted(
        WAITING
        + f"""
with ff.Runtime() as rt:
    ref = rt.start(Idle())
    {wait}
    """
    )

    assert_died_of_ctrl_c(code, err)


def test_ctrl_c_ends_a_call_that_is_not_answered():
    code, _, err = interrupted(
        WAITING
        + """
with ff.Runtime() as rt:
    ref = rt.start(Idle(by_itself=False))
    ref.call("hello", timeout=50)
    """
    )

    assert_died_of_ctrl_c(code, err)


def test_ctrl_c_ends_the_wait_for_a_far_timer():
    code, _, err = interrupted(
        """
        class Later(ff.Consumer):
            def setup(self):
                self.after(0.1, "ready")
                self.after(1000, "the end")

            def handle_info(self, message):
                ready()

        rt = ff.Runtime()
        rt.start(Later())
        rt.run()
        """
    )

    assert_died_of_ctrl_c(code, err)


def test_ctrl_c_in_the_block_stops_what_runs_behind_it():
    code, out, err = interrupted(
        """
        stopped = []

        class Says(Total):
            def terminate(self, reason):
                stopped.append(reason)

        try:
            with ff.Runtime() as rt:
                rt.start(Says(), subscribe_to=[rt.start(Count())])
                ready_when_busy()
                threading.Event().wait(50)
        except KeyboardInterrupt:
            print("caught", len(stopped))
        """
    )

    assert (code, out, err) == (0, "caught 1\n", "")


# -- handlers --


def test_the_handler_is_the_same_after_a_run_as_before():
    code, out, err = completed(
        """
        seen = []

        def step(batch):
            seen.append(signal.getsignal(signal.SIGINT))
            return batch

        ff.run(ff.Range(10), step, ff.Sum())
        print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, len(seen) > 0)
        list(ff.stream(ff.Range(10)))
        print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
        next(ff.stream(ff.Range(10**9)))
        print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
        try:
            ff.run(ff.Range(10), lambda batch: 1 // 0, ff.Sum())
        except ZeroDivisionError:
            print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
        with ff.Runtime() as rt:
            rt.start(ff.Sum(), subscribe_to=[rt.start(ff.Range(10))])
        print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
        """
    )

    assert (code, out, err) == (0, "True True\nTrue\nTrue\nTrue\nTrue\n", "")


def test_a_handler_of_the_users_is_left_alone_and_the_run_goes_on():
    code, out, err = completed(
        """
        hits = []

        def mine(number, frame):
            hits.append(number)

        signal.signal(signal.SIGINT, mine)
        installed = []

        def step(batch):
            installed.append(signal.getsignal(signal.SIGINT) is mine)
            if len(installed) == 3:
                os.kill(os.getpid(), signal.SIGINT)
            return batch

        total = ff.run(ff.Range(10**6), step, ff.Sum())
        print(total == sum(range(10**6)), hits == [signal.SIGINT], all(installed))
        print(signal.getsignal(signal.SIGINT) is mine)
        """
    )

    assert (code, out, err) == (0, "True True True\nTrue\n", "")


def test_a_handler_of_the_users_that_raises_ends_a_native_run_with_that():
    code, _, err = interrupted(
        """
        def mine(number, frame):
            raise SystemExit(7)

        signal.signal(signal.SIGINT, mine)
        ready_when_busy()
        ff.run(ff.Range(10**13), ff.Sum())
        """
    )

    assert (code, err) == (7, "")


def test_an_ignored_ctrl_c_stays_ignored():
    code, out, err = completed(
        """
        signal.signal(signal.SIGINT, signal.SIG_IGN)

        def step(batch):
            os.kill(os.getpid(), signal.SIGINT)
            return batch

        print(ff.run(ff.Range(10**6), step, ff.Sum()) == sum(range(10**6)))
        print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)
        """
    )

    assert (code, out, err) == (0, "True\nTrue\n", "")


@pytest.mark.parametrize("number", ["SIGUSR1", "SIGTERM", "SIGALRM", "SIGCHLD"])
def test_other_signals_reach_their_handlers_during_a_run(number):
    code, out, err = completed(
        f"""
        hits = []
        signal.signal(signal.{number}, lambda *_: hits.append(1))

        def step(batch):
            if not hits:
                os.kill(os.getpid(), signal.{number})
            return batch

        print(ff.run(ff.Range(10**6), step, ff.Sum()) == sum(range(10**6)), hits)
        """
    )

    assert (code, out, err) == (0, "True [1]\n", "")


def test_sigterm_that_nobody_handles_ends_a_native_run():
    with Script("ready_when_busy()\nff.run(ff.Range(10**13), ff.Sum())") as script:
        code, _, _ = script.interrupt(signal.SIGTERM).ends(REACTION_S)

    assert code == -signal.SIGTERM


def test_a_run_in_another_thread_touches_no_handler():
    code, out, err = completed(
        """
        results = []


        def run():
            results.append(ff.run(ff.Range(10), lambda batch: batch, ff.Sum()))

        thread = threading.Thread(target=run)
        thread.start()
        thread.join(30)
        print(results, signal.getsignal(signal.SIGINT) is signal.default_int_handler)
        """
    )

    assert (code, out, err) == (0, "[45] True\n", "")


def test_a_run_inside_a_callback_of_a_run_gives_the_handler_back_to_the_outer_one():
    code, out, err = interrupted(
        """
        def step(batch):
            inner = ff.run(ff.Range(10), lambda b: b, ff.Sum())
            print("inner", inner, flush=True) if inner != 45 else ready()
            threading.Event().wait(50)
            return batch

        try:
            ff.run(ff.Range(10), step, ff.Sum())
        except KeyboardInterrupt:
            print("caught", signal.getsignal(signal.SIGINT) is signal.default_int_handler)
        """
    )

    assert (code, out, err) == (0, "caught True\n", "")


# -- the end of the interpreter --


def test_the_end_of_the_script_ends_what_runs_behind_it():
    code, _, err = completed(
        """
        rt = ff.Runtime()
        rt.__enter__()
        rt.start(ff.Sum(), subscribe_to=[rt.start(ff.Range(10**13))])
        """
    )

    assert code >= 0, err
    assert_quiet_end(err)


def test_the_end_of_the_script_ends_python_stages_behind_it():
    code, _, err = completed(
        """
        rt = ff.Runtime()
        rt.__enter__()
        rt.start(Total(), subscribe_to=[rt.start(Count())])
        """
    )

    assert code >= 0, err
    assert_quiet_end(err)


def test_an_exception_in_the_block_stops_what_runs_and_is_shown_once():
    code, _, err = completed(
        """
        with ff.Runtime() as rt:
            rt.start(Total(), subscribe_to=[rt.start(Count())])
            rt.start(ff.Sum(), subscribe_to=[rt.start(ff.Range(10**13))])
            raise LookupError("of the user's")
        """
    )

    assert code == 1
    assert err.count("Traceback") == 1, err
    assert err.rstrip().endswith("LookupError: of the user's"), err
    assert_quiet_end(err)


def test_sys_exit_in_the_block_is_the_exit_code():
    code, _, err = completed(
        """
        with ff.Runtime() as rt:
            rt.start(ff.Sum(), subscribe_to=[rt.start(ff.Range(10**13))])
            sys.exit(3)
        """
    )

    assert (code, err) == (3, "")


@pytest.mark.parametrize("leave", ["sys.exit(3)", "raise SystemExit(3)"])
def test_sys_exit_in_a_callback_is_no_silent_success(leave):
    code, _, err = completed(
        f"""
        def step(batch):
            {leave}

        ff.run(ff.Range(10), step, ff.Sum())
        """
    )

    assert code > 0, err
    assert_quiet_end(err)


def test_batches_and_runtimes_that_live_to_the_end_do_no_harm():
    code, out, err = completed(
        """
        kept = list(ff.stream(ff.Range(10**6)))
        rt = ff.Runtime()
        ref = rt.start(Total(), subscribe_to=[rt.start(Count())])
        for _ in range(20):
            testing.step(rt)
        stage = testing.stage_of(ref)
        stage.itself = [stage, rt, ref, kept]
        half = ff.stream(ff.Range(10**9))
        first = next(half)
        print(sum(map(len, kept)), len(first) > 0)
        """
    )

    assert (code, out, err) == (0, "1000000 True\n", "")


def test_a_stream_that_is_left_early_does_no_harm():
    code, out, err = completed(
        """
        closed = []

        def numbers():
            try:
                while True:
                    yield np.arange(1000)
            finally:
                closed.append(True)

        for batch in ff.stream(numbers, lambda batch: batch):
            break
        del batch
        import gc; gc.collect()
        print(closed)
        """
    )

    assert (code, out, err) == (0, "[True]\n", "")


def test_using_a_finished_runtime_at_exit_does_no_harm():
    code, out, err = completed(
        """
        import atexit
        with ff.Runtime() as rt:
            ref = rt.start(ff.Sum(), subscribe_to=[rt.start(ff.Range(10))])
        atexit.register(lambda: print(ref.result()))
        atexit.register(lambda: print(ff.run(ff.Range(5), ff.Sum())))
        """
    )

    assert (code, out, err) == (0, "10\n45\n", "")


def test_a_thread_that_waits_for_a_stage_does_not_keep_the_program_alive():
    code, _, err = completed(
        """
        rt = ff.Runtime()
        rt.__enter__()
        ref = rt.start(Total())
        threading.Thread(target=ref.join, daemon=True).start()
        """
    )

    assert code >= 0, err
    assert_quiet_end(err)


def test_a_child_of_fork_that_leaves_at_once_harms_nobody():
    code, out, err = completed(
        """
        import warnings
        warnings.simplefilter("ignore")         # Python warns of any fork beside threads
        with ff.Runtime() as rt:
            ref = rt.start(Total(), subscribe_to=[rt.start(ff.Range(10**6))])
            child = os.fork()
            if child == 0:
                os._exit(0)
            print(os.waitpid(child, 0)[1], ref.result(timeout=30) == sum(range(10**6)))
        """
    )

    assert (code, out, err) == (0, "0 True\n", "")
