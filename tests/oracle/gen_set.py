"""gen_set.py - commands on sets. Standard library only."""
from gen_hash import random_count
from source import BIG_MEMBERS, Source, Words, command


def set_key(s: Source) -> bytes:
    return s.key("set")


def any_set(s: Source) -> bytes:
    return s.key("set") if s.chance(0.93) else s.own("big")


def set_keys(s: Source, most: int) -> Words:
    return [any_set(s) if s.chance(0.97) else set_key(s) for _ in range(1 + s.below(most))]


def member_of(s: Source, key: bytes) -> bytes:
    return s.pick(BIG_MEMBERS) if key[:1] == b"T" else s.member()


@command("SADD", 3)
def sadd(s: Source) -> Words:
    return [set_key(s), *s.members(5)]


@command("SADD", 0.15)
def sadd_many(s: Source) -> Words:
    return [s.own("big"), *(s.pick(BIG_MEMBERS) for _ in range(1 + s.below(100))), *s.members(3)]


@command("SADD", 0.5)
def sadd_numbers(s: Source) -> Words:
    return [set_key(s), *(b"%d" % (s.below(12) - 2) for _ in range(1 + s.below(4)))]


@command("SREM", 1)
def srem(s: Source) -> Words:
    key = any_set(s)
    return [key, *(member_of(s, key) for _ in range(1 + s.below(4)))]


@command("SISMEMBER", 1)
def sismember(s: Source) -> Words:
    key = any_set(s)
    return [key, member_of(s, key)]


@command("SMISMEMBER", 1)
def smismember(s: Source) -> Words:
    return [any_set(s), *s.members(5)]


@command("SMEMBERS", 1, rule="bag")
def smembers(s: Source) -> Words:
    return [set_key(s)] if s.chance(0.98) else [s.own("big")]


@command("SCARD", 1)
def scard(s: Source) -> Words:
    return [any_set(s)]


@command("SPOP", 1, rule="spop", options="count")
def spop(s: Source) -> Words:
    if s.chance(0.5):
        return [any_set(s)]
    s.note("count")
    return [any_set(s), s.count(-1 if s.chance(0.05) else 0, 6) if s.chance(0.95) else s.count(0, 60)]


@command("SRANDMEMBER", 1, rule="srandmember", options="count")
def srandmember(s: Source) -> Words:
    if s.chance(0.4):
        return [any_set(s)]
    s.note("count")
    return [any_set(s), random_count(s)]


@command("SMOVE", 1.5)
def smove(s: Source) -> Words:
    return [set_key(s), set_key(s), s.member()]


@command("SINTER", 1, rule="bag")
def sinter(s: Source) -> Words:
    return set_keys(s, 3)


@command("SUNION", 1, rule="bag")
def sunion(s: Source) -> Words:
    return s.keys("set", 3) if s.chance(0.97) else set_keys(s, 3)


@command("SDIFF", 1, rule="bag")
def sdiff(s: Source) -> Words:
    return set_keys(s, 3)


@command("SINTERCARD", 1, options="LIMIT")
def sintercard(s: Source) -> Words:
    words = s.counted_keys("set", 3)
    if s.chance(0.6):
        words += [s.option("LIMIT"), s.integer(-1 if s.chance(0.1) else 0, 8)]
    return words


@command("SINTERSTORE", 0.8)
def sinterstore(s: Source) -> Words:
    return [set_key(s), *s.keys("set", 3)] if s.chance(0.97) else [s.own("big"), *(s.own("big") for _ in range(2))]


@command("SUNIONSTORE", 0.8)
def sunionstore(s: Source) -> Words:
    return [set_key(s), *s.keys("set", 3)] if s.chance(0.95) else [s.own("big"), *set_keys(s, 3)]


@command("SDIFFSTORE", 0.8)
def sdiffstore(s: Source) -> Words:
    return [set_key(s), *s.keys("set", 3)] if s.chance(0.97) else [s.own("big"), *set_keys(s, 3)]
