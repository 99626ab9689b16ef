"""The server and other processes on one folder: what one does the other sees, waits for, and is warned of.

And the server's sudden death: what it had answered is there, in every other process.
"""
import random
import threading
import time
import unittest

from support import PATIENCE, Other, ServerTest, encode, until


class Shared(ServerTest):
    def setUp(self):
        super().setUp()
        self.client = self.server.connect()
        self.other = Other(self.server.store)

    def tearDown(self):
        self.other.close()
        super().tearDown()

    def waiting(self):
        return int(self.client.ask("INFO", "clients").split(b"blocked_clients:")[1].split()[0])

    def test_seen_at_once(self):
        for i in range(500):
            self.assertEqual(self.client.ask("SET", "a", i), "OK")
            self.assertEqual(self.other.ask("GET", "a"), b"$%d\r\n%d\r\n" % (len(str(i)), i))
            self.assertEqual(self.other.ask("RPUSH", "l", i), b":%d\r\n" % (i + 1))
            self.assertEqual(self.client.ask("LINDEX", "l", "-1"), str(i).encode())

    def test_waits_for_another_process(self):
        for i in range(50):
            waits = self.server.connect()
            waits.send(encode("BLPOP", "queue", "0"))
            until(lambda: self.waiting() == 1, "nobody waits")
            if i % 10 == 0:
                time.sleep(1.2)  # longer than the helper's slice
            self.other.ask("RPUSH", "queue", f"item {i}")
            self.assertEqual(waits.reply(), [b"queue", b"item %d" % i])
        waits = self.server.connect()
        waits.send(encode("BZPOPMIN", "zset", "0"))
        until(lambda: self.waiting() == 1, "nobody waits")
        self.other.ask("ZADD", "zset", "1", "m")
        self.assertEqual(waits.reply(), [b"zset", b"m", b"1"])
        self.assertEqual(self.other.ask("DBSIZE"), b":0\r\n")

    def test_workers(self):
        """Elements pushed by another process to eight waiting clients: none lost, none doubled, also when clients vanish."""
        total, got = 400, []
        lock = threading.Lock()

        def work(number):
            client = self.server.connect()
            rand = random.Random(number)
            while True:
                client.send(encode("BLPOP", "jobs", "0"))
                reply = client.reply()
                if reply[1] == b"end":
                    return
                with lock:
                    got.append(int(reply[1]))
                if rand.random() < 0.1:
                    client.close()
                    client = self.server.connect()
        threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for i in range(total):
            self.other.ask("RPUSH", "jobs", i)
        for _ in threads:
            self.other.ask("RPUSH", "jobs", "end")
        for thread in threads:
            thread.join(PATIENCE)
        self.assertEqual(sorted(got), list(range(total)))

    def test_watch_is_broken_by_another_process(self):
        for broken in (True, False):
            self.client.ask("SET", "w", "1")
            self.client.ask("WATCH", "w", "v")
            self.other.ask("SET", "w" if broken else "unrelated", "2")
            self.client.ask("MULTI")
            self.client.ask("SET", "w", "3")
            self.assertEqual(self.client.ask("EXEC"), None if broken else ["OK"])
            self.assertEqual(self.other.ask("GET", "w"), b"$1\r\n2\r\n" if broken else b"$1\r\n3\r\n")

    def test_transactions_are_whole(self):
        stop = threading.Event()
        self.client.ask("MSET", "left", 0, "right", 0)

        def write():
            client = self.server.connect()
            while not stop.is_set():
                client.send(encode("MULTI") + encode("INCR", "left") + encode("INCR", "right") + encode("EXEC"))
                for _ in range(4):
                    client.reply()
        thread = threading.Thread(target=write)
        thread.start()
        try:
            for _ in range(300):
                left, right = self.other.ask("MGET", "left", "right").split(b"\r\n")[2::2][:2]
                self.assertEqual(left, right)
        finally:
            stop.set()
            thread.join(PATIENCE)

    def killed(self, *options):
        self.server.stop()
        self.server.options = options
        for round_number in range(3):
            self.server.start()
            acknowledged = [0] * 4

            def write(number):
                client = self.server.connect()
                try:
                    for value in range(1, 1000000):
                        client.ask("MSET", f"a{number}", value, f"b{number}", value)
                        acknowledged[number] = value
                except (EOFError, OSError):
                    pass
            threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
            for thread in threads:
                thread.start()
            until(lambda: min(acknowledged) > 20 * (round_number + 1), "no writes")
            self.server.process.kill()
            self.server.process.wait(PATIENCE)
            for thread in threads:
                thread.join(PATIENCE)
            self.server.stop()
            for number, value in enumerate(acknowledged):
                reply = self.other.ask("MGET", f"a{number}", f"b{number}").split(b"\r\n")
                self.assertEqual(reply[2], reply[4])
                self.assertIn(int(reply[2]), (value, value + 1))
        self.server.start()
        self.client = self.server.connect()

    def test_killed_server_loses_nothing(self):
        self.killed()

    def test_killed_server_that_syncs_loses_nothing(self):
        self.killed("--durability", "sync")

    def test_levels_of_durability(self):
        for level in ("sync", "store"):
            self.server.stop()
            self.server.options = ("--durability", level)
            self.server.start()
            client = self.server.connect()
            client.send(encode("INCR", "n") * 1000 + encode("CONFIG", "GET", "appendfsync"))
            for _ in range(1000):
                client.reply()
            self.assertEqual(client.reply(), [b"appendfsync", b"always"])
            client.send(encode("BLPOP", "q", "0"))
            self.other.ask("RPUSH", "q", "x")
            self.assertEqual(client.reply(), [b"q", b"x"])


if __name__ == "__main__":
    unittest.main()
