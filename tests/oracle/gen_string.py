"""gen_string.py - commands on strings and bits. Standard library only."""
from source import LCS_VALUES, Source, Words, command

EXPIRIES = ("EX", "PX", "EXAT", "PXAT")


def text_key(s: Source) -> bytes:
    return s.key("string" if s.chance(0.75) else "number")


def time_for(s: Source, option: str) -> bytes:
    return {"EX": s.seconds, "PX": s.milliseconds, "EXAT": s.at_seconds, "PXAT": s.at_milliseconds}[option]()


def expiry(s: Source) -> Words:
    option = s.pick(EXPIRIES)
    words = [s.option(option), time_for(s, option)]
    return words[:1] if s.chance(0.01) else words


def shuffled(s: Source, parts: list) -> Words:
    """The parts in any order, one after another."""
    s.generator.shuffle(parts)
    return [word for part in parts for word in part]


@command("SET", 5, options="NX XX GET EX PX EXAT PXAT KEEPTTL")
def set_(s: Source) -> Words:
    kind = s.pick(("string", "string", "number", "float", "weight"))
    value = s.value() if kind == "string" else b"%d" % (s.below(400) - 200)
    if kind == "float" and s.chance(0.5):
        value = s.float(0)
    parts = []
    chance = s.random()
    if chance < 0.3:
        parts.append([s.option("NX" if chance < 0.15 else "XX")])
    if s.chance(0.2):
        parts.append([s.option("GET")])
    chance = s.random()
    if chance < 0.3:
        parts.append(expiry(s))
    elif chance < 0.4:
        parts.append([s.option("KEEPTTL")])
    if s.chance(0.03):
        parts.append(s.pick(([b"NX"], [b"XX"], [b"KEEPTTL"], [b"EX", b"100000"], [b"BAD"], [b""], [b"PXAT"])))
    return [s.key(kind), value, *shuffled(s, parts)]


@command("SET", 0.4)
def set_lcs(s: Source) -> Words:
    return [s.key("lcs"), s.pick(LCS_VALUES)]


@command("SETNX", 0.5)
def setnx(s: Source) -> Words:
    return [text_key(s), s.value()]


@command("SETEX", 0.5)
def setex(s: Source) -> Words:
    return [text_key(s), s.seconds(), s.value()]


@command("PSETEX", 0.5)
def psetex(s: Source) -> Words:
    return [text_key(s), s.milliseconds(), s.value()]


@command("GET", 2)
def get(s: Source) -> Words:
    return [s.key(s.pick(("string", "number", "float", "bits", "weight")))]


@command("GETEX", 1.5, options="EX PX EXAT PXAT PERSIST")
def getex(s: Source) -> Words:
    chance = s.random()
    words = [] if chance < 0.1 else [s.option("PERSIST")] if chance < 0.3 else expiry(s)
    if s.chance(0.02):
        words = words + s.pick(([b"PERSIST"], [b"EX", b"5000"], [b"KEEPTTL"], [b"NX"]))
    return [text_key(s), *words]


@command("GETDEL", 0.4)
def getdel(s: Source) -> Words:
    return [text_key(s)]


@command("GETSET", 0.5)
def getset(s: Source) -> Words:
    return [text_key(s), s.value()]


@command("MGET", 1)
def mget(s: Source) -> Words:
    return [s.any_key() for _ in range(1 + s.below(5))]


@command("MSET", 0.7)
def mset(s: Source) -> Words:
    words = []
    for _ in range(1 + s.below(3)):
        words += [s.own("number"), b"%d" % s.below(100)] if s.chance(0.5) else [text_key(s), s.value()]
    return words


@command("MSETNX", 0.5)
def msetnx(s: Source) -> Words:
    words = []
    for _ in range(1 + s.below(2)):
        words += [text_key(s), s.value()]
    return words


@command("APPEND", 1)
def append(s: Source) -> Words:
    return [s.key("string"), s.value()]


@command("STRLEN", 1)
def strlen(s: Source) -> Words:
    return [text_key(s)]


@command("GETRANGE", 1)
def getrange(s: Source) -> Words:
    return [text_key(s), s.integer(-30, 30), s.integer(-30, 60)]


@command("SUBSTR", 0.3)
def substr(s: Source) -> Words:
    return [text_key(s), s.integer(-30, 30), s.integer(-30, 60)]


@command("SETRANGE", 1)
def setrange(s: Source) -> Words:
    chance = s.random()
    offset = b"%d" % (s.below(40) if chance < 0.9 else s.below(3000))
    if chance > 0.95:
        offset = s.pick((b"-1", b"536870912", b"9223372036854775807", b"4294967296", b"-9223372036854775808", b"abc", b"1.5", b""))
    return [s.key("string"), offset, s.value()]


def number_key(s: Source) -> bytes:
    return s.key("number") if s.chance(0.97) else s.key("string")


@command("INCR", 1)
def incr(s: Source) -> Words:
    return [number_key(s)]


@command("DECR", 1)
def decr(s: Source) -> Words:
    return [number_key(s)]


@command("INCRBY", 1)
def incrby(s: Source) -> Words:
    return [number_key(s), s.integer(-100, 100, 0.04)]


@command("DECRBY", 1)
def decrby(s: Source) -> Words:
    return [number_key(s), s.integer(-100, 100, 0.04)]


@command("INCRBYFLOAT", 1.5)
def incrbyfloat(s: Source) -> Words:
    return [s.key("float") if s.chance(0.8) else number_key(s), s.float()]


@command("LCS", 1.2, options="LEN IDX MINMATCHLEN WITHMATCHLEN")
def lcs(s: Source) -> Words:
    parts = []
    chance = s.random()
    if chance < 0.25:
        parts.append([s.option("LEN")])
    elif chance < 0.75:
        parts.append([s.option("IDX")])
    if s.chance(0.4):
        parts.append([s.option("MINMATCHLEN"), s.integer(-1, 5)])
    if s.chance(0.4):
        parts.append([s.option("WITHMATCHLEN")])
    if s.chance(0.02):
        parts.append(s.pick(([b"LEN"], [b"IDX"], [b"MINMATCHLEN"], [b"BAD"])))
    return [s.key("lcs"), s.key("lcs"), *shuffled(s, parts)]


# --- bits ---

def bit_offset(s: Source) -> bytes:
    chance = s.random()
    if chance < 0.95:
        return b"%d" % (s.below(300) if chance < 0.9 else s.below(20000))
    return s.pick((b"-1", b"4294967296", b"9223372036854775807", b"abc", b"1.5", b"", b" 1", b"-9223372036854775808"))


@command("SETBIT", 2)
def setbit(s: Source) -> Words:
    return [s.key("bits"), bit_offset(s), s.pick((b"0", b"1", b"1")) if s.chance(0.97) else s.pick((b"2", b"-1", b"", b"01", b"x"))]


@command("GETBIT", 1)
def getbit(s: Source) -> Words:
    return [s.key("bits"), bit_offset(s)]


@command("BITCOUNT", 1.5, options="start,end BYTE BIT")
def bitcount(s: Source) -> Words:
    words = [s.key("bits") if s.chance(0.8) else text_key(s)]
    if s.chance(0.8):
        s.note("start,end")
        words += [s.integer(-40, 40), s.integer(-40, 200)]
        if s.chance(0.6):
            words.append(s.option(s.pick(("BYTE", "BIT"))) if s.chance(0.97) else b"BITS")
    return words


@command("BITPOS", 1.5, options="start end BYTE BIT")
def bitpos(s: Source) -> Words:
    words = [s.key("bits") if s.chance(0.8) else text_key(s), s.pick((b"0", b"1")) if s.chance(0.97) else s.integer(-1, 3)]
    if s.chance(0.8):
        s.note("start")
        words.append(s.integer(-40, 40))
        if s.chance(0.8):
            s.note("end")
            words.append(s.integer(-40, 200))
            if s.chance(0.6):
                words.append(s.option(s.pick(("BYTE", "BIT"))) if s.chance(0.97) else b"BITS")
    return words


@command("BITOP", 1.5, options="AND OR XOR NOT")
def bitop(s: Source) -> Words:
    name = s.pick(("AND", "OR", "XOR", "NOT"))
    count = 1 if name == "NOT" and s.chance(0.95) else 1 + s.below(4)
    sources = [s.key("bits") if s.chance(0.7) else s.key("string") for _ in range(count)]
    return [s.option(name) if s.chance(0.98) else b"NAND", s.key("bits"), *sources]
