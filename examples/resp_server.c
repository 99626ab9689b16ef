/* resp_server.c - a server on an mlkv folder for clients of Redis: redis-cli, redis-py, redis-benchmark, and other programs that speak
 * RESP.
 *
 * This file is the network: a loop of libuv in one thread, sockets, timers, signals. What clients say is for resp/session.c and the
 * files around it (resp/server.h is the map). Other processes may use the folder at the same time, in-process.
 *
 * A connection reads while its session waits for bytes; while the session has more to do it stands in the list `ready` and gets a turn
 * in each round of the loop; while its replies are not taken it does neither. Replies of a round are written at its end, a connection's
 * all at once; before that, if promised, one flush makes durable what the round has written for all clients.
 *
 * Invariants
 *   1. A reply is written only after what its command wrote is as durable as --durability says.
 *   2. connection->client is NULL exactly while the connection is being closed; it is closed by this file only, and never within a
 *      session's turn.
 *   3. out.bytes of a client becomes `sending` as a whole, and stays there until all of it was taken.
 *   4. Only network_wake is called by other threads.
 */
#include "resp/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

enum {
    BACKLOG = 511,             /* as Redis */
    TICK_MS = 1000,            /* of the look at idle and stalled clients */
    TRIM_AFTER_MS = 2000,      /* an idle client's buffers are given back */
    BUFFER_KEPT_MAX = 1 << 18, /* of replies, between rounds */
    DESCRIPTORS_BESIDE = 128,  /* those that are no clients */
    KEEPALIVE_SECONDS = 300,
};

typedef struct connection {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } socket;
    uv_timer_t deadline;
    uv_write_t write;
    mlkv_buffer sending;
    client *client;
    session_state state;
    bool reading, writing, ended, is_ready, has_output;
    int handles;          /* still open */
    size_t stalled_bytes; /* of the queue at the last tick */
    int64_t stalled_ticks;
    TAILQ_ENTRY(connection) ready_link, output_link;
} connection;

TAILQ_HEAD(connections, connection);

static struct {
    uv_loop_t loop;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
    uv_idle_t idle;
    uv_prepare_t prepare;
    uv_async_t wake;
    uv_timer_t tick, pause;
    uv_signal_t signals[2];
    uv_work_t save;
    bool saving;
    struct connections ready, output;
    server *server;
} net;

int64_t now_ms(void)
{
    return (int64_t)(uv_hrtime() / 1000000);
}

/* --- closing --- */

static void on_closed(uv_handle_t *handle)
{
    connection *self = handle->data;
    if (--self->handles != 0)
        return;
    mlkv_buffer_free(&self->sending);
    free(self);
}

static void close_connection(connection *self)
{
    if (self->client == NULL)
        return;
    if (self->is_ready)
        TAILQ_REMOVE(&net.ready, self, ready_link);
    if (self->has_output)
        TAILQ_REMOVE(&net.output, self, output_link);
    self->is_ready = self->has_output = false;
    session_close(self->client);
    self->client = NULL;
    uv_close(&self->socket.handle, on_closed);
    uv_close((uv_handle_t *)&self->deadline, on_closed);
}

/* --- turns --- */

static void on_idle(uv_idle_t *handle);
static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer);
static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer);

static void add_ready(connection *self)
{
    if (self->is_ready)
        return;
    if (TAILQ_EMPTY(&net.ready))
        (void)uv_idle_start(&net.idle, on_idle);
    TAILQ_INSERT_TAIL(&net.ready, self, ready_link);
    self->is_ready = true;
}

static void add_output(connection *self)
{
    if (self->has_output)
        return;
    TAILQ_INSERT_TAIL(&net.output, self, output_link);
    self->has_output = true;
}

/* Whether it is to be closed as soon as its replies are sent. */
static bool is_at_end(const connection *self)
{
    return self->state == SESSION_ENDS || (self->ended && self->state == SESSION_WAITS);
}

static void set_reading(connection *self)
{
    bool wanted = self->state == SESSION_WAITS && !self->ended;
    if (wanted && !self->reading)
        (void)uv_read_start(&self->socket.stream, on_room, on_read);
    else if (!wanted && self->reading)
        (void)uv_read_stop(&self->socket.stream);
    self->reading = wanted;
}

static void turn(connection *self)
{
    self->state = session_turn(self->client);
    if (self->state == SESSION_DOOMED) {
        close_connection(self);
        return;
    }
    if (self->state == SESSION_MORE)
        add_ready(self);
    if (self->client->out.bytes.size != 0) {
        add_output(self);
    } else if (is_at_end(self) && !self->writing) {
        close_connection(self);
        return;
    }
    set_reading(self);
}

static void on_idle(uv_idle_t *handle)
{
    struct connections round = TAILQ_HEAD_INITIALIZER(round);
    connection *last = TAILQ_LAST(&net.ready, connections), *one;
    bool more = last != NULL;
    (void)handle;
    while (more && (one = TAILQ_FIRST(&net.ready)) != NULL) {
        more = one != last;
        TAILQ_REMOVE(&net.ready, one, ready_link);
        one->is_ready = false;
        turn(one);
    }
    if (TAILQ_EMPTY(&net.ready))
        (void)uv_idle_stop(&net.idle);
}

void network_ready(client *self)
{
    add_ready(self->connection);
}

/* --- reading --- */

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    connection *self = handle->data;
    size_t size = 0;
    (void)suggested;
    char *room = request_room(&self->client->in, &size);
    *buffer = uv_buf_init(room, 0);
    buffer->len = room != NULL ? size : 0;
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    connection *self = stream->data;
    (void)buffer;
    if (size > 0) {
        request_add(&self->client->in, (size_t)size);
        net.server->input_bytes += (uint64_t)size;
        turn(self);
    } else if (size == UV_EOF) {
        self->ended = true;
        turn(self);
    } else if (size < 0) {
        close_connection(self);
    }
}

bool network_alive(const client *self)
{
    const connection *own = self->connection;
    char byte;
    if (own->ended)
        return false;
    ssize_t size = recv(self->descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return size > 0 || (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR));
}

/* --- writing --- */

/* All that was handed over has been taken. */
static void sent(connection *self)
{
    self->sending.size = 0;
    self->client->sending = 0;
    if (self->sending.capacity > BUFFER_KEPT_MAX)
        mlkv_buffer_free(&self->sending);
    if (self->client->out.bytes.size != 0)
        add_output(self);
    else if (is_at_end(self))
        close_connection(self);
    else if (self->state == SESSION_FULL)
        add_ready(self);
}

static void on_written(uv_write_t *done, int status)
{
    connection *self = done->data;
    self->writing = false;
    if (self->client == NULL)
        return;
    if (status < 0)
        close_connection(self);
    else
        sent(self);
}

static void send_replies(connection *self)
{
    client *from = self->client;
    if (self->writing || from->out.bytes.size == 0)
        return;
    if (from->out.failed) {
        close_connection(self);
        return;
    }
    mlkv_buffer empty = self->sending;
    self->sending = from->out.bytes;
    from->out.bytes = empty;
    size_t size = self->sending.size;
    net.server->output_bytes += size;
    uv_buf_t bytes = {.base = self->sending.data, .len = size};
    int taken = uv_try_write(&self->socket.stream, &bytes, 1);
    if (taken < 0 && taken != UV_EAGAIN) {
        close_connection(self);
        return;
    }
    if (taken > 0 && (size_t)taken == size) {
        sent(self);
        return;
    }
    bytes.base += taken > 0 ? taken : 0;
    bytes.len -= taken > 0 ? (size_t)taken : 0;
    from->sending = self->sending.capacity;
    self->writing = true;
    self->write.data = self;
    session_account(from);
    if (uv_write(&self->write, &self->socket.stream, &bytes, 1, on_written) != 0) {
        self->writing = false;
        close_connection(self);
    }
}

/* The end of a round, before the loop waits. */
static void on_prepare(uv_prepare_t *handle)
{
    server *owner = net.server;
    connection *one;
    (void)handle;
    if (owner->dirty && owner->options.durability != MLKV_JOURNAL && !TAILQ_EMPTY(&net.output)) {
        int result = mlkv_flush(owner->db, (mlkv_durability)owner->options.durability);
        if (result != MLKV_OK) {
            /* Clients were promised that what is answered is durable: no answer is better than a wrong one. */
            fprintf(stderr, "resp_server: what was written cannot be made durable: %s\n",
                    mlkv_error_detail());
            _exit(1);
        }
        owner->dirty = false;
    }
    while ((one = TAILQ_FIRST(&net.output)) != NULL) {
        TAILQ_REMOVE(&net.output, one, output_link);
        one->has_output = false;
        send_replies(one);
    }
}

/* --- timers, other threads --- */

static void on_deadline(uv_timer_t *timer)
{
    connection *self = timer->data;
    if (self->client != NULL)
        parked_deadline(self->client);
}

void network_deadline(client *self, int64_t timeout_ms)
{
    connection *own = self->connection;
    if (timeout_ms < 0) {
        (void)uv_timer_stop(&own->deadline);
        return;
    }
    uv_update_time(
        &net.loop); /* or it would end early, by what this round took, and a part of a millisecond */
    (void)uv_timer_start(&own->deadline, on_deadline, (uint64_t)timeout_ms + 1, 0);
}

static void on_wake(uv_async_t *handle)
{
    (void)handle;
    parked_retry(net.server);
}

void network_wake(server *self)
{
    (void)self;
    (void)uv_async_send(&net.wake);
}

static void all_ready(void)
{
    for (client *c = net.server->clients; c != NULL; c = c->next)
        add_ready(c->connection);
}

static void on_pause_end(uv_timer_t *timer)
{
    (void)timer;
    all_ready();
}

void network_paused(server *self)
{
    int64_t left_ms = self->pause_until_ms - now_ms();
    if (left_ms <= 0) {
        all_ready();
        return;
    }
    uv_update_time(&net.loop);
    (void)uv_timer_start(&net.pause, on_pause_end, (uint64_t)left_ms + 1, 0);
}

/* Whether its replies have not moved for so long that nobody is reading them. */
static bool is_stalled(connection *self)
{
    size_t bytes = uv_stream_get_write_queue_size(&self->socket.stream);
    self->stalled_ticks = bytes != 0 && bytes == self->stalled_bytes ? self->stalled_ticks + 1 : 0;
    self->stalled_bytes = bytes;
    return self->stalled_ticks * TICK_MS > net.server->options.stalled_seconds * 1000;
}

static void on_tick(uv_timer_t *timer)
{
    int64_t now = now_ms(), timeout_ms = net.server->options.timeout_seconds * 1000;
    (void)timer;
    for (client *c = net.server->clients, *next; c != NULL; c = next) {
        connection *own = c->connection;
        int64_t idle_ms = now - c->used_ms;
        next = c->next;
        if (is_stalled(own) || (timeout_ms != 0 && idle_ms > timeout_ms && c->parked == NULL)) {
            close_connection(own);
        } else if (idle_ms > TRIM_AFTER_MS) {
            if (!own->writing)
                mlkv_buffer_free(&own->sending);
            session_trim(c);
        }
    }
}

static void save_work(uv_work_t *work)
{
    int result = mlkv_flush(net.server->db, MLKV_STORE);
    work->data = result == MLKV_OK ? work : NULL;
}

static void save_done(uv_work_t *work, int status)
{
    net.saving = false;
    if (status == 0 && work->data != NULL)
        net.server->saved_at = (int64_t)time(NULL);
}

void network_save(server *self)
{
    (void)self;
    if (!net.saving)
        net.saving = uv_queue_work(&net.loop, &net.save, save_work, save_done) == 0;
}

void network_stop(server *self)
{
    self->stopping = true;
    uv_stop(&net.loop);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)handle;
    (void)number;
    network_stop(net.server);
}

/* --- new connections --- */

static void tell_addresses(client *self, connection *own)
{
    struct sockaddr_storage address;
    char host[INET6_ADDRSTRLEN];
    int (*const ask[])(const uv_tcp_t *, struct sockaddr *, int *) = {uv_tcp_getpeername,
                                                                      uv_tcp_getsockname};
    char *const texts[] = {self->peer, self->local};
    for (int i = 0; i < 2; i++) {
        int size = (int)sizeof address;
        if (self->over_unix) {
            (void)snprintf(texts[i], sizeof self->peer, "%s:0", net.server->options.unix_path);
            continue;
        }
        if (ask[i](&own->socket.tcp, (struct sockaddr *)&address, &size) != 0)
            continue;
        bool six = address.ss_family == AF_INET6;
        int port = ntohs(six ? ((struct sockaddr_in6 *)&address)->sin6_port
                             : ((struct sockaddr_in *)&address)->sin_port);
        (void)uv_ip_name((struct sockaddr *)&address, host, sizeof host);
        (void)snprintf(texts[i], sizeof self->peer, six ? "[%s]:%d" : "%s:%d", host, port);
    }
}

static bool too_many(connection *self)
{
    static char text[] = "-ERR max number of clients reached\r\n";
    server *owner = net.server;
    if (owner->client_count <= owner->options.clients_max)
        return false;
    uv_buf_t bytes = uv_buf_init(text, sizeof text - 1);
    (void)uv_try_write(&self->socket.stream, &bytes, 1);
    owner->connections_rejected++;
    return true;
}

static void on_connection(uv_stream_t *listener, int status)
{
    bool over_unix = listener == (uv_stream_t *)&net.pipe;
    connection *self = status == 0 ? calloc(1, sizeof *self) : NULL;
    if (self == NULL)
        return; /* what waits is accepted with the next one */
    self->handles = 2;
    self->client = session_open(net.server, self);
    if (self->client == NULL) {
        free(self);
        return;
    }
    if (over_unix)
        (void)uv_pipe_init(&net.loop, &self->socket.pipe, 0);
    else
        (void)uv_tcp_init(&net.loop, &self->socket.tcp);
    (void)uv_timer_init(&net.loop, &self->deadline);
    self->socket.handle.data = self;
    self->deadline.data = self;
    net.server->connections_received++;
    if (uv_accept(listener, &self->socket.stream) != 0 || too_many(self)) {
        close_connection(self);
        return;
    }
    if (!over_unix) {
        (void)uv_tcp_nodelay(&self->socket.tcp, 1);
        (void)uv_tcp_keepalive(&self->socket.tcp, 1, KEEPALIVE_SECONDS);
    }
    self->client->over_unix = over_unix;
    (void)uv_fileno(&self->socket.handle, &self->client->descriptor);
    tell_addresses(self->client, self);
    self->state = SESSION_WAITS;
    set_reading(self);
}

/* --- listening --- */

static int failed(const char *what, int result)
{
    fprintf(stderr, "resp_server: %s: %s\n", what, uv_strerror(result));
    return result;
}

/* Whether somebody listens on the socket; a stale one is removed. */
static bool is_in_use(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;
    if (lstat(path, &status) != 0 || !S_ISSOCK(status.st_mode))
        return false; /* binding tells what is wrong */
    memcpy(address.sun_path, path, strlen(path) + 1);
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0)
        return true;
    int result = connect(descriptor, (struct sockaddr *)&address, sizeof address);
    bool stale = result != 0 && errno == ECONNREFUSED;
    (void)close(descriptor);
    return !stale || unlink(path) != 0;
}

static int listen_unix(const char *path)
{
    if (is_in_use(path)) {
        fprintf(stderr, "resp_server: %s: somebody listens there\n", path);
        return UV_EADDRINUSE;
    }
    (void)uv_pipe_init(&net.loop, &net.pipe, 0);
    mode_t before = umask(0077);
    int result = uv_pipe_bind(&net.pipe, path);
    (void)umask(before);
    if (result == 0)
        result = uv_listen((uv_stream_t *)&net.pipe, BACKLOG, on_connection);
    return result == 0 ? 0 : failed(path, result);
}

static int listen_tcp(server_options *options)
{
    struct sockaddr_storage address = {0};
    int size = (int)sizeof address;
    int result = uv_ip4_addr(options->bind, options->port, (struct sockaddr_in *)&address);
    if (result != 0)
        result = uv_ip6_addr(options->bind, options->port, (struct sockaddr_in6 *)&address);
    if (result == 0) {
        (void)uv_tcp_init(&net.loop, &net.tcp);
        result = uv_tcp_bind(&net.tcp, (struct sockaddr *)&address, 0);
    }
    if (result == 0)
        result = uv_listen((uv_stream_t *)&net.tcp, BACKLOG, on_connection);
    if (result == 0)
        result = uv_tcp_getsockname(&net.tcp, (struct sockaddr *)&address, &size);
    if (result != 0)
        return failed(options->bind, result);
    bool six = address.ss_family == AF_INET6;
    options->port = ntohs(six ? ((struct sockaddr_in6 *)&address)->sin6_port
                              : ((struct sockaddr_in *)&address)->sin_port);
    return 0;
}

static int start(server *owner)
{
    net.server = owner;
    TAILQ_INIT(&net.ready);
    TAILQ_INIT(&net.output);
    int result = uv_loop_init(&net.loop);
    if (result != 0)
        return failed("the loop", result);
    (void)uv_idle_init(&net.loop, &net.idle);
    (void)uv_prepare_init(&net.loop, &net.prepare);
    (void)uv_prepare_start(&net.prepare, on_prepare);
    (void)uv_timer_init(&net.loop, &net.tick);
    (void)uv_timer_start(&net.tick, on_tick, TICK_MS, TICK_MS);
    (void)uv_timer_init(&net.loop, &net.pause);
    result = uv_async_init(&net.loop, &net.wake, on_wake);
    for (int i = 0; i < 2 && result == 0; i++) {
        (void)uv_signal_init(&net.loop, &net.signals[i]);
        result = uv_signal_start(&net.signals[i], on_signal, i == 0 ? SIGTERM : SIGINT);
    }
    if (result != 0)
        return failed("the loop", result);
    if (owner->options.unix_path != NULL)
        result = listen_unix(owner->options.unix_path);
    if (result == 0 && owner->options.port >= 0)
        result = listen_tcp(&owner->options);
    return result;
}

static void close_any(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void finish(void)
{
    on_prepare(NULL); /* what was done is answered, as far as it is taken at once */
    parked_stop(net.server);
    while (net.server->clients != NULL)
        close_connection(net.server->clients->connection);
    uv_walk(&net.loop, close_any, NULL);
    (void)uv_run(&net.loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&net.loop);
}

/* --- the whole --- */

/* As many connections as the system lets us have. */
static void raise_descriptors(server_options *options)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    rlim_t wanted = (rlim_t)options->clients_max + DESCRIPTORS_BESIDE;
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur < wanted)
        options->clients_max =
            limit.rlim_cur > DESCRIPTORS_BESIDE ? (int64_t)limit.rlim_cur - DESCRIPTORS_BESIDE : 1;
}

static bool open_all(server *self)
{
    unsigned char random[20] = {0};
    mlkv_options options = {.size = sizeof options,
                            .durability =
                                MLKV_JOURNAL, /* more is waited for at the end of a round */
                            .cache_bytes = self->options.cache_bytes,
                            .ring_bytes = self->options.ring_bytes};
    if (mlkv_open(self->options.folder, &options, &self->db) != MLKV_OK) {
        fprintf(stderr, "resp_server: %s: %s\n", self->options.folder, mlkv_error_detail());
        return false;
    }
    (void)uv_random(NULL, NULL, random, sizeof random, 0, NULL);
    for (size_t i = 0; i < sizeof random; i++)
        (void)snprintf(self->run_id + 2 * i, 3, "%02x", random[i]);
    self->started_ms = now_ms();
    self->saved_at = (int64_t)time(NULL);
    self->cursors = cursors_open();
    return self->cursors != NULL && commands_open() == MLKV_OK && parked_open(self) == MLKV_OK &&
           start(self) == 0;
}

static void tell_ready(const server_options *options)
{
    printf("resp_server: ready on");
    if (options->port >= 0)
        printf(strchr(options->bind, ':') != NULL ? " [%s]:%d" : " %s:%d", options->bind,
               options->port);
    if (options->unix_path != NULL)
        printf("%s %s", options->port >= 0 ? " and" : "", options->unix_path);
    printf(", folder %s\n", options->folder);
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    static server self;
    int status = options_read(&self.options, argc, argv);
    if (status >= 0)
        return status;
    (void)signal(SIGPIPE, SIG_IGN);
    raise_descriptors(&self.options);
    status = 1;
    if (open_all(&self)) {
        tell_ready(&self.options);
        (void)uv_run(&net.loop, UV_RUN_DEFAULT);
        finish();
        status = 0;
    }
    if (self.db != NULL) {
        parked_close(&self);
        if (mlkv_close(self.db) != MLKV_OK) {
            fprintf(stderr, "resp_server: closing %s: %s\n", self.options.folder,
                    mlkv_error_detail());
            status = 1;
        }
    }
    cursors_close(self.cursors);
    commands_close();
    mlkv_reply_free(&self.reply);
    free(self.words);
    if (self.options.password != NULL)
        explicit_bzero(self.options.password, strlen(self.options.password));
    free(self.options.password);
    return status;
}
