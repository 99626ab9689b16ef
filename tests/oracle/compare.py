"""compare.py - when two replies are equal: the rules of the steps.

The library runs first. Where its reply is random, Redis is asked other things than the command itself: the command too, for the form of the
reply; whether what came out of the library is there; and for SPOP, to remove the same. `ask` says what Redis is sent, `judge` compares, and
returns what is wrong or None. An error must always be the same error. Standard library only.

Differences that are meant, and so are not found:
  - LPOS RANK -9223372036854775808 is refused by the library.
  - A score -0 is 0 to the library.
  - In ZSCAN Redis prints a score by how it stores the set; there its value is compared.
  - A time to wait beyond 2^63 ms is "out of range" to the library, as to Redis 7.2, and "negative" to Redis 7.0.
  - OBJECT ENCODING, REFCOUNT, IDLETIME and MEMORY USAGE tell of the inside, and DUMP's payload is the library's own: the kind is compared.
"""
from collections import Counter
from typing import Callable, Dict, List, Optional, Tuple

from generate import Step
from wire import Reply, Words, show

TOLERANCE_MS = 10000
# A point in time in these years was named by a command; others come from one that said how long.
NAMED_MS = range(4000000000000, 5000000000000)
TEMPORARY = b"(temporary)"
INT64_MIN = b"-9223372036854775808"
LONG_WAIT = (("-", b"ERR timeout is out of range"), ("-", b"ERR timeout is negative"))


def frozen(reply: Reply) -> object:
    kind, content = reply
    return (kind, tuple(frozen(item) for item in content)) if isinstance(content, list) else reply


def without_minus_zero(step: Step, reply: Reply) -> Reply:
    """Scores that are -0 as 0, in a reply to a command on sorted sets."""
    kind, content = reply
    if isinstance(content, list):
        return kind, [without_minus_zero(step, item) for item in content]
    return (kind, b"0") if content == b"-0" and step.name.startswith(("Z", "BZ")) else reply


def items(reply: Reply) -> List[Reply]:
    return reply[1] if isinstance(reply[1], list) else []


def bag(reply: Reply) -> Counter:
    return Counter(frozen(item) for item in items(reply))


def pairs(reply: Reply) -> List[Tuple[Reply, Reply]]:
    """Names and values: in turn, or in arrays of two."""
    rows = items(reply)
    if rows and rows[0][0] == "*":
        return [(items(row)[0], items(row)[1]) for row in rows if len(items(row)) == 2]
    return list(zip(rows[::2], rows[1::2]))


def kind_of(reply: Reply) -> object:
    """What a reply is but for its bytes: errors whole, collections with their kind and size."""
    kind, content = reply
    if kind == "-":
        return reply
    return (kind, len(content), kind_of(content[0]) if content else None) if isinstance(content, list) else kind


def differ(ours: Reply, theirs: Reply, why: str = "") -> str:
    return f"the library: {show(ours)}\n    Redis:       {show(theirs)}" + (f"\n    ({why})" if why else "")


# --- rules with one reply of each ---

def exact(_: Step, ours: Reply, theirs: Reply) -> bool:
    return ours == theirs


def same_bag(_: Step, ours: Reply, theirs: Reply) -> bool:
    return ours[0] == theirs[0] and bag(ours) == bag(theirs)


def same_map(_: Step, ours: Reply, theirs: Reply) -> bool:
    return ours[0] == theirs[0] and len(items(ours)) == len(items(theirs)) and \
        Counter(map(repr, pairs(ours))) == Counter(map(repr, pairs(theirs)))


def same_kind(_: Step, ours: Reply, theirs: Reply) -> bool:
    return kind_of(ours) == kind_of(theirs)


def same_time(unit_ms: int, named: bool) -> Callable[[Step, Reply, Reply], bool]:
    def compare(_: Step, ours: Reply, theirs: Reply) -> bool:
        if ours[0] != ":" or theirs[0] != ":":
            return False
        left, right = int(ours[1]) * unit_ms, int(theirs[1]) * unit_ms
        if left < 0 or right < 0 or named and (left in NAMED_MS or right in NAMED_MS):
            return False
        return abs(left - right) <= TOLERANCE_MS
    return compare


def sorted_loosely(step: Step, ours: Reply, theirs: Reply) -> bool:
    """SORT ALPHA: as text ends at a zero byte, and equal weights come in any order, only what is there counts; of a part, how much."""
    words = [word.upper() for word in step.words[2:]]
    if ours[0] != "*" or theirs[0] != "*" or len(items(ours)) != len(items(theirs)):
        return False
    plain = not any(b"\0" in (item[1] or b"") for item in items(ours) + items(theirs))
    if b"BY" not in words and b"GET" not in words and plain:
        return False
    return b"LIMIT" in words or bag(ours) == bag(theirs)


SIMPLE: Dict[str, Callable[[Step, Reply, Reply], bool]] = {
    "exact": exact, "now": exact, "bag": same_bag, "map": same_map, "kind": same_kind,
    "seconds": same_time(1000, False), "milliseconds": same_time(1, False), "at_seconds": same_time(1000, True),
    "at_milliseconds": same_time(1, True),
}


# --- rules that ask Redis more ---

def key_of(step: Step) -> bytes:
    return step.words[1] if len(step.words) > 1 else b""


def names(reply: Reply) -> Words:
    """The bytes of a reply: one, or all that stand in it at the top."""
    kind, content = reply
    if isinstance(content, bytes) and kind == "$":
        return [content]
    return [item[1] for item in items(reply) if isinstance(item[1], bytes)]


def first_names(reply: Reply) -> Words:
    return [name[1] for name, _ in pairs(reply) if isinstance(name[1], bytes)]


def has(step: Step, word: bytes) -> bool:
    return len(step.words) > 3 and step.words[3].upper() == word


def ask_with(command: bytes, with_word: bytes) -> Callable[[Step, Reply], List[Words]]:
    def ask(step: Step, ours: Reply) -> List[Words]:
        found = first_names(ours) if has(step, with_word) else names(ours)
        return [step.words, [command, key_of(step), *found]] if found else [step.words]
    return ask


def judge_draw(with_word: bytes) -> Callable[[Step, Reply, List[Reply]], Optional[str]]:
    """Random members: of the same form and number, all of them there, none twice if the count is not negative; with their values."""
    def judge(step: Step, ours: Reply, theirs: List[Reply]) -> Optional[str]:
        if kind_of(ours) != kind_of(theirs[0]):
            return differ(ours, theirs[0], "the form and number of what was drawn")
        if len(theirs) == 1:
            return None
        valued = has(step, with_word)
        found = first_names(ours) if valued else names(ours)
        there = items(theirs[1])
        if any(answer in ((":", b"0"), ("nil", None), ("_", None)) for answer in there):
            return differ(ours, theirs[1], "something was drawn that is not there")
        if valued and [value for _, value in pairs(ours)] != there:
            return differ(ours, theirs[1], "the values of what was drawn")
        if len(step.words) > 2 and not step.words[2].startswith(b"-") and len(set(found)) != len(found):
            return differ(ours, theirs[0], "something was drawn twice")
        return None
    return judge


def ask_spop(step: Step, ours: Reply) -> List[Words]:
    """The form is that of a copy's."""
    commands: List[Words] = [[b"COPY", key_of(step), TEMPORARY], [step.words[0], TEMPORARY, *step.words[2:]], [b"DEL", TEMPORARY]]
    return commands + ([[b"SREM", key_of(step), *names(ours)]] if names(ours) else [])


def judge_spop(_: Step, ours: Reply, theirs: List[Reply]) -> Optional[str]:
    if kind_of(ours) != kind_of(theirs[1]):
        return differ(ours, theirs[1], "the form and number of what was taken")
    if len(theirs) > 3 and theirs[3] != (":", b"%d" % len(names(ours))):
        return differ(ours, theirs[3], "how many of the members taken were there")
    return None


def ask_randomkey(step: Step, ours: Reply) -> List[Words]:
    return [step.words, *([[b"EXISTS", *names(ours)]] if names(ours) else [])]


def judge_randomkey(_: Step, ours: Reply, theirs: List[Reply]) -> Optional[str]:
    if kind_of(ours) != kind_of(theirs[0]) or len(theirs) > 1 and theirs[1] != (":", b"1"):
        return differ(ours, theirs[-1], "whether there is such a key")
    return None


def judge_dbsize(ours: Reply, theirs: List[Reply], expired: int) -> Optional[str]:
    """What has expired counts until it is removed, in both; but nothing that is there is left out."""
    there, counted = len(items(theirs[0])), int(theirs[1][1])
    if ours[0] != ":" or not there <= int(ours[1]) <= max(counted, there + expired):
        return differ(ours, theirs[1], f"{there} keys are there")
    return None


def ask_memory(step: Step, _: Reply) -> List[Words]:
    """MEMORY USAGE alone finds keys that have expired; EXISTS removes such a key."""
    return [[b"EXISTS", *step.words[2:3]], step.words]


def judge_memory(_: Step, ours: Reply, theirs: List[Reply]) -> Optional[str]:
    return None if kind_of(ours) == kind_of(theirs[1]) else differ(ours, theirs[1])


def ask_sort(step: Step, _: Reply) -> List[Words]:
    """Redis 7.0 looks at errno after strtod without having set it to 0: the first command does that, and nothing else."""
    return [[b"ZADD", TEMPORARY, b"XX", b"0", b"m"], [b"TYPE", key_of(step)], step.words]


def judge_sort(step: Step, ours: Reply, theirs: List[Reply]) -> Optional[str]:
    last = theirs[-1]
    if ours == last:
        return None
    if "-" in (ours[0], last[0]):
        return differ(ours, last)
    same = unsorted(step, ours, theirs) or step.rule == "sort_loose" and sorted_loosely(step, ours, last)
    return None if same else differ(ours, last)


def unsorted(step: Step, ours: Reply, theirs: List[Reply]) -> bool:
    """SORT BY a name that is no pattern leaves the order as it is, and a set has none."""
    last = theirs[-1]
    if not any(word.upper() == b"BY" and b"*" not in by for word, by in zip(step.words[2:], step.words[3:])):
        return False
    limited = any(word.upper() == b"LIMIT" for word in step.words[2:])
    return theirs[1] == ("+", b"set") and ours[0] == last[0] == "*" and len(items(ours)) == len(items(last)) and \
        (limited or bag(ours) == bag(last))


ASKING: Dict[str, Tuple[Callable[[Step, Reply], List[Words]], Callable[[Step, Reply, List[Reply]], Optional[str]]]] = {
    "srandmember": (ask_with(b"SMISMEMBER", b"-"), judge_draw(b"-")),
    "hrandfield": (ask_with(b"HMGET", b"WITHVALUES"), judge_draw(b"WITHVALUES")),
    "zrandmember": (ask_with(b"ZMSCORE", b"WITHSCORES"), judge_draw(b"WITHSCORES")),
    "spop": (ask_spop, judge_spop),
    "randomkey": (ask_randomkey, judge_randomkey),
    "memory": (ask_memory, judge_memory),
    "sort": (ask_sort, judge_sort), "sort_loose": (ask_sort, judge_sort),
}


def asks(step: Step) -> bool:
    return step.rule in ASKING or step.rule == "dbsize"


def asked(step: Step, ours: Reply) -> List[Words]:
    """What Redis is sent for a step that asks."""
    if ours[0] == "-" and not step.rule.startswith("sort"):
        return [step.words]
    return [[b"KEYS", b"*"], step.words] if step.rule == "dbsize" else ASKING[step.rule][0](step, ours)


def judged(step: Step, ours: Reply, theirs: List[Reply], expired: int) -> Optional[str]:
    """`expired`: so many keys may have expired and not been removed."""
    if ours[0] == "-" and not step.rule.startswith("sort"):
        return None if ours == theirs[0] else differ(ours, theirs[0])
    if len(theirs) == 1 and theirs[0][0] == "-":
        return differ(ours, theirs[0])
    if step.rule == "dbsize":
        return judge_dbsize(ours, theirs, expired)
    return ASKING[step.rule][1](step, ours, [without_minus_zero(step, reply) for reply in theirs])


def deliberate(step: Step, ours: Reply, theirs: Reply) -> bool:
    return step.name == "LPOS" and INT64_MIN in step.words or (ours, theirs) == LONG_WAIT


def compared(step: Step, ours: Reply, theirs: Reply) -> Optional[str]:
    """For a step with one reply of each."""
    if ours == theirs or deliberate(step, ours, theirs) or ours == without_minus_zero(step, theirs):
        return None
    if ours[0] == "-" or theirs[0] == "-" or not SIMPLE[step.rule](step, ours, theirs):
        return differ(ours, theirs)
    return None
