"""session.py - both sides together: runs steps on the library and on Redis, compares, and says where they part.

A run of simple steps goes to the library in one piece, and then to Redis in one piece. As replies end where they end, a reply that is byte
for byte what Redis's stream goes on with needs no closer look; the others are taken apart. Steps that need several turns (a cursor's walk,
DUMP and RESTORE, a sleep, a reopening) run by themselves. Standard library only.
"""
import time
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import compare
from generate import Step, Unit
from sides import Side
from wire import Lost, Reply, Server, Words, parse, parse_one, quote

BARRIERS = ("walk", "restore", "sleep", "reopen", "kill")
WALK_TURNS_MAX = 20000
CONTENT: Dict[bytes, Tuple[List[bytes], str]] = {
    b"string": ([b"GET"], "exact"),
    b"list": ([b"LRANGE", b"0", b"-1"], "exact"),
    b"hash": ([b"HGETALL"], "map"),
    b"set": ([b"SMEMBERS"], "bag"),
    b"zset": ([b"ZRANGE", b"0", b"-1", b"WITHSCORES"], "exact"),
}


def bag_of(step: Step, reply: Reply) -> object:
    """What a walk found, scores as numbers: in ZSCAN Redis prints them by how it stores the set, 1e17 also with all its zeros."""
    kind, content = reply
    if kind != "*" or step.name != "ZSCAN":
        return reply
    return {(name, score[0], float(score[1])) for _, (name, score) in content}


class Mismatch(NamedTuple):
    step: Step
    text: str
    index: int  # of the step among those that ran; -1: found by looking at all keys


def paste(step: Step) -> str:
    """The step as redis-cli takes it; what is no command, as a remark."""
    if step.rule in ("sleep", "reopen", "kill", "lost"):
        return f"# {step.rule} {b' '.join(step.words).decode()}".rstrip()
    text = " ".join(quote(word) for word in step.words)
    if step.rule == "restore":
        text += "   # @payload:KEY: what DUMP KEY gives; @corrupt:KEY: the same with a byte changed"
    elif step.rule == "now":
        text += "   # @now:N: this moment in milliseconds, plus N"
    return text


class Session:
    def __init__(self, server: Server, side: Side) -> None:
        self.server, self.side = server, side
        self.expired = 0
        self.counts: Dict[Tuple[str, str], List[int]] = {}
        self.commands = 0
        self.fine = 0

    # --- the sides ---
    def flush(self) -> None:
        self.expired = 0
        self.server.replies([[b"FLUSHALL"]])
        self.ours([b"FLUSHALL"])

    def ours(self, words: Words, protocol: int = 2, where: int = 0) -> bytes:
        return self.side.run([words], protocol, [where])[0]

    def count(self, step: Step, fine: bool) -> None:
        self.commands += 1
        self.fine += fine
        for option in ("", *step.options):
            row = self.counts.setdefault((step.name, option), [0, 0])
            row[0] += 1
            row[1] += fine

    # --- runs ---
    def run(self, units: Sequence[Unit], protocol: int) -> Optional[Mismatch]:
        steps = [step for unit in units for step in unit]
        begin = 0
        while begin < len(steps):
            if steps[begin].rule in BARRIERS:
                text = self.alone(steps[begin], protocol)
                if text is not None:
                    return Mismatch(steps[begin], text, begin)
                begin += 1
                continue
            end = begin + 1
            while end < len(steps) and steps[end].rule not in BARRIERS:
                end += 1
            found = self.together(steps[begin:end], protocol)
            if found is not None:
                return found._replace(index=found.index + begin)
            begin = end
        return None

    def together(self, steps: List[Step], protocol: int) -> Optional[Mismatch]:
        sent = [step.words if step.rule != "now" else self.timed(step.words) for step in steps]
        raws = self.side.run(sent, protocol, [step.where for step in steps])
        commands: List[Words] = []
        turns: List[int] = []
        for step, words, raw in zip(steps, sent, raws):
            asked = compare.asked(step, parse_one(raw)) if compare.asks(step) else [words]
            commands += asked
            turns.append(len(asked))
        stream = self.server.stream(commands, protocol)
        at = 0
        for i, (step, raw, turn) in enumerate(zip(steps, raws, turns)):
            if not compare.asks(step):
                if stream.startswith(raw, at):
                    at += len(raw)
                    text = None
                else:
                    theirs, at = parse(stream, at)
                    text = compare.compared(step, parse_one(raw), theirs)
            else:
                replies = []
                for _ in range(turn):
                    reply, at = parse(stream, at)
                    replies.append(reply)
                text = compare.judged(step, parse_one(raw), replies, self.expired)
            if text is not None:
                return Mismatch(step, text, i)
            self.count(step, raw[:1] != b"-")
        return None

    @staticmethod
    def timed(words: Words) -> Words:
        now = int(time.time() * 1000)
        return [b"%d" % (now + int(word[5:])) if word.startswith(b"@now:") else word for word in words]

    # --- steps of several turns ---
    def alone(self, step: Step, protocol: int) -> Optional[str]:
        if step.rule == "sleep":
            self.expired += 20
            time.sleep(int(step.words[0]) / 1000)
            return None
        if step.rule in ("reopen", "kill"):
            self.side.reopen(step.rule == "kill")
            return None
        ours, theirs = (self.walk if step.rule == "walk" else self.restore)(step, protocol)
        self.count(step, ours[0] != "-")
        if step.rule == "restore":
            return compare.compared(Step(step.name, step.words, "exact"), ours, theirs)
        same = ours == theirs or bag_of(step, ours) == bag_of(step, theirs)
        return None if same else compare.differ(ours, theirs, "all that a walk found")

    def walk(self, step: Step, protocol: int) -> Tuple[Reply, Reply]:
        def with_ours(words: Words) -> Reply:
            return parse_one(self.ours(words, protocol, step.where))

        def with_redis(words: Words) -> Reply:
            return self.server.replies([words], protocol)[0]
        return self.walked(step, with_ours), self.walked(step, with_redis)

    @staticmethod
    def walked(step: Step, run: Callable[[Words], Reply]) -> Reply:
        """What all turns gave together, in order, each once; or the first error."""
        words = list(step.words)
        place = 1 if step.name == "SCAN" else 2
        paired = step.name in ("HSCAN", "ZSCAN")
        found = set()
        for _ in range(WALK_TURNS_MAX):
            reply = run(words)
            kind, content = reply
            if kind != "*" or len(content) != 2 or content[0][0] != "$" or content[1][0] != "*":
                return reply
            rows = content[1][1]
            found.update((("pair", pair) for pair in zip(rows[::2], rows[1::2])) if paired else rows)
            if len(words) <= place or content[0][1] == b"0":
                return ("*", sorted(found))
            words[place] = content[0][1]
        return ("garbage", b"no end after %d turns" % WALK_TURNS_MAX)

    def restore(self, step: Step, protocol: int) -> Tuple[Reply, Reply]:
        corrupt, key = step.words[3].startswith(b"@corrupt:"), step.words[3].split(b":", 1)[1]
        replies = []
        for run in (lambda words: parse_one(self.ours(words, 2, step.where)), lambda words: self.server.replies([words])[0]):
            payload = run([b"DUMP", key])[1] or b""
            if corrupt and payload:
                place = len(payload) // 2
                payload = payload[:place] + bytes([payload[place] ^ 0x40]) + payload[place + 1:]
            replies.append(run([*step.words[:3], payload, *step.words[4:]]))
        return replies[0], replies[1]

    # --- all keys ---
    def look_at_all(self, protocol: int, where: int = 0) -> Optional[Mismatch]:
        """Compares what both sides hold: names, types, contents, expiries."""
        listing = Step("KEYS", [b"KEYS", b"*"], "bag", (), where)
        kind, found = self.server.replies([listing.words], 2)[0]
        assert isinstance(found, list), kind
        keys = sorted(name[1] for name in found)
        types = self.server.replies([[b"TYPE", key] for key in keys], 2)
        steps = [listing]
        for key, (_, type_name) in zip(keys, types):
            if type_name in CONTENT:
                words, rule = CONTENT[type_name]
                steps += [Step("TYPE", [b"TYPE", key], "exact", (), where),
                          Step(words[0].decode(), [words[0], key, *words[1:]], rule, (), where),
                          Step("PEXPIRETIME", [b"PEXPIRETIME", key], "at_milliseconds", (), where)]
        counts, commands, fine = self.counts, self.commands, self.fine
        self.counts = {}
        mismatch = self.together(steps, protocol)
        self.counts, self.commands, self.fine = counts, commands, fine
        return mismatch and mismatch._replace(index=-1, text=mismatch.text + "\n    (found by looking at all keys)")


def run_all(session: Session, units: Sequence[Unit], protocol: int) -> Optional[Mismatch]:
    """A whole sequence from empty sides, in blocks of one unit, for the shrinker."""
    session.flush()
    try:
        return session.run(units, protocol) or session.look_at_all(protocol)
    except Lost as lost:
        return Mismatch(Step("(lost)", [b""], "lost"), str(lost), -2)
