#!/usr/bin/env bash
# Check the two models with spin; `make model` calls this.  Debian packages: spin, gcc.
#
# A good model must hold in its whole state space, with every statement reached.  A planted bug must be found, and in
# the way it is said to show.  One core, under two minutes, under 4 GB; all files are in a directory that is removed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for tool in spin gcc; do
    if ! command -v "$tool" >/dev/null; then
        echo "model/check.sh: $tool is not installed; on Debian: apt-get install spin gcc" >&2
        exit 2
    fi
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

depth=10000          # of the search: the deepest good model needs a tenth of it
failures=0
optimise=-O2         # a planted bug is found at once, so there the compiler's time counts more

# run MODEL SAFETY|CYCLES [-DNAME...]: leaves the verifier's report in the file "report".
run() {
    local model=$1 kind=$2
    shift 2
    rm -f pan pan.* report
    spin -a "$@" "$here/$model.pml" >spin.out 2>&1 || { cat spin.out >&2; return 1; }
    # NOREDUCE: every interleaving is walked, so nothing rests on partial order reduction and `unless` agreeing.
    local flags=("$optimise" -w -DNOREDUCE -DMEMLIM=3500 -DVECTORSZ=256)
    if [ "$kind" = CYCLES ]; then
        gcc "${flags[@]}" -DNP -o pan pan.c
        ./pan -l -m$depth >report 2>&1 || true
    else
        gcc "${flags[@]}" -DSAFETY -o pan pan.c
        ./pan -m$depth >report 2>&1 || true
    fi
}

# row VERDICT MODEL WHAT: one line of the table, with the figures of "report".
row() {
    awk -v verdict="$1" -v model="$2" -v what="$3" '
        /states, stored/   { states = $1 }
        / transitions/     { transitions = $1 }
        /depth reached/    { for (i = 1; i < NF; i++) if ($i == "reached") { depth = $(i + 1); sub(",", "", depth) } }
        /total actual memory/ { megabytes = $1 }
        /elapsed time/     { seconds = $4 }
        END {
            if (seconds == "")
                seconds = 0          # too quick for spin to say
            printf "%-8s %-7s %-58s %9d %11d %6d %6.0f %6.1f\n", verdict, model, what, states, transitions, depth, megabytes, seconds
        }
    ' report
}

fail() {
    failures=$((failures + 1))
    echo "model/check.sh: $1" >&2
    grep -v '^Depth=' report | sed 's/^/    /' >&2 || true
}

# good MODEL SAFETY|CYCLES [-DNAME...]: no error, nothing cut off, nothing unreached.
good() {
    local model=$1 kind=$2 what before=$failures
    shift 2
    what="${*//-D/}"
    if [ "$kind" = CYCLES ]; then
        what="$what, every run ends"
    fi
    optimise=-O2
    run "$model" "$kind" "$@"
    if ! grep -q 'errors: 0' report; then
        fail "$model ($what): got an error, expected none; spin -t replays the trail"
    elif grep -Eq 'max search depth too small|out of memory|memory limit|search was not completed' report; then
        fail "$model ($what): the search was cut off; raise the depth or MEMLIM, or make the model smaller"
    elif grep -Eq '^[[:space:]]+\([1-9][0-9]* of [0-9]+ states\)' report; then
        fail "$model ($what): statements that no run reaches, so nothing was checked there"
    fi
    if [ "$failures" -eq "$before" ]; then
        row holds "$model" "$what"
    else
        row FAILS "$model" "$what"
    fi
}

# bug MODEL SAFETY|CYCLES MESSAGE [-DNAME...]: must be found, and MESSAGE must be what spin says.
bug() {
    local model=$1 kind=$2 message=$3 what
    shift 3
    what="${*//-D/}"
    optimise=-O0
    run "$model" "$kind" "$@"
    if ! grep -q "^pan:1: $message" report; then
        fail "$model ($what): planted, and not found; expected: $message"
        row MISSED "$model" "$what"
        return
    fi
    row found "$model" "$what"
    sed -n 's/^pan:1: \(.*\) (at depth \([0-9]*\))$/                 \1, at depth \2/p' report
}

printf '%-8s %-7s %-58s %9s %11s %6s %6s %6s\n' verdict model with states transitions depth MB s

good ring SAFETY -DCAPACITY=2 -DMIN_DEMAND=1 -DEVENTS=4 -DKILLS=1
good ring SAFETY -DCAPACITY=2 -DMIN_DEMAND=1 -DEVENTS=3 -DKILLS=2
good ring SAFETY -DCAPACITY=2 -DMIN_DEMAND=0 -DEVENTS=3 -DKILLS=2
good ring SAFETY -DCAPACITY=3 -DMIN_DEMAND=1 -DEVENTS=4 -DKILLS=1
good ring SAFETY -DCAPACITY=2 -DMIN_DEMAND=1 -DEVENTS=3 -DKILLS=1 -DCANCEL
good ring SAFETY -DEVENTS=4 -DKILLS=1 -DNO_CLOSE -DSLEEP_ON_CURSOR
good ring SAFETY -DEVENTS=4 -DKILLS=1 -DFLAG_CLEARED_BY_WAKER
good ring CYCLES -DCAPACITY=2 -DMIN_DEMAND=1 -DEVENTS=3 -DKILLS=1
good commit SAFETY -DCAPACITY=2 -DMIN_DEMAND=1 -DEVENTS=4 -DKILLS=3
good commit SAFETY -DCAPACITY=2 -DMIN_DEMAND=0 -DEVENTS=4 -DKILLS=3
good commit SAFETY -DCAPACITY=3 -DMIN_DEMAND=1 -DEVENTS=5 -DKILLS=2
good commit CYCLES -DCAPACITY=2 -DMIN_DEMAND=1 -DEVENTS=4 -DKILLS=1

bug ring SAFETY 'invalid end state'  -DKILLS=0 -DNO_CLOSE -DSLEEP_ON_CURSOR -DFLAG_CLEARED_BY_WAKER
bug ring SAFETY 'invalid end state'  -DKILLS=0 -DSLEEP_ON_CURSOR
bug ring SAFETY 'invalid end state'  -DKILLS=0 -DNO_SECOND_LOOK
bug ring SAFETY 'invalid end state'  -DKILLS=0 -DWOKEN_STARTS_AT_ZERO
bug ring SAFETY 'invalid end state'  -DKILLS=1 -DNO_WAKE_ON_ATTACH
bug ring SAFETY 'assertion violated' -DKILLS=0 -DCANCEL -DCLOSE_NOT_ATOMIC
bug ring SAFETY 'assertion violated' -DKILLS=0 -DCLOSED_READ_AFTER_SENT
bug ring SAFETY 'assertion violated' -DKILLS=0 -DSENT_BEFORE_SLOTS
bug ring SAFETY 'assertion violated' -DKILLS=0 -DASKED_BEFORE_ACKED
bug ring SAFETY 'assertion violated' -DKILLS=0 -DASKED_FROM_UNCOMMITTED
bug ring SAFETY 'assertion violated' -DKILLS=1 -DSTATE_BESIDE_ACKED
bug ring CYCLES 'non-progress cycle' -DKILLS=0 -DNEVER_SLEEPS
bug commit SAFETY 'assertion violated' -DKILLS=1 -DNO_COMMIT_RECORD
bug commit SAFETY 'assertion violated' -DKILLS=1 -DONE_HALF
bug commit SAFETY 'invalid end state'  -DKILLS=1 -DNO_REDO
bug commit SAFETY 'assertion violated' -DKILLS=1 -DCOPIES_BEFORE_FLIP
bug commit SAFETY 'assertion violated' -DKILLS=1 -DEND_OUTSIDE_RECORD

if [ "$failures" -ne 0 ]; then
    echo "model/check.sh: $failures of the rows above are not as they must be" >&2
    exit 1
fi
