/* options.c - the command line of resp_server, and the password.
 *
 * A password never stands on the command line, where other users see it: it is the first line of a file, or in the environment.
 */
#include "server.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

enum { PORT_OF_REDIS = 6379, PASSWORD_BYTES_MAX = 512 };

static const char usage[] =
    "usage: resp_server FOLDER [option...]\n"
    "\n"
    "Serves the mlkv store in FOLDER to clients of Redis (RESP2 and RESP3), while other processes "
    "may use the folder themselves.\n"
    "\n"
    "  --port N            TCP port; 0: any that is free, which the ready line tells. Without "
    "--port and --unix: 6379\n"
    "  --unix PATH         a unix socket, which only this user may use\n"
    "  --bind ADDRESS      a numeric address for --port instead of 127.0.0.1; others than loopback "
    "need a password\n"
    "  --password FILE     clients have to tell the first line of FILE. Or: environment variable "
    "RESP_SERVER_PASSWORD\n"
    "  --durability LEVEL  when a write is answered: journal (it survives the death of any "
    "process; default), sync (it is in the\n"
    "                      journal on the disk), store (it is in LMDB on the disk). One wait "
    "serves all clients\n"
    "  --cache-bytes N     the store's cache of records in this process (as the library: 256mb, at "
    "most 1/8 of memory)\n"
    "  --ring-bytes N      the journal's ring, a power of two (256mb), if no other process has the "
    "store open\n"
    "  --max-clients N     connections (10000)\n"
    "  --timeout SECONDS   closes connections that have been idle for so long (0: never)\n"
    "  --clients-bytes N   memory for requests and replies of all clients; beyond it the largest "
    "is closed (2gb)\n"
    "  --output-bytes N    the same for the replies of one client that does not read them (1gb)\n"
    "  --help              this text\n"
    "\n"
    "Sizes may end in kb, mb, gb. SIGTERM, SIGINT and the command SHUTDOWN end it; everything "
    "answered is kept, however it ends.\n";

static const struct option long_options[] = {
    {"port", required_argument, NULL, 'p'},
    {"unix", required_argument, NULL, 'u'},
    {"bind", required_argument, NULL, 'b'},
    {"password", required_argument, NULL, 'w'},
    {"durability", required_argument, NULL, 'd'},
    {"cache-bytes", required_argument, NULL, 'c'},
    {"ring-bytes", required_argument, NULL, 'r'},
    {"max-clients", required_argument, NULL, 'm'},
    {"timeout", required_argument, NULL, 't'},
    {"clients-bytes", required_argument, NULL, 'M'},
    {"output-bytes", required_argument, NULL, 'o'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void defaults(server_options *self)
{
    *self = (server_options){
        .bind = "127.0.0.1",
        .port = -1,
        .durability = MLKV_JOURNAL,
        .clients_max = 10000,
        .word_bytes_max = 536870912,
        .query_bytes_max = 1073741824,
        .output_bytes_max = 1073741824,
        .clients_bytes_max = UINT64_C(2147483648),
        .stalled_seconds = 60,
    };
}

static bool read_number(const char *name, const char *text, int64_t min, int64_t max,
                        int64_t *ret_value)
{
    mlkv_slice word = {text, strlen(text)};
    if (slice_bytes(word, ret_value) && *ret_value >= min && *ret_value <= max)
        return true;
    fprintf(stderr, "resp_server: --%s: '%s' is not a number from %lld to %lld\n", name, text,
            (long long)min, (long long)max);
    return false;
}

static bool read_durability(server_options *self, const char *text)
{
    if (strcmp(text, "journal") == 0)
        self->durability = MLKV_JOURNAL;
    else if (strcmp(text, "sync") == 0)
        self->durability = MLKV_SYNC;
    else if (strcmp(text, "store") == 0)
        self->durability = MLKV_STORE;
    else
        return fprintf(stderr, "resp_server: --durability: '%s' is none of journal, sync, store\n",
                       text),
               false;
    return true;
}

static bool set_password(server_options *self, const char *text, const char *where)
{
    size_t size = strcspn(text, "\r\n");
    if (size == 0 || size > PASSWORD_BYTES_MAX) {
        fprintf(stderr, "resp_server: %s: a password has 1 to %d bytes\n", where,
                PASSWORD_BYTES_MAX);
        return false;
    }
    free(self->password);
    self->password = strndup(text, size);
    return self->password != NULL;
}

static bool read_password_file(server_options *self, const char *path)
{
    char line[PASSWORD_BYTES_MAX + 3];
    FILE *file = fopen(path, "re");
    bool done = file != NULL && fgets(line, sizeof line, file) != NULL;
    if (!done)
        fprintf(stderr, "resp_server: --password: %s cannot be read\n", path);
    if (file != NULL)
        (void)fclose(file);
    done = done && set_password(self, line, path);
    explicit_bzero(line, sizeof line);
    return done;
}

static bool read_option(server_options *self, int option, const char *text)
{
    int64_t number = 0;
    bool done = true;
    switch (option) {
    case 'p':
        done = read_number("port", text, 0, 65535, &number);
        self->port = (int)number;
        return done;
    case 'u':
        self->unix_path = text;
        if (strlen(text) == 0 || strlen(text) >= sizeof((struct sockaddr_un *)NULL)->sun_path)
            return fprintf(stderr, "resp_server: --unix: a path has 1 to %zu bytes\n",
                           sizeof((struct sockaddr_un *)NULL)->sun_path - 1),
                   false;
        return true;
    case 'b':
        self->bind = text;
        return true;
    case 'w':
        return read_password_file(self, text);
    case 'd':
        return read_durability(self, text);
    case 'c':
        done = read_number("cache-bytes", text, 1, INT64_MAX, &number);
        self->cache_bytes = (size_t)number;
        return done;
    case 'r':
        done = read_number("ring-bytes", text, 1, INT64_MAX, &number);
        self->ring_bytes = (size_t)number;
        return done;
    case 'm':
        return read_number("max-clients", text, 1, 1000000, &self->clients_max);
    case 't':
        return read_number("timeout", text, 0, INT32_MAX, &self->timeout_seconds);
    case 'M':
        done = read_number("clients-bytes", text, 1 << 20, INT64_MAX, &number);
        self->clients_bytes_max = (uint64_t)number;
        return done;
    case 'o':
        done = read_number("output-bytes", text, 1 << 20, INT64_MAX, &number);
        self->output_bytes_max = (uint64_t)number;
        return done;
    default:
        return false;
    }
}

/* Whether only this machine can reach the address. */
static bool is_loopback(const char *address)
{
    struct in_addr four;
    if (inet_pton(AF_INET, address, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    return strcmp(address, "::1") == 0;
}

static bool complete(server_options *self, int argc, char **argv)
{
    const char *password = getenv("RESP_SERVER_PASSWORD");
    if (self->password == NULL && password != NULL &&
        !set_password(self, password, "RESP_SERVER_PASSWORD"))
        return false;
    (void)unsetenv("RESP_SERVER_PASSWORD");
    if (optind + 1 != argc) {
        fputs("resp_server: one FOLDER is wanted; --help says more\n", stderr);
        return false;
    }
    self->folder = argv[optind];
    if (self->port < 0 && self->unix_path == NULL)
        self->port = PORT_OF_REDIS;
    if (self->port >= 0 && !is_loopback(self->bind) && self->password == NULL) {
        fprintf(stderr,
                "resp_server: --bind %s: others can reach this address, so a password is needed\n",
                self->bind);
        return false;
    }
    return true;
}

int options_read(server_options *self, int argc, char **argv)
{
    int option;
    defaults(self);
    while ((option = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            return 0;
        }
        if (!read_option(self, option, optarg))
            return 2;
    }
    return complete(self, argc, argv) ? -1 : 2;
}
