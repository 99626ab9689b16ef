/* journal.pml - the journal's protocol as lib/engine and lib/journal keep it, for Spin. Run by run.sh beside it.
 *
 * One store, a ring of N frames, positions counted in frames. Each write gives the RECORDS records (1 or 2, all at once) a new version.
 * Writers are processes of their own: they append frames, or commit directly to LMDB and append a marker (direct.c), and may die at any
 * step; whoever gets the lock of a dead one mends (engine_mend). Appliers may die between commit and announcement. One process reads, with
 * READERS threads over one cursor, cache and pending map; its cache may lose anything at any moment. With LOCAL it also writes.
 *
 * What is proved, for all interleavings within the bounds:
 *   a read returns a version at least as new as the one that was visible when it began, and none that is not visible when it ends (I4);
 *   two records read in one operation are of one frame (RECORDS=2); a reader never takes an overwritten byte for a frame (R4);
 *   an overtaken process finds LMDB ahead of itself (R5); a drain makes room (R3); the header's applied is never ahead of what is
 *   durable (R7).
 *
 * Each of these switches breaks one rule; then Spin must find an error:
 *   R1_LATE_NOTE      the cache's position is noted after the look into pending
 *   R1_NO_RAISE       catch-up raises the cache's position only for records that are cached
 *   R1_CACHE_FIRST    catch-up changes the cache before pending
 *   R1_INTERLEAVED    catch-up takes each record of a frame into pending and cache before the next one
 *   R2_SNAP_FIRST     the LMDB snapshot is begun before the look into pending, and not compared with trimmed
 *   R2_NO_UPPER       a snapshot ahead of the cursor is taken
 *   R3_STALE          the applier reads applied and tail before it has LMDB's lock
 *   R3_NO_RAISE       an empty drain does not raise the header's applied
 *   R4_LATE           reserved is raised after the bytes are overwritten
 *   R4_LOWER          a takeover lowers reserved to the tail
 *   R4_NO_RECHECK     pending's value is taken from the ring without looking at reserved again
 *   R5_RESET          an overtaken process sets the cache's position to 0 instead of raising it
 *   R5_CURSOR_FIRST   an overtaken process moves its cursor before it empties anything
 *   R7_NO_SYNC        applied is announced without a forced sync after a death
 *   MARKER_KEEPS      a marker frame does not empty the cache and pending
 *   NO_MEND           a takeover does not append the marker that a dead direct writer owed
 *   NO_REACHING       readers of two records watch the cursor, not `reaching`
 */
#ifndef N
#define N 2
#endif
#ifndef VERSIONS
#define VERSIONS 3 /* writes in all */
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef READERS
#define READERS 1
#endif
#ifndef RECORDS
#define RECORDS 1
#endif
#ifndef WRITERS
#define WRITERS 1
#endif
#ifndef DRAINS
#define DRAINS 1 /* of the separate applier */
#endif
#define GARBAGE 255
/* NO_DIRECT and NO_EVICTION leave those out, to keep a search of more readers small. WARM: version 0 is cached when it begins. */

mtype = { FREE, HELD, DEAD };
/* the journal, shared */
byte tail = 0, reserved = 0, happ = 0;
byte slot[N], slot_version[N];
bool slot_marker[N];
mtype wlock = FREE;
/* LMDB: position and version of the last commit, what of it is on the disk, its lock */
byte lmdb = 0, lmdb_version = 0, durable = 0;
bool llock = 0;
/* the reading process. cache: version + 1, 0 for none. pending: position, 0 for none */
byte cursor = 0, reaching = 0, shard = 0, trimmed = 0;
byte cache[RECORDS], pending[RECORDS];
bool clock = 0;
/* ghosts */
byte version = 0, visible = 0, deaths = 0;

inline raise(position) {
    assert(position <= durable);
    if
    :: happ < position -> happ = position
    :: else
    fi
}

/* One LMDB transaction. The version at position t is read from the ring, which cannot be reused above happ. Who dies goes to `dead`; the
 * writer lock is then a dead one's, if it was held. */
inline die(holds, in_lmdb) {
    deaths++;
    llock = (in_lmdb -> 0 : llock);
    wlock = (holds -> DEAD : wlock);
    goto dead
}

inline drain(a, t, holds, may_die) {
#ifdef R3_STALE
    a = happ; t = tail;
    atomic { !llock -> llock = 1 };
#else
    atomic { !llock -> llock = 1 };
    a = lmdb; t = tail;
#endif
    if
    :: t > a ->
        assert(slot[t % N] == t);
        /* a marker's version is there already */
        d_step { lmdb = t; lmdb_version = (slot_marker[t % N] -> lmdb_version : slot_version[t % N]) };
        if
        :: durable = t
        :: atomic { may_die && deaths < DEATHS -> die(holds, true) } /* visible, not durable */
        fi;
        if
        :: raise(t)
        :: atomic { may_die && deaths < DEATHS -> die(holds, true) } /* committed, not announced */
        fi
    :: else ->
#ifndef R3_NO_RAISE
        t = (lmdb < tail -> lmdb : tail);
        if
        :: t > happ ->
#ifndef R7_NO_SYNC
            durable = lmdb;
#endif
            raise(t)
        :: else
        fi
#else
        skip
#endif
    fi;
    atomic { llock = 0; a = 0; t = 0 }
}

/* Under the writer lock. */
inline append(v, marker, may_die) {
#ifndef R4_LATE
    reserved = (tail + 1 > reserved -> tail + 1 : reserved);
#endif
    slot[(tail + 1) % N] = GARBAGE;
    if
    :: atomic { may_die && deaths < DEATHS -> die(true, false) } /* in the middle of a frame */
    :: skip
    fi;
#ifdef R4_LATE
    reserved = (tail + 1 > reserved -> tail + 1 : reserved);
#endif
    d_step { slot_version[(tail + 1) % N] = v; slot_marker[(tail + 1) % N] = marker; slot[(tail + 1) % N] = tail + 1 };
    d_step { tail++; visible = v }
}

/* engine_mend: LMDB is ahead of the tail, because a direct writer died before its marker. */
inline mend() {
#ifdef R4_LOWER
    reserved = tail;
#endif
#ifndef NO_MEND
    if
    :: lmdb > tail ->
        assert(lmdb == tail + 1);
#ifndef R7_NO_SYNC
        durable = lmdb;
#endif
        append(lmdb_version, 1, 0);
        raise(tail)
    :: else
    fi
#else
    skip
#endif
}

inline lock_writer() {
    if
    :: atomic { wlock == FREE -> wlock = HELD }
    :: atomic { wlock == DEAD -> wlock = HELD }; mend()
    fi
}

/* A batch that the ring takes, or one that it does not. Under the writer lock; `v` is the new version. */
inline write(v, a, t) {
    if
    :: true -> /* an ordinary frame */
        do
        :: tail + 1 > happ + N -> drain(a, t, true, true); assert(tail + 1 <= happ + N)
        :: else -> break
        od;
        append(v, 0, 1)
#ifndef NO_DIRECT
    :: true -> /* a direct commit */
        do
        :: lmdb < tail || happ < tail -> drain(a, t, true, true)
        :: else -> break
        od;
        atomic { !llock -> llock = 1 };
        d_step { lmdb = tail + 1; lmdb_version = v };
        if
        :: atomic { deaths < DEATHS -> die(true, true) } /* visible, not durable */
        :: durable = lmdb
        fi;
        llock = 0;
        if
        :: atomic { deaths < DEATHS -> die(true, false) } /* committed, no marker */
        :: skip
        fi;
        append(v, 1, 1);
        raise(tail)
#endif
    fi
}

proctype Writer() {
    byte a, t, v;
again:
    do
    :: version < VERSIONS ->
        lock_writer();
        if
        :: atomic { version < VERSIONS -> version++; v = version };
            write(v, a, t)
        :: else
        fi;
        atomic { wlock = FREE; v = 0 }
    :: version >= VERSIONS -> goto over
    od;
dead:
    atomic { a = 0; t = 0; v = 0; goto again }; /* another process writes on */
over:
    skip
}

proctype Applier() {
    byte a, t, n;
    do
    :: n < DRAINS -> drain(a, t, false, true); n++
    :: break
    od;
dead:
    skip
}

/* A frame into pending and cache, under the catch-up lock. All of it into pending before any of it into the cache: the records share the
 * cache's position here, as two records of a frame may there. */
inline take_frame(p, v, i) {
    reaching = p;
#ifndef R1_INTERLEAVED
    for (i : 0 .. RECORDS - 1) {
#ifndef R1_CACHE_FIRST
        pending[i] = p
#else
        atomic { shard = p; cache[i] = (cache[i] > 0 -> v + 1 : 0) }
#endif
    };
#endif
    for (i : 0 .. RECORDS - 1) {
#if defined(R1_CACHE_FIRST) || defined(R1_INTERLEAVED)
        pending[i] = p;
#endif
#ifdef R1_NO_RAISE
        atomic { if :: cache[i] > 0 -> shard = p; cache[i] = v + 1 :: else fi }
#else
        atomic { shard = p; cache[i] = (cache[i] > 0 -> v + 1 : 0) }
#endif
    };
    cursor = p
}

inline restart_at(p, i) {
#ifdef R5_CURSOR_FIRST
    cursor = p;
#endif
    reaching = p;
    for (i : 0 .. RECORDS - 1) {
#ifdef R5_RESET
        atomic { shard = 0; cache[i] = 0 }
#else
        atomic { shard = p; cache[i] = 0 }
#endif
    };
    trimmed = p;
    for (i : 0 .. RECORDS - 1) {
        pending[i] = 0
    };
    cursor = p
}

inline catch_up(target, p, v, i, marker) {
    atomic { !clock -> clock = 1 };
    /* pending_trim: the slots of what is in LMDB may be reused for other records from now on */
    if
    :: trimmed < happ -> trimmed = happ;
        for (i : 0 .. RECORDS - 1) {
            if
            :: pending[i] > 0 && pending[i] <= trimmed -> pending[i] = 0
            :: skip
            fi
        }
    :: else
    fi;
    do
    :: cursor < target ->
        d_step { p = slot[(cursor + 1) % N]; v = slot_version[(cursor + 1) % N]; marker = slot_marker[(cursor + 1) % N] };
        if
        :: reserved < cursor + 1 + N ->
            assert(p == cursor + 1);
            if
#ifndef MARKER_KEEPS
            :: marker -> restart_at(p, i)
#else
            :: marker -> reaching = p; cursor = p
#endif
            :: else -> take_frame(p, v, i)
            fi
        :: else ->
            p = happ;
            assert(p > cursor);
            restart_at(p, i)
        fi
    :: else -> break
    od;
    atomic { clock = 0; p = 0; v = 0; i = 0; marker = 0 }
}

/* engine_get of record r: its version + 1 in v, or 0 for "begin again". */
inline get(r, v, p, s, noted, c) {
    v = 0;
#ifndef R1_LATE_NOTE
    noted = shard;
#endif
#ifdef R2_SNAP_FIRST
    atomic { s = lmdb; p = lmdb_version };
#endif
    v = cache[r];
    if
    :: v > 0 -> skip
    :: else ->
#ifdef R2_SNAP_FIRST
        atomic {
            if
            :: pending[r] > 0 && reserved < pending[r] + N -> v = slot_version[pending[r] % N] + 1
            :: else
            fi
        };
#else
        p = pending[r];
        if
        :: p > 0 ->
            d_step { v = slot_version[p % N] + 1; s = slot[p % N] };
            if
#ifndef R4_NO_RECHECK
            :: reserved >= p + N -> v = 0
#endif
            :: else -> assert(s == p)
            fi
        :: else
        fi;
#endif
        if
        :: v == 0 ->
#ifdef R1_LATE_NOTE
            noted = shard;
#endif
#ifndef R2_SNAP_FIRST
            atomic { s = lmdb; p = lmdb_version };
#endif
            if
#ifndef R2_NO_UPPER
            :: s > c -> v = 0
#endif
#ifndef R2_SNAP_FIRST
            :: s < trimmed -> v = 0
#endif
            :: else ->
                v = p + 1;
                atomic {
                    if
                    :: shard == noted -> cache[r] = v
                    :: else
                    fi
                }
            fi
        :: else
        fi
    fi;
    atomic { p = 0; s = 0; noted = 0 }
}

proctype Reader() {
    byte p, v, s, noted, c, i, target, oldest, r, first;
    bool marker;
    atomic { target = tail; oldest = visible };
again:
    if
    :: cursor < target -> catch_up(target, p, v, i, marker)
    :: else
    fi;
    c = cursor;
    r = 0;
    first = 0;
    do
    :: r < RECORDS ->
        get(r, v, p, s, noted, c);
        if
        :: v == 0 ->
            /* LMDB is not at a state that fits: mend if it is ahead of the tail, and begin again */
            if
            :: lmdb > tail -> lock_writer(); mend(); wlock = FREE
            :: else
            fi;
            target = tail;
            goto again
        :: else ->
            assert(v > oldest);
            assert(v <= visible + 1);
            first = (r == 0 -> v : first);
            i = (v == first -> i : 1);
            r++
        fi
    :: else -> break
    od;
#if RECORDS > 1
    if
#ifdef NO_REACHING
    :: cursor != c -> i = 0; target = tail; goto again
#else
    :: reaching != c -> i = 0; target = tail; goto again
#endif
    :: else -> assert(i == 0)
    fi;
#endif
    skip;
dead:
    skip
}

proctype Evictor() {
    byte i;
    for (i : 0 .. RECORDS - 1) {
        if
        :: cache[i] = 0
        :: skip
        fi
    }
}

#ifdef LOCAL
/* A writing thread of the reading process: catches up under the writer lock, appends, takes its own frame in (engine_take_own). */
proctype LocalWriter() {
    byte a, t, v, p, w, i;
    bool marker;
    lock_writer();
    if
    :: cursor < tail -> catch_up(tail, p, w, i, marker)
    :: else
    fi;
    if
    :: atomic { version < VERSIONS -> version++; v = version };
        do
        :: tail + 1 > happ + N -> drain(a, t, true, false); assert(tail + 1 <= happ + N)
        :: else -> break
        od;
        append(v, 0, 0);
        atomic { !clock -> clock = 1 };
        if
        :: cursor == tail - 1 ->
            reaching = tail;
            for (i : 0 .. RECORDS - 1) {
                pending[i] = tail
            };
            for (i : 0 .. RECORDS - 1) {
                atomic { shard = tail; cache[i] = v + 1 }
            };
            cursor = tail
        :: else
        fi;
        clock = 0
    :: else
    fi;
    wlock = FREE;
dead:
    skip
}
#endif

init {
    byte i;
    atomic {
#ifdef WARM
        for (i : 0 .. RECORDS - 1) { cache[i] = 1 };
#endif
        for (i : 1 .. WRITERS) { run Writer() };
        for (i : 1 .. READERS) { run Reader() };
        run Applier();
#ifndef NO_EVICTION
        run Evictor();
#endif
#ifdef LOCAL
        run LocalWriter();
#endif
    }
}
