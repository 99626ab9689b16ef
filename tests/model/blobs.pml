/* blobs.pml - large values: blobs, notes, references, waste and the cleaner (rule R8) as lib/engine and lib/view keep it, for Spin.
 *
 * A session writes a blob and a note of its own to LMDB directly, in one commit, under an id that nobody knows. Then, in one frame
 * under the writer lock, it puts a record that refers to the blob, the blob's R, and W in the place of the R of the blob that the
 * record referred to before. The applier takes frames to LMDB one after another. The cleaner deletes a blob whose W is in LMDB, with
 * its note, directly, and then the W by a frame; and it settles the notes of dead sessions: with R or W known the note goes, otherwise
 * the blob too. A session may die at any step. A live reader takes the reference by the journal and the blob from LMDB; a snapshot
 * reads LMDB alone.
 *
 * What is proved: neither the visible record nor that of any LMDB snapshot refers to a blob that is gone; a live reader that misses a blob
 * finds another reference when it begins again; when all is quiet, exactly the blob that is referred to is left.
 *
 * Each of these switches breaks one rule; then Spin must find an error:
 *   LATE_BLOB         the frame is appended before the blob is committed (I8)
 *   CLEAN_LIVING      the cleaner does not ask whether a note's session still lives
 *   CLEAN_STALE       the cleaner looks for R and W first, and asks then whether the session lives
 *   CLEAN_EARLY       the cleaner takes blobs whose W is in the journal only
 *   NO_NOTE           blobs are written without a note
 *   NO_WASTE          the frame that replaces a reference leaves the old blob's R
 *   NO_RETRY          a reader takes a missing blob for the truth
 */
#define BLOBS 2
#define FRAMES 6
#define NONE 0
#define R 1
#define W 2
/* Blob 0 is the first value. Directly in LMDB: bytes and note. By frames: R or W, as the journal says and as LMDB has it. */
bool stored[BLOBS + 1], noted[BLOBS + 1], dead_owner[BLOBS + 1];
byte live[BLOBS + 1], in_lmdb[BLOBS + 1];
byte visible = 0, lmdb_reference = 0;
/* A frame: the blob it refers to and the one it lets go, or (forget) the W it deletes. */
byte frame_new[FRAMES], frame_old[FRAMES];
bool frame_forget[FRAMES];
byte tail = 0, applied = 0;
byte running = BLOBS;

/* Visible at once, as the writer lock and the tail make it. */
inline append_reference(b) {
    atomic {
        frame_new[tail] = b;
        frame_old[tail] = visible;
        frame_forget[tail] = 0;
        live[b] = R;
#ifndef NO_WASTE
        live[visible] = W;
#endif
        visible = b;
        tail++
    }
}

inline append_forget(b) {
    atomic {
        frame_old[tail] = b;
        frame_forget[tail] = 1;
        live[b] = NONE;
        tail++
    }
}

proctype Session(byte mine) {
#ifndef LATE_BLOB
    d_step {
        stored[mine] = 1;
#ifndef NO_NOTE
        noted[mine] = 1
#endif
    };
#endif
    if
    :: skip /* dies with the blob written */
    :: append_reference(mine);
#ifdef LATE_BLOB
        stored[mine] = 1
#endif
    fi;
    d_step { dead_owner[mine] = 1; running-- }
}

proctype Applier() {
end:
    do
    :: atomic { applied < tail ->
        if
        :: frame_forget[applied] -> in_lmdb[frame_old[applied]] = NONE
        :: else ->
            in_lmdb[frame_new[applied]] = R;
#ifndef NO_WASTE
            in_lmdb[frame_old[applied]] = W;
#endif
            lmdb_reference = frame_new[applied]
        fi;
        applied++ }
    od
}

proctype Cleaner() {
    byte b, known;
end:
    do
    :: atomic { (noted[0] || noted[1] || noted[2]) -> select(b : 0 .. BLOBS) };
        if
        :: noted[b] ->
#ifdef CLEAN_STALE
            known = live[b];
#endif
#ifdef CLEAN_LIVING
            if
            :: true ->
#else
            if
            :: dead_owner[b] ->
#endif
#ifndef CLEAN_STALE
                known = live[b];
#endif
                d_step { noted[b] = 0; stored[b] = (known == NONE -> 0 : stored[b]) }
            :: else
            fi
        :: else
        fi;
        atomic { b = 0; known = 0 }
#ifdef CLEAN_EARLY
    :: atomic { (live[0] == W || live[1] == W || live[2] == W) -> select(b : 0 .. BLOBS) };
        known = live[b];
#else
    :: atomic { (in_lmdb[0] == W || in_lmdb[1] == W || in_lmdb[2] == W) -> select(b : 0 .. BLOBS) };
        known = (in_lmdb[b] == W -> live[b] : NONE);
#endif
        if
        :: known == W -> d_step { stored[b] = 0; noted[b] = 0 };
            append_forget(b)
        :: else
        fi;
        atomic { b = 0; known = 0 }
    od
}

proctype Reader() {
    byte reference;
again:
    reference = visible;
    if
    :: atomic { stored[reference] -> skip }
    :: atomic { else ->
#ifdef NO_RETRY
        assert(false)
#else
        assert(visible != reference)
#endif
        };
        goto again
    fi
}

proctype Judge() {
    atomic {
        if
        :: !stored[visible] -> assert(false)
        :: !stored[lmdb_reference] -> assert(false)
        :: running == 0 && applied == tail && in_lmdb[0] != W && in_lmdb[1] != W && in_lmdb[2] != W && !noted[1] && !noted[2] ->
            assert(stored[0] == (visible == 0));
            assert(stored[1] == (visible == 1));
            assert(stored[2] == (visible == 2))
        fi
    }
}

init {
    atomic {
        stored[0] = 1;
        live[0] = R;
        in_lmdb[0] = R;
        run Session(1);
        run Session(2);
        run Applier();
        run Cleaner();
        run Reader();
        run Judge()
    }
}
