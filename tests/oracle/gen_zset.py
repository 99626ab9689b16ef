"""gen_zset.py - commands on sorted sets. Standard library only."""
from gen_hash import random_count
from source import BIG_MEMBERS, LETTERS, POOLS, Source, Words, command


def zset_key(s: Source) -> bytes:
    return s.key("zset")


def any_zset(s: Source) -> bytes:
    return s.key("zset") if s.chance(0.85) else s.own("ranked")


def member_of(s: Source, key: bytes) -> bytes:
    return s.pick(BIG_MEMBERS) if key[:1] == b"Z" else s.member()


def shuffled(s: Source, parts: list) -> Words:
    s.generator.shuffle(parts)
    return [word for part in parts for word in part]


def add_options(s: Source) -> Words:
    chance = s.random()
    words = []
    if chance < 0.12:
        words.append(s.option("NX"))
    elif chance < 0.24:
        words.append(s.option("XX"))
    if chance >= 0.12 and s.chance(0.3):
        words.append(s.option("GT" if s.chance(0.5) else "LT"))
    if s.chance(0.25):
        words.append(s.option("CH"))
    if s.chance(0.02):
        words.append(s.pick((b"NX", b"XX", b"GT", b"LT", b"CH", b"BAD")))
    s.generator.shuffle(words)
    return words


@command("ZADD", 4, options="NX XX GT LT CH INCR")
def zadd(s: Source) -> Words:
    words = [zset_key(s), *add_options(s)]
    if s.chance(0.2):
        words.append(s.option("INCR"))
        return words + [s.score(), s.member()] + ([s.score(), s.member()] if s.chance(0.03) else [])
    for _ in range(1 + s.below(4)):
        words += [s.score(), s.member()]
    return words


@command("ZADD", 0.3)
def zadd_many(s: Source) -> Words:
    words = [s.own("ranked"), *add_options(s)]
    for _ in range(1 + s.below(80)):
        words += [b"%d" % s.below(300) if s.chance(0.97) else s.score(), s.pick(BIG_MEMBERS)]
    return words


@command("ZADD", 0.8)
def zadd_lex(s: Source) -> Words:
    words = [s.own("lex")]
    for _ in range(1 + s.below(8)):
        words += [b"0", s.pick(LETTERS)]
    return words


@command("ZREM", 1)
def zrem(s: Source) -> Words:
    key = any_zset(s)
    return [key, *(member_of(s, key) for _ in range(1 + s.below(4)))]


@command("ZSCORE", 1)
def zscore(s: Source) -> Words:
    key = any_zset(s)
    return [key, member_of(s, key)]


@command("ZMSCORE", 1)
def zmscore(s: Source) -> Words:
    key = any_zset(s)
    return [key, *(member_of(s, key) for _ in range(1 + s.below(5)))]


@command("ZINCRBY", 2)
def zincrby(s: Source) -> Words:
    key = any_zset(s)
    return [key, s.score(), member_of(s, key)]


@command("ZCARD", 0.7)
def zcard(s: Source) -> Words:
    return [any_zset(s)]


def bound(s: Source, key: bytes) -> bytes:
    chance = s.random()
    if chance < 0.12:
        return s.pick((b"-inf", b"+inf", b"inf", b"(-inf", b"(+inf", b"(inf"))
    if chance < 0.16:
        return s.pick((b"(", b"", b"nan", b"(nan", b"abc", b"[1", b"((1", b" 1", b"1 ", b"(1x", b"1e400", b"0x1p3", b"( 1"))
    number = b"%d" % (s.below(320) if key[:1] == b"Z" else s.below(44) - 22)
    if chance > 0.9:
        number += b".5"
    return b"(" + number if s.chance(0.3) else number


def bounds(s: Source, key: bytes) -> Words:
    """Min and max, at times the wrong way round; of a large sorted set mostly near each other."""
    if key[:1] == b"Z" and s.chance(0.9):
        low = s.below(300)
        return [b"%s%d" % (s.pick((b"", b"(")), low), b"%s%d" % (s.pick((b"", b"(")), low + s.below(20) - 1)]
    words = [bound(s, key), bound(s, key)]
    return words


def ranks(s: Source, key: bytes) -> Words:
    if key[:1] == b"Z" and s.chance(0.95):
        start = s.below(1200) - 600
        return [b"%d" % start, b"%d" % (start + s.below(30) - 1)]
    return [s.integer(-12, 12), s.integer(-12, 25)]


def lex_bound(s: Source) -> bytes:
    chance = s.random()
    if chance < 0.25:
        return s.pick((b"-", b"+"))
    if chance < 0.29:
        return s.pick((b"", b"a", b"0", b"++", b"-a", b"inf", b"*"))
    return s.pick((b"[", b"(")) + s.pick(LETTERS)


def limit(s: Source) -> Words:
    words = [s.option("LIMIT"), s.integer(-1 if s.chance(0.1) else 0, 6), s.integer(-1 if s.chance(0.3) else 0, 10)]
    return words[:1 + s.below(2)] if s.chance(0.015) else words


@command("ZCOUNT", 1)
def zcount(s: Source) -> Words:
    key = any_zset(s)
    return [key, *bounds(s, key)]


@command("ZLEXCOUNT", 1)
def zlexcount(s: Source) -> Words:
    return [s.key("lex"), lex_bound(s), lex_bound(s)]


def range_words(s: Source, key: bytes, scores: bool) -> Words:
    """What comes behind the key in ZRANGE and ZRANGESTORE."""
    chance = s.random()
    parts = []
    if key in POOLS["lex"] + POOLS["number"]:
        words = [lex_bound(s), lex_bound(s)]
        parts.append([s.option("BYLEX")])
        bylex = True
    elif chance < 0.5:
        words = ranks(s, key)
        bylex = False
    else:
        words = bounds(s, key)
        parts.append([s.option("BYSCORE")])
        bylex = False
    if s.chance(0.4):
        parts.append([s.option("REV")])
        if s.chance(0.7):
            words.reverse()
    if (len(parts) and s.chance(0.4) and (bylex or chance >= 0.5)) or s.chance(0.02):
        parts.append(limit(s))
    if scores and (not bylex and s.chance(0.4) or s.chance(0.03)):
        parts.append([s.option("WITHSCORES")])
    elif not scores and s.chance(0.01):
        parts.append([b"WITHSCORES"])
    if s.chance(0.01):
        parts.append(s.pick(([b"BAD"], [b"BYSCORE"], [b"REV"], [b"WITHSCORES"])))
    return words + shuffled(s, parts)


def range_key(s: Source) -> bytes:
    return s.key("lex") if s.chance(0.25) else any_zset(s)


@command("ZRANGE", 4, options="BYSCORE BYLEX REV LIMIT WITHSCORES")
def zrange(s: Source) -> Words:
    key = range_key(s)
    return [key, *range_words(s, key, True)]


@command("ZRANGESTORE", 2, options="BYSCORE BYLEX REV LIMIT")
def zrangestore(s: Source) -> Words:
    source = range_key(s)
    target = s.own("lex") if source[:1] == b"x" else zset_key(s)
    return [target, source, *range_words(s, source, False)]


@command("ZREVRANGE", 1, options="WITHSCORES")
def zrevrange(s: Source) -> Words:
    key = any_zset(s)
    words = [key, *ranks(s, key)]
    if s.chance(0.5):
        words.append(s.option("WITHSCORES") if s.chance(0.97) else b"REV")
    return words


def by_score(s: Source, backwards: bool) -> Words:
    key = any_zset(s)
    low_high = bounds(s, key)
    parts = []
    if s.chance(0.4):
        parts.append([s.option("WITHSCORES")])
    if s.chance(0.4):
        parts.append(limit(s))
    if s.chance(0.01):
        parts.append([b"REV"])
    return [key, *(low_high[::-1] if backwards else low_high), *shuffled(s, parts)]


@command("ZRANGEBYSCORE", 1, options="WITHSCORES LIMIT")
def zrangebyscore(s: Source) -> Words:
    return by_score(s, False)


@command("ZREVRANGEBYSCORE", 1, options="WITHSCORES LIMIT")
def zrevrangebyscore(s: Source) -> Words:
    return by_score(s, True)


def by_lex(s: Source) -> Words:
    words = [s.key("lex"), lex_bound(s), lex_bound(s)]
    if s.chance(0.5):
        words += limit(s)
    return words


@command("ZRANGEBYLEX", 1, options="LIMIT")
def zrangebylex(s: Source) -> Words:
    return by_lex(s)


@command("ZREVRANGEBYLEX", 1, options="LIMIT")
def zrevrangebylex(s: Source) -> Words:
    return by_lex(s)


@command("ZRANK", 1)
def zrank(s: Source) -> Words:
    key = any_zset(s)
    return [key, member_of(s, key)]


@command("ZREVRANK", 1)
def zrevrank(s: Source) -> Words:
    key = any_zset(s)
    return [key, member_of(s, key)]


@command("ZREMRANGEBYRANK", 0.6)
def zremrangebyrank(s: Source) -> Words:
    key = any_zset(s)
    return [key, *ranks(s, key)]


@command("ZREMRANGEBYSCORE", 0.5)
def zremrangebyscore(s: Source) -> Words:
    key = any_zset(s)
    low = s.below(44) - 22
    return [key, *bounds(s, key)] if key[:1] == b"Z" or s.chance(0.3) else [key, b"%d" % low, b"%d" % (low + s.below(4))]


@command("ZREMRANGEBYLEX", 0.5)
def zremrangebylex(s: Source) -> Words:
    first = s.below(len(LETTERS))
    if s.chance(0.6):
        return [s.key("lex"), b"[" + LETTERS[first], b"(" + LETTERS[min(first + 3, len(LETTERS) - 1)]]
    return [s.key("lex"), lex_bound(s), lex_bound(s)]


def pop_words(s: Source) -> Words:
    if s.chance(0.5):
        return [any_zset(s)]
    s.note("count")
    return [any_zset(s), s.count(-1 if s.chance(0.05) else 0, 5)]


@command("ZPOPMIN", 0.8, options="count")
def zpopmin(s: Source) -> Words:
    return pop_words(s)


@command("ZPOPMAX", 0.8, options="count")
def zpopmax(s: Source) -> Words:
    return pop_words(s)


def multiple(s: Source) -> Words:
    words = s.counted_keys("zset", 3)
    words.append(s.option(s.pick(("MIN", "MAX"))) if s.chance(0.98) else b"LEFT")
    if s.chance(0.5):
        words += [s.option("COUNT"), s.count(-1 if s.chance(0.1) else 1, 4)]
        if s.chance(0.02):
            words.append(b"COUNT")
    return words


@command("ZMPOP", 1, options="MIN MAX COUNT")
def zmpop(s: Source) -> Words:
    return multiple(s)


@command("BZPOPMIN", 0.15)
def bzpopmin(s: Source) -> Words:
    return [*s.keys("zset", 3), s.timeout()]


@command("BZPOPMAX", 0.15)
def bzpopmax(s: Source) -> Words:
    return [*s.keys("zset", 3), s.timeout()]


@command("BZMPOP", 0.3, options="MIN MAX COUNT")
def bzmpop(s: Source) -> Words:
    return [s.timeout(), *multiple(s)]


# --- algebra ---

def operands(s: Source) -> Words:
    """numkeys and keys: sorted sets, sets too, at times large ones."""
    words = s.counted_keys("zset", 3)
    if s.chance(0.2):
        words[1 + s.below(len(words) - 1)] = s.key("set") if s.chance(0.7) else s.own("ranked")
    return words


def weights(s: Source, count: int) -> Words:
    if s.chance(0.04):
        count += s.below(3) - 1
    odd = (b"inf", b"-inf", b"0", b"0.5", b"nan", b"abc", b"")
    return [s.option("WEIGHTS"), *(b"%d" % (s.below(7) - 2) if s.chance(0.93) else s.pick(odd) for _ in range(count))]


def algebra(s: Source, words: Words, count: int, scores: bool) -> Words:
    parts = []
    if s.chance(0.35):
        parts.append(weights(s, count))
    if s.chance(0.5):
        how = s.option(s.pick(("SUM", "MIN", "MAX"))) if s.chance(0.97) else b"AVG"
        parts.append([s.option("AGGREGATE"), how])
    if scores and s.chance(0.5):
        parts.append([s.option("WITHSCORES")])
    elif not scores and s.chance(0.01):
        parts.append([b"WITHSCORES"])
    if s.chance(0.01):
        parts.append(s.pick(([b"BAD"], [b"AGGREGATE"], [b"WEIGHTS"])))
    return words + shuffled(s, parts)


ALGEBRA = "WEIGHTS AGGREGATE SUM MIN MAX"


@command("ZUNION", 1.2, options=ALGEBRA + " WITHSCORES")
def zunion(s: Source) -> Words:
    words = operands(s)
    return algebra(s, words, len(words) - 1, True)


@command("ZINTER", 1.2, options=ALGEBRA + " WITHSCORES")
def zinter(s: Source) -> Words:
    words = operands(s)
    return algebra(s, words, len(words) - 1, True)


@command("ZDIFF", 1, options="WITHSCORES")
def zdiff(s: Source) -> Words:
    words = operands(s)
    if s.chance(0.5):
        words.append(s.option("WITHSCORES") if s.chance(0.97) else b"WEIGHTS")
    return words


@command("ZUNIONSTORE", 1, options=ALGEBRA)
def zunionstore(s: Source) -> Words:
    words = operands(s)
    return algebra(s, [zset_key(s), *words], len(words) - 1, False)


@command("ZINTERSTORE", 1, options=ALGEBRA)
def zinterstore(s: Source) -> Words:
    words = operands(s)
    return algebra(s, [zset_key(s), *words], len(words) - 1, False)


@command("ZDIFFSTORE", 0.8)
def zdiffstore(s: Source) -> Words:
    return [zset_key(s), *operands(s)]


@command("ZINTERCARD", 1, options="LIMIT")
def zintercard(s: Source) -> Words:
    words = operands(s)
    if s.chance(0.6):
        words += [s.option("LIMIT"), s.integer(-1 if s.chance(0.1) else 0, 8)]
    return words


@command("ZRANDMEMBER", 1.5, rule="zrandmember", options="count WITHSCORES")
def zrandmember(s: Source) -> Words:
    words = [any_zset(s)]
    if s.chance(0.75):
        s.note("count")
        words.append(random_count(s))
        if s.chance(0.5):
            words.append(s.option("WITHSCORES") if s.chance(0.97) else b"BAD")
    return words
