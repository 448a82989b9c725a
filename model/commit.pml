/* commit.pml: a stage in a place of its own, one input and two outputs; killed at any instruction, and replaced.

                              .--> left   every event gives one
       source --- input ---> stage
                              '--> right  every second event gives one more

   At the end of its input the stage emits one event more on the left (`handle_end` returns what it still held).

   A turn stores into three rings and must leave all of them or none: it fills the idle half of the commit
   record, flips one word, and then copies what the half says to the rings.  A successor first copies the half
   that holds.  Waiting is checked in ring.pml: here a side that must wait simply blocks.  The source and the
   two consumers are the world outside: they are not killed, and they check.

   Sizes:  CAPACITY (of each of the three rings), MIN_DEMAND (of the input), EVENTS, KILLS
   Bugs:   NO_COMMIT_RECORD  ONE_HALF  NO_REDO  COPIES_BEFORE_FLIP  END_OUTSIDE_RECORD  */

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
#define KILLS 2
#endif

#define LEFT  0
#define RIGHT 1

/* The declared state of the stage: it depends on each event, on how often it came and on the order. */
#define FOLD(state, event) (3 * (state) + (event))
#define IS_ODD(position)   ((position) & 1)

/* The three rings. */
byte in_asked, in_sent, in_acked, in_slot[CAPACITY];
byte out_asked[2], out_sent[2], out_acked[2], out_slot[2 * CAPACITY];
bit in_closed, out_closed[2];

/* The commit record: two halves, and the word that is flipped.  `turn` is the number of the last committed turn,
   so turn & 1 names the half that holds; the model keeps that bit. */
typedef Half { byte state, emitted, acked, asked, sent_left, sent_right; bit ended };
Half half[2];
bit turn;

bit killed, finished;
byte kills;

#define IN_LINE     assert(in_acked <= in_sent && in_sent <= in_asked && in_asked <= in_acked + CAPACITY)
#define OUT_LINE(o) assert(out_acked[o] <= out_sent[o] && out_sent[o] <= out_asked[o] && out_asked[o] <= out_acked[o] + CAPACITY)
#define CELL(o, p)  out_slot[(o) * CAPACITY + (p) % CAPACITY]
#define ROOM(o, n)  (out_asked[o] - sent[o] >= (n))

/* Copy a commit to the rings: ff_publish of each cursor.  `acked` stands before `asked`, or the line breaks between
   them; the rings may come in any order.  Harmless when done again: no cursor moves back. */
inline copy_to_rings() {
    d_step { assert(sent[LEFT] >= out_sent[LEFT]); out_sent[LEFT] = sent[LEFT]; OUT_LINE(LEFT) };
    d_step { assert(sent[RIGHT] >= out_sent[RIGHT]); out_sent[RIGHT] = sent[RIGHT]; OUT_LINE(RIGHT) };
    d_step { assert(acked >= in_acked); in_acked = acked; IN_LINE };
    d_step { assert(asked >= in_asked); in_asked = asked; IN_LINE };
    if
    :: ended -> out_closed[LEFT] = 1; out_closed[RIGHT] = 1
    :: !ended
    fi
}

active proctype stage() {
    byte state, emitted, acked, asked, sent[2];     /* the turn in hand: dies with the process */
    bit ended, idle;

attach:
    {
        /* What the dead one left. */
        atomic {
            state = half[turn].state;
            emitted = half[turn].emitted;
#ifdef NO_COMMIT_RECORD
            acked = in_acked;                       /* each ring knows its own cursors: is that not enough? */
            asked = in_asked;
            sent[LEFT] = out_sent[LEFT];
            sent[RIGHT] = out_sent[RIGHT];
#else
            acked = half[turn].acked;
            asked = half[turn].asked;
            sent[LEFT] = half[turn].sent_left;
            sent[RIGHT] = half[turn].sent_right;
#endif
            ended = half[turn].ended
        };
#ifndef NO_REDO
        copy_to_rings();
#endif
        do
        :: ended -> break
        :: !ended ->
            /* A turn: some of the events that are there, as far as both outputs have room; or the end. */
            if
            :: asked == 0                           /* the first turn only asks */
            :: asked > 0 ->
               if
               :: atomic { in_sent > acked && ROOM(LEFT, 1) && ROOM(RIGHT, IS_ODD(acked)) -> skip };
more:             atomic {                          /* read and handle one event; claim, and fill in place */
                      assert(in_slot[acked % CAPACITY] == acked + 1);
                      assert(sent[LEFT] < out_acked[LEFT] + CAPACITY);
                      state = FOLD(state, in_slot[acked % CAPACITY]);
                      CELL(LEFT, sent[LEFT]) = state;
                      sent[LEFT]++;
                      emitted++
                  };
                  if
                  :: IS_ODD(acked) ->
                     d_step {
                         assert(sent[RIGHT] < out_acked[RIGHT] + CAPACITY);
                         CELL(RIGHT, sent[RIGHT]) = state;
                         sent[RIGHT]++;
                         emitted++
                     }
                  :: else
                  fi;
                  acked++;
                  if                                /* the batch may be longer */
                  :: atomic { in_sent > acked && ROOM(LEFT, 1) && ROOM(RIGHT, IS_ODD(acked)) -> goto more }
                  :: true
                  fi
               :: atomic {                          /* handle_end: the last event, then the stage ends */
                      in_closed && in_sent == acked && ROOM(LEFT, 1) ->
                      state = FOLD(state, EVENTS + 1);
                      CELL(LEFT, sent[LEFT]) = state;
                      sent[LEFT]++;
                      emitted++;
                      ended = 1
                  }
               fi
            fi;
            if
            :: asked - acked <= MIN_DEMAND -> asked = acked + CAPACITY          /* the rule for asking again */
            :: else
            fi;

            /* Commit. */
#ifdef NO_COMMIT_RECORD
            half[turn].state = state;
            half[turn].emitted = emitted;
            half[turn].ended = ended;
            copy_to_rings();
#else
#ifdef COPIES_BEFORE_FLIP
            copy_to_rings();
#endif
#ifdef ONE_HALF
            idle = turn;
#else
            idle = 1 - turn;
#endif
            half[idle].state = state;
            half[idle].emitted = emitted;
            half[idle].acked = acked;
            half[idle].asked = asked;
            half[idle].sent_left = sent[LEFT];
            half[idle].sent_right = sent[RIGHT];
#ifndef END_OUTSIDE_RECORD
            half[idle].ended = ended;
#endif
            turn = idle;                            /* ff_publish: this is the commit */
#ifndef COPIES_BEFORE_FLIP
            copy_to_rings();
#endif
#endif
            idle = 0
        od;
        atomic {
            assert(half[turn].emitted == out_sent[LEFT] + out_sent[RIGHT]);     /* the ledger at rest */
            assert(in_acked == EVENTS);
            finished = 1
        }
    } unless {
        atomic { killed -> state = 0; emitted = 0; acked = 0; asked = 0; sent[LEFT] = 0; sent[RIGHT] = 0;
                 ended = 0; idle = 0; killed = 0; goto attach }
    }
}

active proctype source() {
    do
    :: in_sent < EVENTS ->
       atomic {
           in_sent < in_asked ->
           assert(in_sent < in_acked + CAPACITY);
           in_slot[in_sent % CAPACITY] = in_sent + 1;
           in_sent++;
           IN_LINE
       }
    :: in_sent == EVENTS -> break
    od;
    in_closed = 1
}

/* A consumer of the whole output: each event has the state that the stage must have had, and comes once, in order. */
inline consume(o, events, following) {
    out_asked[o] = CAPACITY;
    do
    :: atomic {
           out_acked[o] < out_sent[o] ->
           expected = following;
           assert(CELL(o, out_acked[o]) == expected);
           out_acked[o] = out_acked[o] + 1;
           OUT_LINE(o)
       };
       d_step { out_asked[o] = out_acked[o] + CAPACITY; OUT_LINE(o) }
    :: atomic { out_closed[o] && out_acked[o] == out_sent[o] -> assert(out_acked[o] == events); break }
    od
}

active proctype left() {
    byte expected;
    consume(LEFT, EVENTS + 1, FOLD(expected, out_acked[LEFT] + 1))
}

active proctype right() {
    byte expected;
    consume(RIGHT, EVENTS / 2,
            FOLD(FOLD(expected, 2 * out_acked[RIGHT] + 1), 2 * out_acked[RIGHT] + 2))
}

/* kill -9, at any instruction of the stage, during recovery too. */
active proctype killer() {
    do
    :: atomic { kills < KILLS && !killed && !finished -> kills++; killed = 1 }
    :: break                                        /* at any time: no deadlock hides behind a kill still to come */
    od
}
