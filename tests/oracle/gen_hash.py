"""gen_hash.py - commands on hashes. Standard library only."""
from source import BIG_MEMBERS, Source, Words, command


def hash_key(s: Source) -> bytes:
    return s.key("hash")


def field(s: Source, key: bytes) -> bytes:
    return s.pick(BIG_MEMBERS) if key[:1] == b"H" else s.member()


def with_field(s: Source) -> Words:
    key = hash_key(s) if s.chance(0.9) else s.own("large")
    return [key, field(s, key)]


def number(s: Source) -> bytes:
    return b"n%d" % s.below(4)


@command("HSET", 3)
def hset(s: Source) -> Words:
    words = [hash_key(s)]
    for _ in range(1 + s.below(3)):
        words += [s.member(), s.value()]
    return words


@command("HSET", 0.15)
def hset_many(s: Source) -> Words:
    words = [s.own("large")]
    for _ in range(1 + s.below(60)):
        words += [s.pick(BIG_MEMBERS), s.value()]
    return words


@command("HSET", 0.6)
def hset_weights(s: Source) -> Words:
    return [s.key("weights"), b"f%d" % s.below(2), b"%d" % (s.below(60) - 30) if s.chance(0.95) else s.value()]


@command("HMSET", 0.5)
def hmset(s: Source) -> Words:
    words = [hash_key(s)]
    for _ in range(1 + s.below(3)):
        words += [s.member(), s.value()]
    return words


@command("HSETNX", 1)
def hsetnx(s: Source) -> Words:
    return [*with_field(s), s.value()]


@command("HGET", 1.5)
def hget(s: Source) -> Words:
    return with_field(s)


@command("HMGET", 1)
def hmget(s: Source) -> Words:
    return [hash_key(s), *s.members(5)]


@command("HGETALL", 1, rule="map")
def hgetall(s: Source) -> Words:
    return [hash_key(s)] if s.chance(0.98) else [s.own("large")]


@command("HDEL", 1)
def hdel(s: Source) -> Words:
    return [hash_key(s), *s.members(4)] if s.chance(0.9) else [s.own("large"), *(s.pick(BIG_MEMBERS) for _ in range(20))]


@command("HLEN", 0.7)
def hlen(s: Source) -> Words:
    return [hash_key(s)]


@command("HEXISTS", 1)
def hexists(s: Source) -> Words:
    return with_field(s)


@command("HKEYS", 0.6, rule="bag")
def hkeys(s: Source) -> Words:
    return [hash_key(s)] if s.chance(0.98) else [s.own("large")]


@command("HVALS", 0.6, rule="bag")
def hvals(s: Source) -> Words:
    return [hash_key(s)] if s.chance(0.98) else [s.own("large")]


@command("HINCRBY", 2)
def hincrby(s: Source) -> Words:
    return [hash_key(s), number(s) if s.chance(0.95) else s.member(), s.integer(-100, 100, 0.04)]


@command("HINCRBYFLOAT", 2)
def hincrbyfloat(s: Source) -> Words:
    return [hash_key(s), number(s) if s.chance(0.95) else s.member(), s.float()]


@command("HSTRLEN", 1)
def hstrlen(s: Source) -> Words:
    return with_field(s)


@command("HRANDFIELD", 1.5, rule="hrandfield", options="count WITHVALUES")
def hrandfield(s: Source) -> Words:
    words = [hash_key(s)] if s.chance(0.97) else [s.own("large")]
    if s.chance(0.75):
        s.note("count")
        words.append(random_count(s))
        if s.chance(0.5):
            words.append(s.option("WITHVALUES") if s.chance(0.97) else b"BAD")
    return words


def random_count(s: Source) -> bytes:
    """A number of random elements: never so far below zero that a server would go on for hours."""
    chance = s.random()
    if chance < 0.96:
        return b"%d" % (s.below(24) - 8 if chance < 0.9 else s.below(120) - 40)
    return s.pick((b"-9223372036854775808", b"9223372036854775807", b"4611686018427387904", b"abc", b"", b"1.5"))
