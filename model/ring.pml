/* ring.pml: one subscription; either side may be killed at any instruction and is replaced.

       writer --- slots, sent --->  reader         acked <= sent <= asked <= acked + CAPACITY
              <--- asked, acked ---                         after every store to one of the three

   What is shared by the two sides is global below, and nothing else is: all else dies with its process.
   One Promela statement that touches shared memory stands for one load or one store of the C code; the
   comment on it names the function of `fastflow/_atomics.h` that does it.  README.md says how to read it.

   Sizes:      CAPACITY, MIN_DEMAND, EVENTS, KILLS (of both sides together)
   Variants:   CANCEL           the reader may cancel at any time
               SLEEP_ON_CURSOR  sleep on the other side's cursor, not on a bell; sound only with NO_CLOSE
               NO_CLOSE         nobody closes: the reader stops after EVENTS events
   Bugs:       FLAG_CLEARED_BY_WAKER  NO_SECOND_LOOK  NO_WAKE_ON_ATTACH  CLOSED_READ_AFTER_SENT
               SENT_BEFORE_SLOTS  ASKED_BEFORE_ACKED  ASKED_FROM_UNCOMMITTED  STATE_BESIDE_ACKED
               CLOSE_NOT_ATOMIC (with CANCEL)  WOKEN_STARTS_AT_ZERO  NEVER_SLEEPS
               and SLEEP_ON_CURSOR without NO_CLOSE  */

#ifndef CAPACITY
#define CAPACITY 2
#endif
#ifndef MIN_DEMAND
#define MIN_DEMAND 1
#endif
#ifndef EVENTS
#define EVENTS 4
#endif
#ifndef KILLS
#define KILLS 1
#endif

#define WRITER 0
#define READER 1
#define NONE   255              /* FF_NOBODY: a threshold that no cursor passes; its owner is awake */
#define BY_WRITER 1
#define BY_READER 2

/* The ring: what both sides map. */
byte asked, sent, acked;        /* asked and acked are stored by the reader only, sent by the writer only */
byte slot[CAPACITY];            /* event p (0, 1, 2...) has the value p + 1; 0 was never written */
byte at[2] = NONE;              /* writer_at, reader_at: "wake me when your cursor is past this"; the sleeper's own */
byte closed;                    /* BY_WRITER: nothing more comes; BY_READER: nothing more is taken */

/* The commit record of the reader's place: two halves and the word that says which one holds. */
byte half_acked[2], half_asked[2], half_count[2];
bit flipped;

/* The kernel.  FUTEX_WAIT asks only whether the bell still has the value that was read before, so the bell is
   modelled by the answer: `rung` is "it has moved since its sleeper last read it". */
bit rung[2], asleep[2];

/* The world: who was killed and not yet replaced, what was done that cannot be taken back. */
bit killed[2], finished[2];
byte kills, effects;
bit cancelled;                  /* the reader has said that it takes nothing more */

#ifdef WOKEN_STARTS_AT_ZERO
#define NEVER 0
#else
#define NEVER NONE              /* no threshold was answered yet */
#endif

#define LINE assert(acked <= sent && sent <= asked && asked <= acked + CAPACITY)

/* Wake side s, whatever it does: bell by an atomic add (a third party may ring too), then FUTEX_WAKE.
   A kill may fall between the two. */
inline ring(s) {
    rung[s] = 1;
    asleep[s] = 0;
}

/* After the seq_cst store of a cursor: the load of the sleeper's threshold, and at most one wake for a sleep. */
inline wake_if_passed(s, cursor) {
#ifdef FLAG_CLEARED_BY_WAKER
    if
    :: at[s] != NONE -> at[s] = NONE; ring(s)
    :: else
    fi;
#else
    woken = at[s];                                                      /* ff_observe_waking(at) */
    if
    :: woken < cursor && woken != last_woken -> last_woken = woken; ring(s)
    :: else
    fi;
#endif
    woken = 0
}

/* ring_wait_writer, ring_wait_reader: sleep until `cursor` is past `seen` or the other side has closed. */
inline sleep(s, cursor, seen, other) {
    do
    :: true ->
#ifdef NEVER_SLEEPS
       if :: cursor > seen || closed & other -> break :: else fi
#else
       rung[s] = 0;                                                     /* ff_flag(bell): before the threshold is set */
       at[s] = seen;                                                    /* ff_publish_waking(at) */
#ifndef NO_SECOND_LOOK
       if :: cursor > seen -> break :: else fi;                         /* ff_observe_waking(cursor) */
       if :: closed & other -> break :: else fi;                        /* ff_flag(closed) */
#endif
#ifdef SLEEP_ON_CURSOR
       atomic { if :: cursor != seen :: else -> asleep[s] = 1 fi };     /* FUTEX_WAIT: compare and fall asleep in one */
#else
       atomic { if :: rung[s] :: else -> asleep[s] = 1 fi };            /* ff_sleep_while(bell) */
#endif
       !asleep[s];
#ifdef NO_SECOND_LOOK
       if :: cursor > seen || closed & other -> break :: else fi
#endif
#endif
    od;
    at[s] = NONE                                                        /* ff_publish(at, FF_NOBODY) */
}

/* ring_close. */
inline close(side, other) {
#ifdef CLOSE_NOT_ATOMIC
    woken = closed;
    closed = woken | side;
    woken = 0;
#else
    closed = closed | side;                                             /* one atomic OR: both sides may close at once */
#endif
    ring(other)                                                         /* whatever its threshold is */
}

active proctype writer() {
    byte next;                  /* its own cursor: known to all as `sent` */
    byte demand, filled;        /* of the claim in hand */
    byte woken, last_woken;

attach:
    {
        next = sent;                                                    /* unpublished writes never happened */
        last_woken = NEVER;
        at[WRITER] = NONE;
#ifndef NO_WAKE_ON_ATTACH
        ring(READER);                                                   /* the dead one may have owed this wake */
#endif
        do
        :: next == EVENTS -> break
        :: next < EVENTS ->
try:        demand = asked - next;                                      /* ff_observe(asked) */
            if
            :: demand > 0
            :: demand == 0 ->
               if
               :: closed & BY_READER -> break                           /* ff_flag(closed) */
               :: !(closed & BY_READER) -> sleep(WRITER, asked, next, BY_READER); goto try
                                                                        /* to spin is to be slow to get here */
               fi
            fi;

            /* claim: any part of the demand, filled in place. */
            if
            :: demand > 1 -> demand = 1
            :: true
            fi;
            if
            :: demand > EVENTS - next -> demand = EVENTS - next
            :: else
            fi;
#ifdef SENT_BEFORE_SLOTS
            sent = next + demand;
#endif
            filled = 0;
            do
            :: filled < demand ->
               d_step {
                   assert(next + filled < acked + CAPACITY);            /* the event that had this slot is acknowledged */
                   slot[(next + filled) % CAPACITY] = next + filled + 1;
                   filled++
               }
            :: filled == demand -> break
            od;

            /* publish */
            atomic {
                next = next + demand;
                demand = 0; filled = 0;
                sent = next;                                            /* ff_publish_waking(sent) */
                LINE
            };
            wake_if_passed(READER, next)
        od;
#ifndef NO_CLOSE
        close(BY_WRITER, READER);                                       /* after the last `sent` */
#endif
        finished[WRITER] = 1
    } unless {
        atomic { killed[WRITER] -> asleep[WRITER] = 0;
                 next = 0; demand = 0; filled = 0; woken = 0; last_woken = 0;
                 killed[WRITER] = 0; goto attach }
    }
}

active proctype reader() {
    byte own, own_asked, count; /* acked, asked and the declared state, as of the turn in hand */
    byte seen;                  /* the last look at `sent` */
    byte woken, last_woken;
    bit over;                   /* the last look at `closed` */

attach:
    {
        /* Redo the half that holds: the dead one may have flipped the word and copied nothing. */
        atomic { own = half_acked[flipped]; own_asked = half_asked[flipped]; count = half_count[flipped] };
        d_step { assert(own >= acked); acked = own; LINE };             /* ff_publish(acked): before asked */
        d_step { assert(own_asked >= asked); asked = own_asked; LINE }; /* ff_publish(asked) */
#ifdef STATE_BESIDE_ACKED
        d_step { own = acked; own_asked = asked };
#endif
        last_woken = NEVER;
        at[READER] = NONE;
#ifndef NO_WAKE_ON_ATTACH
        ring(WRITER);
#endif
        do
        :: closed & BY_READER -> break
        :: !(closed & BY_READER) ->
            assert(!cancelled);                                         /* what was said stands, whoever says it */
#ifdef CANCEL
            if
            :: close(BY_READER, WRITER); cancelled = 1; break
            :: true
            fi;
#endif
            if
            :: own_asked - own <= MIN_DEMAND && own_asked < own + CAPACITY ->
               /* Little is on its way: this turn only asks (the first one), or asks after what it handled. */
               seen = own
            :: else ->
#ifdef NO_CLOSE
               if
               :: own == EVENTS -> break
               :: else
               fi;
#endif
try:
#ifdef CLOSED_READ_AFTER_SENT
               seen = sent;
               over = closed & BY_WRITER;
#else
               over = closed & BY_WRITER;                               /* before sent, or the last events are missed */
               seen = sent;                                             /* ff_observe(sent) */
#endif
               if
               :: seen > own
               :: seen == own && over -> break
               :: seen == own && !over -> sleep(READER, sent, own, BY_WRITER); goto try
               fi;
               /* read: what is there, or a part of it. */
               if
               :: seen > own + 1 -> seen = own + 1
               :: true
               fi
            fi;

#ifdef ASKED_FROM_UNCOMMITTED
            d_step { asked = seen + CAPACITY; LINE };
#endif
            /* The callback: side effects happen at once, and again when the batch comes again. */
            do
            :: own < seen ->
               d_step {
                   assert(slot[own % CAPACITY] == own + 1);             /* in order, none overwritten, none torn */
                   effects = effects | (1 << own);
                   own++; count++
               }
            :: own == seen -> break
            od;
            atomic {
                seen = 0; over = 0;
                if
                :: own_asked - own <= MIN_DEMAND -> own_asked = own + CAPACITY
                :: else
                fi
            };

            /* acknowledge = commit: the idle half, the flip, the copies. */
#ifdef STATE_BESIDE_ACKED
            half_count[flipped] = count;
            half_acked[flipped] = own;
            half_asked[flipped] = own_asked;
#else
            half_acked[1 - flipped] = own;
            half_asked[1 - flipped] = own_asked;
            half_count[1 - flipped] = count;
            flipped = 1 - flipped;                                      /* ff_publish: this is the commit */
#endif
#ifdef ASKED_BEFORE_ACKED
            d_step { asked = own_asked; LINE };
            d_step { acked = own; LINE };
#else
            d_step { acked = own; LINE };                               /* ff_publish(acked) */
            d_step { asked = own_asked; LINE };                         /* ff_publish_waking(asked) */
#endif
            assert((effects & ((1 << own) - 1)) == (1 << own) - 1);     /* at least once, before it is acknowledged */
            wake_if_passed(WRITER, own_asked)
        od;
        atomic {
            assert(count == half_count[flipped] && count == acked);     /* the committed count: exactly once */
            assert(closed & BY_READER || acked == EVENTS);                      /* nothing lost, nothing left */
            finished[READER] = 1
        }
    } unless {
        atomic { killed[READER] -> asleep[READER] = 0;
                 own = 0; own_asked = 0; count = 0; seen = 0; woken = 0; last_woken = 0; over = 0;
                 killed[READER] = 0; goto attach }
    }
}

/* kill -9, at any instruction, in a sleep and during recovery too. */
active proctype killer() {
    do
    :: atomic { kills < KILLS && !killed[WRITER] && !finished[WRITER] -> kills++; killed[WRITER] = 1 }
    :: atomic { kills < KILLS && !killed[READER] && !finished[READER] -> kills++; killed[READER] = 1 }
    :: break                    /* at any time: else a kill still to come would wake a deadlock and hide it */
    od
}
