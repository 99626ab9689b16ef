"""Debian's python3-redis against the server: its own features, and those commands that hold a connection."""
import threading
import time
import unittest

import redis

from support import PATIENCE, ServerTest, encode, until


class Client(ServerTest):
    def setUp(self):
        super().setUp()
        self.clients = []
        self.db = self.client()

    def tearDown(self):
        for client in self.clients:
            client.close()
            client.connection_pool.disconnect()
        super().tearDown()

    def client(self, **options):
        client = redis.Redis(unix_socket_path=self.server.path, **options)
        self.clients.append(client)
        return client

    def in_thread(self, function):
        """Starts it; the result is a function that waits for what it returned."""
        results = []

        def run():
            try:
                results.append(function())
            except Exception as error:  # pylint: disable=broad-except
                results.append(error)
        thread = threading.Thread(target=run)
        thread.start()

        def result():
            thread.join(PATIENCE)
            self.assertFalse(thread.is_alive())
            return results[0]
        return result

    def blocked(self, count):
        until(lambda: self.db.info("clients")["blocked_clients"] == count, f"there are not {count} blocked clients")

    def test_types(self):
        db = self.client(decode_responses=True)
        self.assertTrue(db.set("s", "ä", px=100000, nx=True))
        self.assertEqual((db.get("s"), db.strlen("s"), db.set("s", "x", nx=True)), ("ä", 2, None))
        self.assertEqual((db.incrbyfloat("f", 1.5), db.mget("s", "none"), db.getex("s", persist=True)), (1.5, ["ä", None], "ä"))
        self.assertEqual((db.hset("h", mapping={"a": 1, "b": 2}), db.hgetall("h"), db.hincrby("h", "a", 5)), (2, {"a": "1", "b": "2"}, 6))
        self.assertEqual((db.rpush("l", *range(5)), db.lrange("l", 1, 2), db.lpos("l", 3), db.lmove("l", "m")), (5, ["1", "2"], 3, "0"))
        self.assertEqual((db.sadd("t", 1, 2, 3), db.smembers("t"), db.smismember("t", ["1", "9"])), (3, {"1", "2", "3"}, [1, 0]))
        self.assertEqual((db.zadd("z", {"a": 1, "b": 2.5}), db.zrange("z", 0, -1, withscores=True)), (2, [("a", 1.0), ("b", 2.5)]))
        self.assertEqual((db.zrank("z", "b"), db.zpopmax("z"), db.zscore("z", "none")), (1, [("b", 2.5)], None))
        self.assertEqual((db.type("z"), db.object("encoding", "none"), db.expire("z", 100), db.ttl("z")), ("zset", None, True, 100))
        self.assertGreater(db.memory_usage("h"), 0)
        with self.assertRaisesRegex(redis.ResponseError, "WRONGTYPE Operation against a key holding the wrong kind of value"):
            db.lpush("s", 1)
        with self.assertRaisesRegex(redis.ResponseError, "value is not an integer or out of range"):
            db.incr("s")

    def test_scans(self):
        for i in range(3000):
            self.db.set(f"scan:{'x' * 40}:{i}", i)
        names = list(self.db.scan_iter(match="scan:*", count=100))
        self.assertEqual((len(names), len(set(names))), (3000, 3000))
        for name, fill, scan in (("h", lambda n: self.db.hset("h", mapping=n), self.db.hscan_iter),
                                 ("z", lambda n: self.db.zadd("z", n), self.db.zscan_iter),
                                 ("s", lambda n: self.db.sadd("s", *n), self.db.sscan_iter)):
            fill({f"member:{'y' * 40}:{i}": i for i in range(3000)})
            self.assertEqual(len({row if name == "s" else row[0] for row in scan(name, count=50)}), 3000)
        with self.assertRaisesRegex(redis.ResponseError, "invalid cursor"):
            self.db.scan(cursor=(1 << 62) + 12345)
        first, _ = self.db.hscan("h", count=10)
        self.assertLess(first, 1 << 63)
        for _ in range(3):  # a cursor may be used again
            self.assertNotEqual(self.db.hscan("h", cursor=first, count=10)[1], {})

    def test_pipelines(self):
        with self.db.pipeline() as pipe:
            for i in range(1000):
                pipe.incr("n")
            self.assertEqual(pipe.execute(), list(range(1, 1001)))
        with self.db.pipeline(transaction=False) as pipe:
            pipe.set("a", "x").incr("a").get("a")
            results = pipe.execute(raise_on_error=False)
        self.assertEqual((results[0], results[2]), (True, b"x"))
        self.assertIsInstance(results[1], redis.ResponseError)
        with self.db.pipeline() as pipe:
            pipe.lpush("l", 1).incr("l").lpush("l", 2)
            results = pipe.execute(raise_on_error=False)
        self.assertEqual((results[0], results[2], self.db.llen("l")), (1, 2, 2))

    def test_watch(self):
        self.db.set("w", 1)
        with self.db.pipeline() as pipe:
            pipe.watch("w", "v")
            pipe.multi()
            pipe.incr("w")
            self.assertEqual(pipe.execute(), [2])
            for names in (["w"], ["v", "w"], ["w", "u"]):
                for name in names:
                    pipe.watch(name)
                self.db.set("w", 5)
                pipe.multi()
                pipe.set("w", 6)
                self.assertRaises(redis.WatchError, pipe.execute)
            pipe.watch("w")
            self.db.set("w", 7)
            pipe.unwatch()
            pipe.multi()
            pipe.incr("w")
            self.assertEqual(pipe.execute(), [8])

    def test_watch_counts(self):
        """Eight threads add by WATCH, GET, SET: none is lost."""
        def add():
            client = self.client()
            for _ in range(50):
                client.transaction(lambda pipe: (value := int(pipe.get("sum") or 0), pipe.multi(), pipe.set("sum", value + 1)), "sum")
        for result in [self.in_thread(add) for _ in range(8)]:
            self.assertIsNone(result())
        self.assertEqual(self.db.get("sum"), b"400")

    def test_lock(self):
        # redis-py lets a lock go by a script, which is not served, and says so; by WATCH and DEL it works as well
        self.assertTrue(self.db.lock("lock", timeout=60).acquire(blocking=False))
        other = self.client().lock("lock", timeout=60, thread_local=False)
        self.assertFalse(other.acquire(blocking=False))
        waiting = self.in_thread(lambda: other.acquire(blocking=True, blocking_timeout=PATIENCE))
        self.assertEqual(self.db.transaction(lambda pipe: (pipe.get("lock"), pipe.multi(), pipe.delete("lock")), "lock"), [1])
        self.assertTrue(waiting())
        with self.assertRaisesRegex(redis.ResponseError, "unknown command"):
            other.release()

    def test_no_publishing(self):
        with self.assertRaisesRegex(redis.ResponseError, "unknown command 'PUBLISH'"):
            self.db.publish("channel", "x")
        listener = self.db.pubsub()
        listener.subscribe("channel")
        with self.assertRaisesRegex(redis.ResponseError, "unknown command 'SUBSCRIBE'"):
            listener.get_message(timeout=PATIENCE)
        listener.close()

    def test_blocking_pops(self):
        waiting = []
        for number, ask in enumerate((lambda c: c.blpop(["q", "r"], 0), lambda c: c.brpop("q", PATIENCE), lambda c: c.blmove("q", "d", 0),
                                      lambda c: c.bzpopmin("zq", 0), lambda c: c.brpoplpush("q", "d", 0))):
            client = self.client()
            waiting.append(self.in_thread(lambda client=client, ask=ask: ask(client)))
            self.blocked(number + 1)
        self.db.zadd("zq", {"m": 3})
        self.assertEqual(waiting[3](), (b"zq", b"m", 3.0))
        self.db.rpush("q", "1", "2", "3", "4", "5")
        self.assertEqual([waiting[i]() for i in (0, 1, 2, 4)], [(b"q", b"1"), (b"q", b"5"), b"2", b"4"])
        self.assertEqual((self.db.lrange("q", 0, -1), self.db.lrange("d", 0, -1)), ([b"3"], [b"4", b"2"]))

    def test_first_come_first_served(self):
        waiting = []
        for number in range(20):
            waiting.append(self.server.connect())
            waiting[-1].send(encode("BLPOP", "fifo", "0"))
            self.blocked(number + 1)
        for number in range(20):
            self.db.rpush("fifo", number)
        self.assertEqual([client.reply() for client in waiting], [[b"fifo", str(number).encode()] for number in range(20)])
        self.assertEqual(self.db.exists("fifo"), 0)

    def test_waiting_chain(self):
        waiting = self.server.connect(), self.server.connect()
        waiting[0].send(encode("BLPOP", "second", "0"))
        self.blocked(1)
        waiting[1].send(encode("BLMOVE", "first", "second", "LEFT", "LEFT", "0") + encode("PING"))
        self.blocked(2)
        self.db.rpush("first", "x")
        self.assertEqual((waiting[0].reply(), waiting[1].reply(), waiting[1].reply()), ([b"second", b"x"], b"x", "PONG"))

    def test_waits_end(self):
        begun = time.monotonic()
        self.assertIsNone(self.db.blpop("none", 0.3))
        self.assertGreaterEqual(time.monotonic() - begun, 0.3)
        for reason, check in ((None, self.assertIsNone),
                              ("ERROR", lambda said: self.assertRegex(str(said), "UNBLOCKED client unblocked via"))):
            client = self.client(single_connection_client=True)
            number = client.client_id()
            waiting = self.in_thread(lambda client=client: client.blpop("none", 0))
            self.blocked(1)
            self.assertEqual(self.db.client_unblock(number, error=reason == "ERROR"), 1)
            check(waiting())
            self.assertEqual(self.db.client_unblock(number), 0)
        self.db.set("none", 1)
        with self.assertRaisesRegex(redis.ResponseError, "WRONGTYPE"):
            self.db.blpop("none", 1)

    def test_vanished_while_waiting(self):
        for _ in range(20):
            waiting = self.server.connect()
            waiting.send(encode("BLPOP", "kept", "0"))
            self.blocked(1)
            waiting.close()
            self.db.rpush("kept", "x")
            self.assertEqual(self.db.lpop("kept"), b"x")
            self.blocked(0)

    def test_in_transactions_nothing_waits(self):
        with self.db.pipeline() as pipe:
            pipe.blpop("none", 0)
            pipe.brpop("none", 0)
            self.assertEqual(pipe.execute(), [None, None])

    def test_clients(self):
        one = self.client(single_connection_client=True, client_name="one")
        self.assertEqual(one.client_getname(), "one")
        self.assertIn("one", [row["name"] for row in self.db.client_list()])
        self.assertEqual(int(one.client_info()["id"]), one.client_id())
        raw = self.server.connect()
        number = raw.ask("CLIENT", "ID")
        self.assertEqual(self.db.client_kill_filter(_id=number), 1)
        self.assertTrue(raw.is_closed())
        self.assertEqual(self.db.client_kill_filter(_id=number), 0)
        raw = self.server.connect()
        self.assertEqual((raw.ask("CLIENT", "REPLY", "ON"), raw.ask("PING")), ("OK", "PONG"))
        raw.send(encode("CLIENT", "REPLY", "OFF") + encode("PING") + encode("CLIENT", "REPLY", "ON"))
        self.assertEqual(raw.reply(), "OK")
        raw.send(encode("CLIENT", "REPLY", "SKIP") + encode("PING") + encode("ECHO", "x"))
        self.assertEqual(raw.reply(), b"x")

    def test_pause(self):
        other = self.server.connect()
        begun = time.monotonic()
        self.db.client_pause(300, all=False)
        self.assertEqual(other.ask("PING"), "PONG")
        self.assertEqual(other.ask("SET", "a", "1"), "OK")
        self.assertGreaterEqual(time.monotonic() - begun, 0.3)
        self.db.client_pause(1000000)
        other.send(encode("PING"))
        self.db.execute_command("CLIENT", "UNPAUSE")
        self.assertEqual(other.reply(), "PONG")

    def test_settings(self):
        self.assertEqual(self.db.config_get("save"), {"save": ""})
        self.assertTrue(self.db.config_set("timeout", 100))
        self.assertEqual(self.db.config_get("timeout", "maxcl*"), {"timeout": "100", "maxclients": "10000"})
        self.assertTrue(self.db.config_set("proto-max-bulk-len", "2mb"))
        raw = self.server.connect()
        raw.send(b"*1\r\n$2097153\r\n")
        self.assertEqual(raw.reply(), "-ERR Protocol error: invalid bulk length")
        info = self.db.info()
        self.assertEqual((info["redis_version"], info["role"], info["maxmemory"]), ("7.0.15", "master", 0))
        self.assertIn("ring_bytes", self.db.info("mlkv"))
        self.assertEqual(self.db.command_count(), len(self.db.command()))
        self.assertEqual(self.db.command_getkeys("ZUNIONSTORE", "d", 2, "a", "b"), ["d", "a", "b"])


if __name__ == "__main__":
    unittest.main()
