"""gen_flush.py - deleting everything: a theme of its own, because what is compared elsewhere should grow old. Standard library only."""
from source import Source, Words, command


def flush_words(s: Source) -> Words:
    chance = s.random()
    if chance < 0.75:
        return [s.option(s.pick(("ASYNC", "SYNC")))]
    return [] if chance < 0.95 else s.pick(([b"BAD"], [b"ASYNC", b"SYNC"], [b""]))


@command("FLUSHALL", 1, options="ASYNC SYNC")
def flushall(s: Source) -> Words:
    return flush_words(s)


@command("FLUSHDB", 1, options="ASYNC SYNC")
def flushdb(s: Source) -> Words:
    return flush_words(s)
