"""What no client should send, and what happens to clients: garbage, huge lengths, slow, vanishing and deaf ones. The server lives, answers
others meanwhile, and its memory stays bounded. MLKV_SERVER_SEED repeats a run of the random ones.
"""
import os
import random
import socket
import time
import unittest

from support import SLOW, ServerTest, encode, until

MEBIBYTE = 1 << 20


class Garbage(ServerTest):
    OPTIONS = ("--clients-bytes", "64mb", "--output-bytes", "32mb", "--max-clients", "3000")

    def setUp(self):
        super().setUp()
        seed = int(os.environ.get("MLKV_SERVER_SEED", random.SystemRandom().randrange(1 << 32)))
        print(f"seed {seed}", flush=True)
        self.random = random.Random(seed)
        self.steady = self.server.connect()
        self.steady.ask("SET", "steady", "x" * 1000)
        self.private = self.server.private()

    def tearDown(self):
        self.alive()
        super().tearDown()

    def alive(self):
        self.assertEqual(self.steady.ask("GET", "steady"), b"x" * 1000)

    def memory_is_bounded(self, limit=192 * MEBIBYTE):
        if not SLOW:
            self.assertLess(self.server.private() - self.private, limit)

    def test_errors_of_the_protocol(self):
        for sent, error in [(b"*1\r\n$-1\r\n", "invalid bulk length"), (b"*x\r\n", "invalid multibulk length"),
                            (b"*1048577\r\n", "invalid multibulk length"), (b"*99999999999999999999\r\n", "invalid multibulk length"),
                            (b"*01\r\n", "invalid multibulk length"), (b"*+1\r\n", "invalid multibulk length"),
                            (b"*\r\n", "invalid multibulk length"),
                            (b"*1\r\n+PING\r\n", "expected '$', got '+'"), (b"*1\r\n\r\n", "expected '$', got ' '"),
                            (b"*1\r\n$536870913\r\n", "invalid bulk length"), (b"*1\r\n$4x\r\n", "invalid bulk length"),
                            (b"*1\r\n$" + b"1" * 65537, "too big bulk count string"), (b"*" + b"1" * 65537, "too big mbulk count string"),
                            (b"a" * 65537, "too big inline request"), (b"GET 'a\r\n", "unbalanced quotes in request"),
                            (b'GET "a"b\r\n', "unbalanced quotes in request")]:
            with self.subTest(sent=sent[:20]):
                client = self.server.connect()
                client.send(sent)
                self.assertEqual(client.reply(), "-ERR Protocol error: " + error)
                self.assertTrue(client.is_closed())

    def test_lines(self):
        client = self.server.connect()
        for sent, reply in [(b"PING\r\n", "PONG"), (b"\r\n\n  \r\nPING\n", "PONG"), (b'  ECHO "\\x41 b\\n"\r\n', b"A b\n"),
                            (b"ECHO 'it\\'s'\r\n", b"it's"),
                            (b'ECHO ""\r\n', b""), (b"*0\r\n*-5\r\nPING\r\n", "PONG"), (b"ECHO a\0b\r\n", b"a"),
                            (b'ECHO a"b c"\r\n', b"ab c")]:
            client.send(sent)
            self.assertEqual(client.reply(), reply)

    def test_byte_by_byte(self):
        client = self.server.connect()
        for byte in encode("SET", "k", "v\r\n$*") + b"GET k\r\n":
            client.send(bytes([byte]))
        self.assertEqual((client.reply(), client.reply()), ("OK", b"v\r\n$*"))

    def test_any_cut(self):
        whole = encode("ECHO", "a" * 10) + b"ECHO b\r\n" + encode("ECHO", "")
        for cut in range(1, len(whole)):
            client = self.server.connect()
            client.send(whole[:cut])
            self.alive()
            client.send(whole[cut:])
            self.assertEqual([client.reply() for _ in range(3)], [b"a" * 10, b"b", b""])
            client.close()

    def mutation(self):
        """Some requests, damaged in some places. ID is none of the words: CLIENT KILL ID 1 would end the steady client."""
        words = [b"SET", b"GET", b"k", b"1", b"LPUSH", b"MULTI", b"EXEC", b"WATCH", b"CLIENT", b"REPLY", b"SCAN", b"0", b"BLPOP", b"0.001",
                 b"HELLO",
                 b"3", b"CONFIG", b"*", b"COMMAND", b"INFO", b"EVAL", b"", b"\xff\x00", b"OBJECT", b"ZADD", b"SORT", b"LIST",
                 b"KILL", b"GETKEYS"]
        requests = (encode(*self.random.choices(words, k=self.random.randrange(1, 7))) for _ in range(self.random.randrange(1, 20)))
        data = bytearray(b"".join(requests))
        for _ in range(self.random.randrange(4)):
            place = self.random.randrange(len(data))
            how = self.random.randrange(4)
            if how == 0:
                data[place] = self.random.randrange(256)
            elif how == 1:
                del data[place:place + self.random.randrange(1, 8)]
            elif how == 2:
                data[place:place] = self.random.randbytes(self.random.randrange(1, 8))
            else:
                data[place:place] = b"%d" % self.random.choice([-1, 0, 10, 99999, 1 << 31, 1 << 63, 1 << 64])
            data = data or bytearray(b"x")
        return bytes(data)

    def test_random_bytes(self):
        end = time.monotonic() + float(os.environ.get("MLKV_SERVER_SECONDS", "2"))
        while time.monotonic() < end:
            client = self.server.connect()
            data = self.mutation() if self.random.random() < 0.8 else self.random.randbytes(self.random.randrange(1, 3000))
            try:
                client.send(data)
                if self.random.random() < 0.5:
                    client.socket.shutdown(socket.SHUT_WR)
                    client.is_closed()
            except ConnectionError:
                pass
            client.close()
            self.server.connections.remove(client)
            self.alive()
        self.memory_is_bounded()

    def test_declared_is_not_allocated(self):
        """Lengths that never come cost nothing."""
        for i in range(300):
            client = self.server.connect()
            client.send(b"*1048576\r\n$536870912\r\n" if i % 2 else b"*2\r\n$3\r\nGET\r\n$500000000\r\nabc")
        self.alive()
        self.memory_is_bounded(32 * MEBIBYTE)

    def test_too_much_is_dropped(self):
        """A request beyond the memory of all clients; others are served meanwhile."""
        client = self.server.connect()
        piece = b"x" * MEBIBYTE
        with self.assertRaises(ConnectionError):
            client.send(b"*2\r\n$3\r\nGET\r\n$500000000\r\n")
            for _ in range(200):
                client.send(piece)
        self.alive()
        self.memory_is_bounded()
        queue = self.server.connect()  # the same by MULTI
        queue.send(encode("MULTI"))
        with self.assertRaises(ConnectionError):
            for _ in range(200):
                queue.send(encode("ECHO", piece))
                queue.socket.setblocking(False)
                try:
                    queue.more()
                except BlockingIOError:
                    pass
                except EOFError:
                    raise ConnectionError from None
                queue.socket.setblocking(True)
        self.alive()
        self.memory_is_bounded()

    def test_large_words(self):
        client = self.server.connect()
        value = self.random.randbytes(9 * MEBIBYTE)
        self.assertEqual(client.ask("SET", "large", value), "OK")
        self.assertEqual(client.ask("GET", "large"), value)
        many = [str(i) for i in range(200000)]
        self.assertEqual(client.ask("RPUSH", "many", *many), len(many))
        self.assertEqual(client.ask("LLEN", "many"), len(many))
        until(lambda: SLOW or self.server.private() - self.private < 160 * MEBIBYTE, "memory is not given back")

    def test_slow_clients(self):
        slow = [self.server.connect() for _ in range(200)]
        for byte in encode("PING"):
            for client in slow:
                client.send(bytes([byte]))
            self.alive()
        self.assertEqual({client.reply() for client in slow}, {"PONG"})

    def test_long_pipeline(self):
        """100,000 commands at once; somebody else is served in between."""
        client = self.server.connect()
        data = b"".join(encode("INCR", "n") for _ in range(100000))
        client.socket.setblocking(False)
        sent = received = asked = 0
        while received < 100000:
            try:
                sent += client.socket.send(data[sent:sent + 262144]) if sent < len(data) else 0
            except BlockingIOError:
                pass
            try:
                client.more()
                received += client.left.count(b"\n")
                client.left = b""
            except BlockingIOError:
                self.alive()
                asked += 1
        self.assertEqual((self.steady.ask("GET", "n"), received), (b"100000", 100000))
        self.memory_is_bounded()

    def test_deaf_clients(self):
        """Those who ask and never read are not served for ever, and hold little memory."""
        self.steady.ask("SET", "big", b"y" * 100000)
        for _ in range(20):
            client = self.server.connect(4096)
            client.socket.setblocking(False)
            data = encode("GET", "big") * 2000
            try:
                for _ in range(50):
                    client.socket.send(data)
                    self.alive()
            except BlockingIOError:
                pass
        self.alive()
        self.memory_is_bounded(128 * MEBIBYTE)

    def test_reply_beyond_the_limit(self):
        client = self.server.connect(4096)
        self.steady.ask("SET", "big", b"y" * MEBIBYTE)
        client.send(encode("MGET", *["big"] * 40))
        self.assertTrue(client.is_closed())
        client = self.server.connect()
        client.send(encode("MULTI") + encode("SET", "done", "1") + encode("GET", "big") * 100 + encode("INCR", "done") + encode("EXEC"))
        self.assertTrue(client.is_closed())
        self.assertEqual(self.steady.ask("GET", "done"), b"2")
        self.memory_is_bounded()

    def test_thousands_that_vanish(self):
        for number in range(4000):
            client = self.server.connect()
            try:
                client.send([b"", b"*3\r\n$3\r\nSE", encode("GET", "steady"), encode("BLPOP", "none", "0"),
                             encode("MULTI") + encode("GET", "steady"),
                             encode("WATCH", "steady"), b"\xff" * 100][number % 7])
            except ConnectionError:
                pass
            client.close()
            self.server.connections.remove(client)
        until(lambda: self.steady.ask("CLIENT", "LIST").count(b"\n") == 1, "connections stay")
        self.memory_is_bounded(64 * MEBIBYTE)

    def test_too_many_connections(self):
        if self.steady.ask("CONFIG", "SET", "maxclients", "50") != "OK":
            self.fail("maxclients is not to be set")
        kept = [self.server.connect() for _ in range(49)]
        self.assertEqual({client.ask("PING") for client in kept}, {"PONG"})
        refused = self.server.connect()
        self.assertEqual(refused.reply(), "-ERR max number of clients reached")
        self.assertTrue(refused.is_closed())

    def test_half_closed(self):
        client = self.server.connect()
        client.send(encode("INCR", "half") * 5000)
        client.socket.shutdown(socket.SHUT_WR)
        self.assertEqual([client.reply() for _ in range(5000)], list(range(1, 5001)))
        self.assertTrue(client.is_closed())

    def test_browsers(self):
        client = self.server.connect()
        client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nSET browser 1\r\n")
        self.assertTrue(client.is_closed())
        self.assertEqual(self.steady.ask("EXISTS", "browser"), 0)

    def test_idle_clients_are_closed_when_asked_for(self):
        client = self.server.connect()
        self.assertEqual(client.ask("CONFIG", "SET", "timeout", "1"), "OK")
        self.assertTrue(client.is_closed())
        self.steady = self.server.connect()
        self.assertEqual(self.steady.ask("CONFIG", "SET", "timeout", "0"), "OK")


if __name__ == "__main__":
    unittest.main()
