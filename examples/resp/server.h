/* server.h - what the files of resp_server share: a server, its clients, its commands.
 *
 *   resp_server.c          the loop: sockets, timers, signals; the only file that knows of a network
 *   resp/session.c         a client's life: its requests are read and run, some at a turn, its replies collected
 *   resp/dispatch.c        one command: who may run it, whether it is queued, and running it
 *   resp/transaction.c     MULTI EXEC DISCARD WATCH UNWATCH
 *   resp/parked.c          clients whose command waits
 *   resp/cursors.c         the numbers of SCAN and its kin
 *   resp/server_table.c    the commands that only a server has; *_commands.c: what they do
 *   resp/request.c, wire.c requests and replies as bytes
 *
 * Everything runs in the thread of the loop, except parked.c's helper, which only waits for the store.
 */
#ifndef RESP_SERVER_H
#define RESP_SERVER_H

#include "request.h"
#include "wire.h"

#include <mlkv/command.h>
#include <mlkv/mlkv.h>
#include <stdbool.h>
#include <time.h>

enum {
    OUTPUT_PAUSE_BYTES =
        1 << 20,              /* of replies that wait for their client: more requests are not run */
    TURN_COMMANDS_MAX = 1000, /* of a client, before others have their turn */
    NAME_BYTES_MAX = 64,      /* the longest name of a command, with its subcommand */
};

typedef struct client client;
typedef struct server server;
typedef struct command command;
typedef struct parked_clients parked_clients;
typedef struct cursors cursors;

typedef void command_function(client *self, const mlkv_slice *words, size_t n);

enum {
    COMMAND_NO_AUTH = 1u << 16,  /* before the password was told, too */
    COMMAND_NO_MULTI = 1u << 17, /* not inside of a transaction */
    COMMAND_AT_ONCE = 1u << 18,  /* inside of MULTI it is run, not queued */
    COMMAND_ADMIN = 1u << 19,
    COMMAND_CONTAINER = 1u << 20, /* its second word is part of its name */
};

/* A command of the library's table (run is NULL) or of the server's. */
struct command {
    mlkv_command_info info; /* the name of a subcommand is "client|list" */
    command_function *run;
    uint64_t calls;
};

/* A request in the queue of MULTI, or of a parked client: one piece of memory, words and their bytes. */
typedef struct queued {
    struct queued *next;
    command *command;
    size_t memory;
    size_t count;
    mlkv_slice words[];
} queued;

struct client {
    server *server;
    client *next, *previous;
    void *connection; /* the network's */
    int64_t id;
    request in;
    wire out;       /* replies that the network has not taken */
    size_t sending; /* bytes that the network has taken, and holds */
    size_t memory;  /* as counted in server->clients_bytes */
    char peer[136], local[136], name[128];
    const char *last_command;
    int descriptor;
    bool over_unix;
    int64_t since_ms, used_ms;
    mlkv *view;   /* what commands work on: the store, or in EXEC the transaction */
    bool trusted; /* needs no password, or has told it */
    bool ending;  /* to be closed after its replies were sent */
    bool doomed;  /* to be closed at once */
    bool no_evict;
    bool reply_off, reply_skip, reply_skip_next;
    /* MULTI */
    bool in_multi, multi_broken, in_exec;
    queued *queue, **queue_end;
    size_t queue_count, queue_bytes;
    mlkv_watch *watch;
    queued *watched; /* the names of what is watched */
    bool watch_broken;
    /* parked.c */
    queued *parked;
    int64_t deadline_ms; /* -1: none */
    client *parked_next, *parked_previous;
};

/* Options, some of which CONFIG SET may change. */
typedef struct {
    const char *folder, *unix_path, *bind;
    int port; /* -1: none; 0: any, told in the ready line */
    char *password;
    int durability;
    size_t cache_bytes, ring_bytes;
    int64_t clients_max;
    int64_t timeout_seconds;    /* an idle client is closed; 0: never */
    uint64_t word_bytes_max;    /* proto-max-bulk-len */
    uint64_t query_bytes_max;   /* client-query-buffer-limit */
    uint64_t output_bytes_max;  /* of one client's replies that it does not read */
    uint64_t clients_bytes_max; /* maxmemory-clients: the largest is closed */
    int64_t stalled_seconds;    /* a client that reads nothing of what waits for it is closed */
} server_options;

struct server {
    server_options options;
    mlkv *db;
    client *clients;
    int64_t client_count, next_id;
    size_t clients_bytes;
    mlkv_slice *words; /* of the request that is being run */
    size_t word_capacity;
    mlkv_reply reply;
    bool dirty; /* something was written that is not as durable as promised */
    bool stopping;
    client *running;        /* whose command is being run */
    int64_t pause_until_ms; /* CLIENT PAUSE */
    bool pause_writes_only;
    cursors *cursors;
    parked_clients *parked;
    int64_t started_ms, saved_at;
    uint64_t commands_run, connections_received, connections_rejected, input_bytes, output_bytes,
        evicted_clients;
    char run_id[41];
};

/* --- resp_server.c: what sessions ask of the network --- */
void network_ready(client *self); /* give it a turn */
void network_deadline(client *self,
                      int64_t timeout_ms); /* parked_deadline in so long; -1: no more */
bool network_alive(const client *self);    /* its other end has not been closed */
void network_wake(server *self);           /* parked_retry, soon; from any thread */
void network_save(server *self);           /* mlkv_flush, in another thread */
void network_paused(server *self);         /* all have a turn at server->pause_until_ms */
void network_stop(server *self);           /* the end of the server */
int64_t now_ms(void);                      /* a clock that never goes back */

/* --- session.c --- */
typedef enum {
    SESSION_WAITS, /* for bytes, or for the end of its parking */
    SESSION_MORE,  /* it has more to do: another turn */
    SESSION_FULL,  /* its replies have to be taken first */
    SESSION_ENDS,  /* to be closed when its replies are sent */
    SESSION_DOOMED /* to be closed at once */
} session_state;
client *session_open(server *self, void *connection);
void session_close(client *self);
session_state session_turn(client *self);
/* Counts its memory anew; too much of it, or of all clients' together, dooms one. */
void session_account(client *self);
void session_trim(client *self);
/* A copy of a request. NULL: no memory. */
queued *queued_new(command *row, const mlkv_slice *words, size_t n);

/* --- dispatch.c --- */
int commands_open(void);
void commands_close(void);
command *command_find(const mlkv_slice *words, size_t n);
/* The i-th command in the order of names, without subcommands; NULL past the end. */
command *command_at(size_t i);
/* The i-th subcommand of a container. */
command *command_sub(const command *container, size_t i);
bool command_arity_fits(const command *row, size_t n);
void dispatch(client *self, mlkv_slice *words, size_t n);
/* Runs it on self->view, and adds its reply to self->out. */
void dispatch_run(client *self, command *row, mlkv_slice *words, size_t n);
/* Runs a library command on a view, with the cursors of SCAN; the reply is in server->reply. */
int dispatch_library(server *self, mlkv *view, command *row, mlkv_slice *words, size_t n);
void dispatch_reply(client *self);
void dispatch_refused(client *self, int result);
bool slice_is(mlkv_slice word, const char *text); /* in letters of any case */
bool slice_integer(mlkv_slice word, int64_t *ret_value);
bool slice_bytes(mlkv_slice word, int64_t *ret_value); /* "100", "64mb", "1gb" */
/* Redis's patterns, for CONFIG GET and COMMAND LIST. */
bool slice_matches(mlkv_slice text, mlkv_slice pattern);

/* --- transaction.c --- */
void transaction_queue(client *self, command *row, const mlkv_slice *words, size_t n);
void transaction_forget(client *self); /* its queue and its watch */
command_function run_multi, run_exec, run_discard, run_watch, run_unwatch;

/* --- parked.c --- */
int parked_open(server *self);
void parked_stop(server *self); /* ends the helper: network_wake is not called any more */
void parked_close(server *self);
void parked_run(client *self, command *row, mlkv_slice *words, size_t n);
void parked_retry(server *self);
void parked_deadline(client *self);
void parked_forget(client *self); /* it goes, or is let go */
bool parked_unblock(client *self, bool with_error);
int64_t parked_count(const server *self);

/* --- cursors.c --- */
cursors *cursors_open(void);
void cursors_close(cursors *self);
/* The number that is handed out for a cursor of the library; text: 24 bytes. The result is in text, or it is `cursor`
 * itself; without memory it is empty. */
mlkv_slice cursors_give(cursors *self, mlkv_slice cursor, char text[24]);
/* The library's cursor for a number that a client sent. False: it is unknown. */
bool cursors_take(const cursors *self, mlkv_slice number, mlkv_slice *ret_cursor);

/* --- options.c --- */
/* Reads the command line and the password. -1: go on; else the status to exit with. */
int options_read(server_options *self, int argc, char **argv);

/* --- what the commands do --- */
extern const command server_commands[];
extern const size_t server_command_count;
command_function run_ping, run_echo, run_hello, run_auth, run_select, run_quit, run_reset;
command_function run_client_id, run_client_setname, run_client_getname, run_client_list,
    run_client_info, run_client_unblock, run_client_kill, run_client_no_evict, run_client_reply,
    run_client_pause, run_client_unpause, run_client_getredir, run_client_trackinginfo;
command_function run_info, run_time, run_lastsave, run_save, run_bgsave, run_shutdown, run_wait,
    run_role, run_debug, run_ok, run_nothing, run_zero, run_empty, run_flush_library,
    run_acl_whoami, run_slowlog_get, run_unwatch;
command_function run_config_get, run_config_set, run_config_rewrite, run_config_resetstat;
command_function run_command, run_command_count, run_command_info, run_command_docs,
    run_command_list, run_command_getkeys, run_help;

#endif
