"""redis-cli (RESP2 and RESP3) and redis-benchmark, as they come with Debian, against the server."""
import os
import subprocess
import unittest

from support import PATIENCE, Server, ServerTest, encode

# What is typed, and what redis-cli prints for it in a pipe, where that is raw text.
DIALOGUE = [
    ("PING", "PONG"), ("ECHO 'a b'", "a b"), ("SET k 1", "OK"), ("GET k", "1"), ("INCR k", "2"), ("APPEND k 34", "3"),
    ("GETRANGE k 0 1", "23"),
    ("SETBIT bits 7 1", "0"), ("BITCOUNT bits", "1"), ("MSET a 1 b 2", "OK"), ("MGET a b none", "1\n2\n"), ("RPUSH l x y z", "3"),
    ("LRANGE l 0 -1", "x\ny\nz"), ("LPOP l", "x"), ("LMOVE l m LEFT RIGHT", "y"), ("BLPOP l 1", "l\nz"), ("HSET h f 1 g 2", "2"),
    ("HGET h f", "1"), ("HINCRBY h f 4", "5"), ("SADD s a b c", "3"), ("SCARD s", "3"), ("SISMEMBER s b", "1"), ("ZADD z 1 one 2 two", "2"),
    ("ZRANGE z 0 -1 WITHSCORES", "one\n1\ntwo\n2"), ("ZSCORE z two", "2"), ("TYPE z", "zset"), ("EXPIRE k 100", "1"), ("PERSIST k", "1"),
    ("TTL k", "-1"), ("DEL k a b", "3"), ("EXISTS k", "0"), ("GET k", ""), ("SELECT 0", "OK"), ("CLIENT GETNAME", ""), ("DBSIZE", "5"),
    ("CONFIG GET save", "save\n"), ("CONFIG GET appendonly", "appendonly\nno"), ("COMMAND GETKEYS MSET a 1 b 2", "a\nb"), ("WAIT 0 0", "0"),
    ("DEBUG SLEEP 0", "OK"), ("DEBUG JMAP", "OK"), ("FUNCTION FLUSH", "OK"), ("LATENCY RESET", "0"), ("SLOWLOG LEN", "0"),
    ("ACL WHOAMI", "default"),
    ("SAVE", "OK"), ("CONFIG RESETSTAT", "OK"), ("FLUSHALL", "OK"), ("DBSIZE", "0"),
    ("GET", "ERR wrong number of arguments for 'get' command\n"), ("NOPE", "ERR unknown command 'NOPE', with args beginning with: \n"),
    ("SUBSCRIBE x", "ERR unknown command 'SUBSCRIBE', with args beginning with: 'x' \n"),
    ("CLIENT NOPE", "ERR unknown subcommand 'NOPE'. Try CLIENT HELP.\n"), ("SELECT 1", "ERR DB index is out of range\n"),
    ("EXEC", "ERR EXEC without MULTI\n"), ("CONFIG SET nope 1", "ERR Unknown option or number of arguments for CONFIG SET - 'nope'\n"),
]
IN_RESP3 = {"CONFIG GET save": "save ", "CONFIG GET appendonly": "appendonly no"}  # a map there
BENCHMARKED = ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "LPUSH", "RPUSH", "LPOP", "RPOP", "SADD", "HSET", "SPOP", "ZADD",
               "ZPOPMIN",
               "LPUSH (needed to benchmark LRANGE)", "LRANGE_100 (first 100 elements)", "LRANGE_300 (first 300 elements)",
               "LRANGE_500 (first 500 elements)", "LRANGE_600 (first 600 elements)", "MSET (10 keys)"]


class Cli(ServerTest):
    def cli(self, *arguments, text=None):
        done = subprocess.run(["redis-cli", "-s", self.server.path, *arguments], input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=PATIENCE, check=False)
        return done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")

    def dialogue(self, *options):
        for typed, printed in DIALOGUE:
            printed = IN_RESP3.get(typed, printed) if options else printed
            with self.subTest(typed=typed, options=options):
                self.assertEqual(self.cli(*options, text=typed.encode() + b"\n"), printed + "\n")

    def test_dialogue(self):
        self.dialogue()

    def test_dialogue_in_resp3(self):
        self.dialogue("-3")

    def test_shapes(self):
        self.cli("HSET", "h", "f", "1")
        self.cli("ZADD", "z", "1.5", "m")
        self.assertEqual(self.cli("--no-raw", "HGETALL", "h"), '1) "f"\n2) "1"\n')
        self.assertEqual(self.cli("--no-raw", "-3", "HGETALL", "h"), '1# "f" => "1"\n')
        self.assertEqual(self.cli("--no-raw", "ZSCORE", "z", "m"), '"1.5"\n')
        self.assertEqual(self.cli("--no-raw", "-3", "ZSCORE", "z", "m"), "(double) 1.5\n")
        self.assertEqual(self.cli("--no-raw", "-3", "SMEMBERS", "none"), "(empty set)\n")
        self.assertEqual(self.cli("--no-raw", "GET", "none"), "(nil)\n")
        self.assertIn("redis_version:7.0.15", self.cli("-3", "INFO"))

    def test_transaction(self):
        text = b"MULTI\nSET t 1\nLPUSH t x\nINCR t\nEXEC\nGET t\nMULTI\nNOPE\nEXEC\n"
        self.assertEqual(self.cli(text=text).split("\n"), [
            "OK", "QUEUED", "QUEUED", "QUEUED", "OK", "WRONGTYPE Operation against a key holding the wrong kind of value", "",
            "2", "2", "OK", "ERR unknown command 'NOPE', with args beginning with: ", "",
            "EXECABORT Transaction discarded because of previous errors.", "", ""])

    def test_bulk(self):
        said = self.cli("--pipe", text=b"".join(encode("SET", f"key:{i:05}", i) for i in range(5000)))
        self.assertIn("errors: 0, replies: 5000", said)
        self.assertEqual(self.cli("DBSIZE"), "5000\n")
        self.assertEqual(sorted(self.cli("--scan").split()), [f"key:{i:05}" for i in range(5000)])
        self.assertEqual(len(self.cli("--scan", "--pattern", "key:000*").split()), 100)
        self.cli("RPUSH", "list", *map(str, range(100)))
        self.assertIn("Biggest   list found '\"list\"' has 100 items", self.cli("--bigkeys"))
        self.assertEqual(self.cli("-x", "SET", "stdin", text=b"a\nb\x00c"), "OK\n")
        self.assertEqual(self.cli("STRLEN", "stdin"), "5\n")

    def test_help_of_an_interactive_client(self):
        self.assertGreater(int(self.cli("COMMAND", "COUNT")), 150)
        self.assertIn("summary", self.cli("COMMAND", "DOCS"))
        self.assertIn("zunionstore", self.cli("COMMAND", "LIST"))
        self.assertEqual(self.cli("COMMAND", "INFO", "nope"), "\n")

    def benchmark(self, *options):
        done = subprocess.run(["redis-benchmark", "-s", self.server.path, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=600, check=True)
        said = done.stdout.decode()
        self.assertNotRegex(said.lower(), "err|fail|warn")
        return said

    def test_benchmark(self):
        self.benchmark("-n", "2000", "-q")

    def test_benchmark_in_pipelines(self):
        lines = self.benchmark("-n", "2000", "-P", "16", "--csv").strip().splitlines()[1:]
        self.assertEqual([line.split('","')[0].strip('"') for line in lines], BENCHMARKED)

    def test_benchmark_in_resp3(self):
        self.benchmark("-n", "500", "-P", "16", "-3", "-q", "-t", "get,set,hset,zadd,zpopmin,spop,lrange")


class Options(ServerTest):
    def test_help_and_mistakes(self):
        program = [os.environ.get("MLKV_SERVER", "resp_server")]
        said = subprocess.run([*program, "--help"], stdout=subprocess.PIPE, check=True, timeout=PATIENCE).stdout.decode()
        self.assertIn("usage: resp_server FOLDER", said)
        for wrong in ([], ["a", "b"], ["a", "--nope"], ["a", "--port", "x"], ["a", "--port", "70000"], ["a", "--durability", "x"],
                      ["a", "--bind", "0.0.0.0"], ["a", "--unix", "x" * 108], ["a", "--password", "/nonexistent"],
                      ["a", "--cache-bytes", "-1"]):
            with self.subTest(wrong=wrong):
                done = subprocess.run(program + wrong, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.folder, check=False,
                                      timeout=PATIENCE)
                self.assertEqual((done.returncode, done.stdout, os.path.exists(os.path.join(self.folder, "a"))), (2, b"", False))

    def test_socket_of_another(self):
        self.assertEqual(os.stat(self.server.path).st_mode & 0o777, 0o700)
        done = subprocess.run([os.environ.get("MLKV_SERVER", "resp_server"), self.server.store, "--unix", self.server.path],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, timeout=PATIENCE)
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn(b"somebody listens there", done.stderr)
        self.assertEqual(self.server.connect().ask("PING"), "PONG")

    def test_stale_socket(self):
        self.server.stop(9)
        self.assertTrue(os.path.exists(self.server.path))
        self.server.start()
        self.assertEqual(self.server.connect().ask("PING"), "PONG")

    def test_port(self):
        two = os.path.join(self.folder, "two")
        os.mkdir(two)
        server = Server(two, "--port", "0")
        port = server.ready.split("127.0.0.1:")[1].split()[0]
        said = subprocess.run(["redis-cli", "-p", port, "PING"], stdout=subprocess.PIPE, check=True, timeout=PATIENCE).stdout
        self.assertEqual((said, server.stop(2)), (b"PONG\n", 0))
        self.assertFalse(os.path.exists(server.path))

    def test_shutdown(self):
        for words in (["SHUTDOWN"], ["SHUTDOWN", "NOSAVE"]):
            client = self.server.connect()
            self.assertEqual(client.ask("SET", "kept", words[-1]), "OK")
            client.send(encode(*words))
            self.assertTrue(client.is_closed())
            self.assertEqual(self.server.process.wait(PATIENCE), 0)
            self.server.stop()
            self.server.start()
            self.assertEqual(self.server.connect().ask("GET", "kept"), words[-1].encode())


class Password(ServerTest):
    def setUp(self):
        os.environ["RESP_SERVER_PASSWORD"] = "secret"
        try:
            super().setUp()
        finally:
            del os.environ["RESP_SERVER_PASSWORD"]

    def test_password(self):
        client = self.server.connect()
        self.assertEqual(client.ask("GET", "a"), "-NOAUTH Authentication required.")
        self.assertTrue(client.ask("HELLO", "3").startswith("-NOAUTH HELLO must be called with the client already authenticated"))
        for wrong in (["AUTH", "secre"], ["AUTH", "secrett"], ["AUTH", ""], ["AUTH", "secretsecret"], ["AUTH", "other", "secret"]):
            self.assertEqual(client.ask(*wrong), "-WRONGPASS invalid username-password pair or user is disabled.")
        self.assertEqual(client.ask("PING"), "-NOAUTH Authentication required.")
        self.assertEqual(client.ask("AUTH", "default", "secret"), "OK")
        self.assertEqual((client.ask("PING"), client.ask("RESET")), ("PONG", "RESET"))
        self.assertEqual(client.ask("PING"), "-NOAUTH Authentication required.")
        self.assertEqual(client.ask("AUTH", "secret"), "OK")

    def test_strangers_are_held_short(self):
        for said, error in ((b"*11\r\n", "-ERR Protocol error: unauthenticated multibulk length"),
                            (b"*1\r\n$16385\r\n", "-ERR Protocol error: unauthenticated bulk length")):
            client = self.server.connect()
            client.send(said)
            self.assertEqual(client.reply(), error)
            self.assertTrue(client.is_closed())


if __name__ == "__main__":
    unittest.main()
