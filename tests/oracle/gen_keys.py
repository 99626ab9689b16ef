"""gen_keys.py - commands on keys of any type, SORT, cursors, and copies by DUMP and RESTORE.

A word that begins with "@payload:" or "@corrupt:" stands for what DUMP gives of the key behind it, on each side its own; in the second case
with one byte changed. Standard library only.
"""
from source import ALONE, Source, Words, command

PATTERNS = (b"*", b"l*", b"?0", b"[nz]*", b"[^a]*", b"\\*", b"h[0-2]", b"w_[3-1]", b"", b"*0", b"[", b"\\", b"**", b"*\x00*", b"t\\*\\[*",
            b"?", b"??", b"w_*", b"a-long*h", b"[\xfe-\xff]*", b"[a-", b"[^", b"z[0\\-3]", b"*[0-1]", b"nothing*", b"S0", b"[]z]*", b"w_?*")
ITEM_PATTERNS = (b"*", b"m*", b"m?", b"m[0-5]*", b"[^m]*", b"", b"*0*", b"E00*", b"E*7", b"\\*", b"none*", b"[a-f]*", b"?", b"*\x00*", b"[")


def two_keys(s: Source) -> Words:
    """Of one kind mostly."""
    kind = s.kind()
    return [s.own(kind), s.own(kind)] if kind in ALONE else [s.key(kind), s.key(kind)]


def few_keys(s: Source) -> Words:
    words = [s.any_key() for _ in range(1 if s.chance(0.7) else 1 + s.below(4))]
    return words + words[:1] if s.chance(0.1) else words


@command("DEL", 1)
def delete(s: Source) -> Words:
    return few_keys(s)


@command("UNLINK", 0.7)
def unlink(s: Source) -> Words:
    return few_keys(s)


@command("EXISTS", 1)
def exists(s: Source) -> Words:
    return few_keys(s)


@command("TOUCH", 0.7)
def touch(s: Source) -> Words:
    return few_keys(s)


@command("TYPE", 1)
def type_(s: Source) -> Words:
    return [s.any_key()]


@command("RENAME", 1)
def rename(s: Source) -> Words:
    return two_keys(s)


@command("RENAMENX", 0.7)
def renamenx(s: Source) -> Words:
    return two_keys(s)


@command("COPY", 1.5, options="DB REPLACE")
def copy(s: Source) -> Words:
    parts = []
    if s.chance(0.5):
        parts.append([s.option("REPLACE")])
    if s.chance(0.3):
        parts.append([s.option("DB"), b"0" if s.chance(0.9) else s.pick((b"1", b"-1", b"abc", b"", b"9223372036854775808"))])
    if s.chance(0.01):
        parts.append(s.pick(([b"BAD"], [b"DB"], [b"REPLACE"])))
    s.generator.shuffle(parts)
    return two_keys(s) + [word for part in parts for word in part]


@command("KEYS", 0.6, rule="bag")
def keys(s: Source) -> Words:
    return [s.pick(PATTERNS)]


@command("RANDOMKEY", 0.5, rule="randomkey")
def randomkey(_: Source) -> Words:
    return []


@command("DBSIZE", 0.5, rule="dbsize")
def dbsize(_: Source) -> Words:
    return []


# --- expiry ---

def expire_words(s: Source, when: bytes) -> Words:
    words = [s.any_key(), when]
    if s.chance(0.6):
        words.append(s.option(s.pick(("NX", "XX", "GT", "LT"))))
        if s.chance(0.08):
            words.append(s.option(s.pick(("NX", "XX", "GT", "LT"))))
    if s.chance(0.01):
        words.append(b"BAD")
    return words


@command("EXPIRE", 1.2, options="NX XX GT LT")
def expire(s: Source) -> Words:
    return expire_words(s, s.seconds())


@command("PEXPIRE", 1.2, options="NX XX GT LT")
def pexpire(s: Source) -> Words:
    return expire_words(s, s.milliseconds())


@command("EXPIREAT", 1.2, options="NX XX GT LT")
def expireat(s: Source) -> Words:
    return expire_words(s, s.at_seconds())


@command("PEXPIREAT", 1.2, options="NX XX GT LT")
def pexpireat(s: Source) -> Words:
    return expire_words(s, s.at_milliseconds())


@command("PERSIST", 0.8)
def persist(s: Source) -> Words:
    return [s.any_key()]


@command("TTL", 1, rule="seconds")
def ttl(s: Source) -> Words:
    return [s.any_key()]


@command("PTTL", 1, rule="milliseconds")
def pttl(s: Source) -> Words:
    return [s.any_key()]


@command("EXPIRETIME", 1, rule="at_seconds")
def expiretime(s: Source) -> Words:
    return [s.any_key()]


@command("PEXPIRETIME", 1, rule="at_milliseconds")
def pexpiretime(s: Source) -> Words:
    return [s.any_key()]


# --- SORT ---

BY = (b"w_*", b"wh_*->f0", b"wh_*->f1", b"none_*", b"w_*->f0", b"wh_*")
GET = (b"#", b"w_*", b"wh_*->f0", b"wh_*->f1", b"none_*", b"s0", b"wh_*->", b"->f0", b"*", b"#*")


def sort_words(s: Source, store: bool) -> Words:
    """Sets s.rule where Redis leaves the order open: equal weights as text, and text with zero bytes."""
    kind = s.pick(("numbers", "numbers", "numbers", "list", "set", "zset", "long"))
    alpha = s.chance(0.8 if kind != "numbers" else 0.25)
    parts = []
    chance = s.random()
    by = b""
    if chance < 0.3:
        by = s.pick(BY)
    elif chance < 0.45:
        by = b"nosort"
    if by:
        parts.append([s.option("BY"), by])
    store = store and not (alpha and by and by != b"nosort")
    if s.chance(0.4):
        parts.append([s.option("LIMIT"), s.integer(-1 if s.chance(0.1) else 0, 5), s.integer(-1 if s.chance(0.2) else 0, 8)])
    got = s.chance(0.3)
    if got:
        parts += [[s.option("GET"), s.pick(GET)] for _ in range(1 + s.below(3))]
    if s.chance(0.5):
        parts.append([s.option(s.pick(("ASC", "DESC")))])
    if alpha:
        parts.append([s.option("ALPHA")])
    if store:
        parts.append([s.option("STORE"), s.key("list" if s.chance(0.6) else "numbers")])
    if s.chance(0.015):
        parts.append(s.pick(([b"BAD"], [b"BY"], [b"LIMIT", b"1"], [b"GET"])))
    if alpha and not store and by != b"nosort":
        s.rule = "sort_loose"
    s.generator.shuffle(parts)
    return [s.key(kind), *(word for part in parts for word in part)]


@command("SORT", 2, rule="sort", options="BY LIMIT GET ASC DESC ALPHA STORE")
def sort(s: Source) -> Words:
    return sort_words(s, s.chance(0.3))


@command("SORT_RO", 1.5, rule="sort", options="BY LIMIT GET ASC DESC ALPHA")
def sort_ro(s: Source) -> Words:
    return sort_words(s, False)


# --- cursors: both sides are walked to the end ---

def scan_options(s: Source, patterns: tuple, least: int) -> Words:
    parts = []
    if s.chance(0.5):
        parts.append([s.option("MATCH"), s.pick(patterns)])
    if s.chance(0.5) or least > 1:
        parts.append([s.option("COUNT"), b"%d" % (least + s.below(100)) if s.chance(0.95) else s.pick((b"0", b"-1", b"abc", b"", b"1.5"))])
    if s.chance(0.03):
        parts.append(s.pick(([b"BAD"], [b"MATCH"], [b"COUNT"])))
    s.generator.shuffle(parts)
    return [word for part in parts for word in part]


def cursor(s: Source) -> bytes:
    return b"0" if s.chance(0.97) else s.pick((b"abc", b"", b"1.5", b"99999999999999999999999", b" 0", b"-"))


@command("SCAN", 0.2, rule="walk", options="MATCH COUNT TYPE")
def scan(s: Source) -> Words:
    words = [cursor(s), *scan_options(s, PATTERNS, 3)]
    if s.chance(0.5):
        words += [s.option("TYPE"), s.pick((b"string", b"list", b"hash", b"set", b"zset", b"ZSET", b"stream", b"nope", b""))]
    return words


@command("HSCAN", 0.15, rule="walk", options="MATCH COUNT")
def hscan(s: Source) -> Words:
    return [s.key("hash"), cursor(s), *scan_options(s, ITEM_PATTERNS, 1)] if s.chance(0.9) else \
        [s.own("large"), cursor(s), *scan_options(s, ITEM_PATTERNS, 200)]


@command("SSCAN", 0.15, rule="walk", options="MATCH COUNT")
def sscan(s: Source) -> Words:
    return [s.key("set"), cursor(s), *scan_options(s, ITEM_PATTERNS, 1)] if s.chance(0.9) else \
        [s.own("big"), cursor(s), *scan_options(s, ITEM_PATTERNS, 200)]


@command("ZSCAN", 0.15, rule="walk", options="MATCH COUNT")
def zscan(s: Source) -> Words:
    return [s.key("zset"), cursor(s), *scan_options(s, ITEM_PATTERNS, 1)] if s.chance(0.9) else \
        [s.own("ranked"), cursor(s), *scan_options(s, ITEM_PATTERNS, 200)]


# --- DUMP and RESTORE ---

@command("DUMP", 0.5, rule="kind")
def dump(s: Source) -> Words:
    return [s.any_key()]


@command("RESTORE", 0.8, rule="restore", options="REPLACE ABSTTL IDLETIME FREQ")
def restore(s: Source) -> Words:
    source, target = two_keys(s)
    mark = b"@payload:" if s.chance(0.95) else b"@corrupt:"
    chance = s.random()
    parts = []
    ttl_word = b"0"
    if chance < 0.3:
        parts.append([s.option("ABSTTL")])
        ttl_word = s.at_milliseconds() if chance < 0.25 else b"0"
    elif chance < 0.6:
        ttl_word = b"%d" % (1000000 + s.below(1000000000)) if s.chance(0.93) else s.pick((b"-1", b"0", b"abc", b"", b"1.5"))
    if s.chance(0.8):
        parts.append([s.option("REPLACE")])
    if s.chance(0.2):
        parts.append([s.option("IDLETIME"), s.integer(-1 if s.chance(0.1) else 0, 1000)])
    elif s.chance(0.2):
        parts.append([s.option("FREQ"), s.integer(-1 if s.chance(0.1) else 0, 300 if s.chance(0.1) else 255)])
    if s.chance(0.02):
        parts.append(s.pick(([b"BAD"], [b"FREQ"], [b"IDLETIME"])))
    s.generator.shuffle(parts)
    return [target, ttl_word, mark + source, *(word for part in parts for word in part)]


@command("RESTORE", 0.1)
def restore_garbage(s: Source) -> Words:
    return [s.any_key(), s.milliseconds(), s.value(), *([b"REPLACE"] if s.chance(0.5) else [])]


# --- what differs inside: only the kind of the reply is compared ---

@command("OBJECT", 0.4, rule="kind", options="ENCODING IDLETIME REFCOUNT FREQ")
def object_(s: Source) -> Words:
    if s.chance(0.05):
        return s.pick(([b"BAD", b"s0"], [b"ENCODING"], [b"FREQ", b"s0", b"x"], [b""]))
    return [s.option(s.pick(("ENCODING", "IDLETIME", "REFCOUNT", "FREQ"))), s.any_key()]


@command("MEMORY", 0.2, rule="memory", options="USAGE SAMPLES")
def memory(s: Source) -> Words:
    words = [s.option("USAGE"), s.any_key()]
    if s.chance(0.5):
        words += [s.option("SAMPLES"), s.integer(-1 if s.chance(0.2) else 0, 10)]
    return words
