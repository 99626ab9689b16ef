"""gen_list.py - commands on lists. Standard library only."""
from source import Source, Words, command

ENDS = ("LEFT", "RIGHT")


def list_key(s: Source) -> bytes:
    return s.key("list")


def any_list(s: Source) -> bytes:
    return s.key("list") if s.chance(0.8) else s.key("long" if s.chance(0.5) else "numbers")


def elements(s: Source, most: int) -> Words:
    return [s.element() for _ in range(1 + s.below(most))]


@command("LPUSH", 2)
def lpush(s: Source) -> Words:
    return [list_key(s), *elements(s, 4)]


@command("RPUSH", 2)
def rpush(s: Source) -> Words:
    return [list_key(s), *elements(s, 4)]


@command("RPUSH", 0.8)
def rpush_numbers(s: Source) -> Words:
    return [s.key("numbers"), *(b"%d" % s.below(10) if s.chance(0.9) else s.pick((b"1.5", b"-3", b"1e2", b"0x10", b"-0", b"00"))
                                for _ in range(1 + s.below(4)))]


@command("RPUSH", 0.15)
def rpush_long(s: Source) -> Words:
    return [s.own("long"), *elements(s, 80)]


@command("LPUSHX", 0.5)
def lpushx(s: Source) -> Words:
    return [list_key(s), *elements(s, 3)]


@command("RPUSHX", 0.5)
def rpushx(s: Source) -> Words:
    return [list_key(s), *elements(s, 3)]


def pop_words(s: Source) -> Words:
    if s.chance(0.5):
        return [any_list(s)]
    s.note("count")
    return [any_list(s), s.count(-1 if s.chance(0.05) else 0, 5)]


@command("LPOP", 1.5, options="count")
def lpop(s: Source) -> Words:
    return pop_words(s)


@command("RPOP", 1.5, options="count")
def rpop(s: Source) -> Words:
    return pop_words(s)


@command("LLEN", 1)
def llen(s: Source) -> Words:
    return [any_list(s)]


@command("LINDEX", 1)
def lindex(s: Source) -> Words:
    return [any_list(s), s.integer(-20, 20)] if s.chance(0.9) else [s.own("long"), s.integer(-700, 700)]


@command("LSET", 1)
def lset(s: Source) -> Words:
    return [list_key(s), s.integer(-3, 2), s.element()] if s.chance(0.9) else [s.own("long"), s.integer(-300, 300), s.element()]


@command("LRANGE", 2)
def lrange(s: Source) -> Words:
    if s.chance(0.8):
        return [s.key("list" if s.chance(0.7) else "numbers"), s.integer(-12, 12), s.integer(-12, 25)]
    start = s.below(800) - 400
    return [s.own("long"), b"%d" % start, b"%d" % (start + s.below(40))]


@command("LTRIM", 1.4)
def ltrim(s: Source) -> Words:
    if s.chance(0.95):
        return [s.key("list" if s.chance(0.7) else "numbers"), s.integer(-12, 3), s.integer(-3, 12)]
    return [s.own("long"), s.integer(0, 20), s.integer(-20, 800)]


@command("LREM", 1)
def lrem(s: Source) -> Words:
    return [any_list(s), s.integer(-3, 3), s.element()]


@command("LINSERT", 1.2, options="BEFORE AFTER")
def linsert(s: Source) -> Words:
    where = s.option(s.pick(("BEFORE", "AFTER"))) if s.chance(0.97) else b"BESIDE"
    return [any_list(s), where, s.element(), s.element()]


@command("LPOS", 2, options="RANK COUNT MAXLEN")
def lpos(s: Source) -> Words:
    words = [any_list(s), s.element()]
    parts = []
    if s.chance(0.4):
        parts.append([s.option("RANK"), s.integer(1, 4) if s.chance(0.5) else s.integer(-4, 0)])
    if s.chance(0.4):
        parts.append([s.option("COUNT"), s.integer(-1 if s.chance(0.1) else 0, 5)])
    if s.chance(0.4):
        parts.append([s.option("MAXLEN"), s.integer(-1 if s.chance(0.1) else 0, 30)])
    if s.chance(0.02):
        parts.append(s.pick(([b"BAD"], [b"RANK"], [b"COUNT", b"2"])))
    s.generator.shuffle(parts)
    return words + [word for part in parts for word in part]


def end(s: Source) -> bytes:
    return s.option(s.pick(ENDS)) if s.chance(0.98) else s.pick((b"MIDDLE", b""))


@command("LMOVE", 1.5, options="LEFT RIGHT")
def lmove(s: Source) -> Words:
    return [list_key(s), list_key(s), end(s), end(s)]


@command("RPOPLPUSH", 1)
def rpoplpush(s: Source) -> Words:
    return [list_key(s), list_key(s)]


def multiple(s: Source) -> Words:
    words = [*s.counted_keys("list", 3), end(s)]
    if s.chance(0.5):
        words += [s.option("COUNT"), s.count(-1 if s.chance(0.1) else 1, 4)]
        if s.chance(0.02):
            words.append(b"COUNT")
    return words


@command("LMPOP", 1.2, options="LEFT RIGHT COUNT")
def lmpop(s: Source) -> Words:
    return multiple(s)


# --- those that wait ---

def waiting_keys(s: Source) -> Words:
    return s.keys("list", 3)


@command("BLPOP", 0.15)
def blpop(s: Source) -> Words:
    return [*waiting_keys(s), s.timeout()]


@command("BRPOP", 0.15)
def brpop(s: Source) -> Words:
    return [*waiting_keys(s), s.timeout()]


@command("BRPOPLPUSH", 0.12)
def brpoplpush(s: Source) -> Words:
    return [list_key(s), list_key(s), s.timeout()]


@command("BLMOVE", 0.3, options="LEFT RIGHT")
def blmove(s: Source) -> Words:
    return [list_key(s), list_key(s), end(s), end(s), s.timeout()]


@command("BLMPOP", 0.3, options="LEFT RIGHT COUNT")
def blmpop(s: Source) -> Words:
    return [s.timeout(), *multiple(s)]
