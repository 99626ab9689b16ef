/* server_table.c - the commands that only a server has: connection, transaction, administration.
 *
 * Names, numbers of words and flags are Redis's. A container's subcommands stand behind it; a word that is none of them is refused by
 * dispatch.c. What a server on a folder has no use for (replication, scripts, publishing) is not here, and so an unknown command, except
 * for the few that test suites of clients call to clean up.
 */
#include "server.h"

#define INFO(title, words, bits, count, form, text)                                              \
    {                                                                                            \
        .size = sizeof(mlkv_command_info), .name = (title), .group = (words), .summary = (text), \
        .synopsis = (form), .flags = (bits), .arity = (count)                                    \
    }
#define ROW(title, group, bits, count, function, form, text)                   \
    {                                                                          \
        .info = INFO(title, group, bits, count, form, text), .run = (function) \
    }
#define CONNECTION(title, bits, count, function, form, text) \
    ROW(title, "connection", bits, count, function, form, text)
#define SERVER(title, bits, count, function, form, text) \
    ROW(title, "server", bits, count, function, form, text)

enum {
    FAST = MLKV_COMMAND_FAST,
    AUTH = COMMAND_NO_AUTH | MLKV_COMMAND_FAST,
    ADMIN = COMMAND_ADMIN,
    ONCE = COMMAND_AT_ONCE | MLKV_COMMAND_FAST,
    GROUP = COMMAND_CONTAINER,
};

const command server_commands[] = {
    CONNECTION("auth", AUTH, -2, run_auth, "[username:bytes] password:bytes",
               "Tells the password."),
    CONNECTION("echo", FAST, 2, run_echo, "message:bytes", "The same bytes."),
    CONNECTION("hello", AUTH, -1, run_hello,
               "[protover:integer [AUTH username:bytes password:bytes] [SETNAME clientname:bytes]]",
               "Chooses the protocol."),
    CONNECTION("ping", FAST, -1, run_ping, "[message:bytes]", "Whether the server is there."),
    CONNECTION("quit", AUTH | COMMAND_AT_ONCE, -1, run_quit, "", "Ends the connection."),
    CONNECTION("reset", AUTH | COMMAND_AT_ONCE, 1, run_reset, "", "Makes the connection as new."),
    CONNECTION("select", FAST, 2, run_select, "index:integer", "There is one database, 0."),
    CONNECTION("client", GROUP, -2, NULL, "", "Commands about connections."),
    CONNECTION("client|getname", 0, 2, run_client_getname, "", "The connection's name."),
    CONNECTION("client|help", 0, 2, run_help, "", "These lines."),
    CONNECTION("client|getredir", 0, 2, run_client_getredir, "", "Tracking is never on: -1."),
    CONNECTION("client|id", 0, 2, run_client_id, "", "The connection's number."),
    CONNECTION("client|info", 0, 2, run_client_info, "", "A line about this connection."),
    CONNECTION("client|kill", ADMIN, -3, run_client_kill, "filter:bytes [value:bytes...]",
               "Closes connections."),
    CONNECTION("client|list", ADMIN, -2, run_client_list, "[TYPE type:bytes] [ID id:integer...]",
               "A line about each connection."),
    CONNECTION("client|no-evict", ADMIN, 3, run_client_no_evict, "ON|OFF",
               "Keeps this connection when memory is scarce."),
    CONNECTION("client|pause", ADMIN, -3, run_client_pause, "timeout:integer [WRITE|ALL]",
               "Holds back what clients ask for."),
    CONNECTION("client|reply", 0, 3, run_client_reply, "ON|OFF|SKIP",
               "Whether commands are answered."),
    CONNECTION("client|setname", 0, 3, run_client_setname, "name:bytes", "Names the connection."),
    CONNECTION("client|trackinginfo", 0, 2, run_client_trackinginfo, "", "Tracking is never on."),
    CONNECTION("client|unblock", ADMIN, -3, run_client_unblock, "id:integer [TIMEOUT|ERROR]",
               "Ends another connection's waiting."),
    CONNECTION("client|unpause", ADMIN, 2, run_client_unpause, "", "Ends a pause."),
    ROW("multi", "transactions", FAST | COMMAND_AT_ONCE, 1, run_multi, "",
        "Begins a transaction: commands are queued."),
    ROW("exec", "transactions", COMMAND_AT_ONCE, 1, run_exec, "", "Runs the queue as one."),
    ROW("discard", "transactions", ONCE, 1, run_discard, "", "Forgets the queue."),
    ROW("watch", "transactions", ONCE, -2, run_watch, "key:key...",
        "EXEC does nothing if one of the keys changes before it."),
    ROW("unwatch", "transactions", FAST, 1, run_unwatch, "", "Ends all watches."),
    SERVER("acl", GROUP, -2, NULL, "", "Commands about users; there is one."),
    SERVER("acl|help", 0, 2, run_help, "", "These lines."),
    SERVER("acl|whoami", 0, 2, run_acl_whoami, "", "The user's name: default."),
    SERVER("bgsave", ADMIN, -1, run_bgsave, "[SCHEDULE]",
           "Brings everything to the disk, while others go on."),
    SERVER("command", GROUP, -1, run_command, "", "The table of commands."),
    SERVER("command|count", 0, 2, run_command_count, "", "How many commands there are."),
    SERVER("command|docs", 0, -2, run_command_docs, "[name:bytes...]", "What commands are for."),
    SERVER("command|help", 0, 2, run_help, "", "These lines."),
    SERVER("command|getkeys", 0, -4, run_command_getkeys, "word:bytes...",
           "Which words of a command are keys."),
    SERVER("command|info", 0, -2, run_command_info, "[name:bytes...]", "Rows of the table."),
    SERVER("command|list", 0, -2, run_command_list, "[FILTERBY PATTERN pattern:pattern]",
           "The names of all commands."),
    SERVER("config", GROUP, -2, NULL, "", "Commands about the configuration."),
    SERVER("config|help", 0, 2, run_help, "", "These lines."),
    SERVER("config|get", ADMIN, -3, run_config_get, "pattern:pattern...", "Settings."),
    SERVER("config|resetstat", ADMIN, 2, run_config_resetstat, "", "Sets counters to 0."),
    SERVER("config|rewrite", ADMIN, 2, run_config_rewrite, "", "There is no file of settings."),
    SERVER("config|set", ADMIN, -4, run_config_set, "(parameter:bytes value:bytes)...",
           "Changes settings."),
    SERVER("debug", ADMIN, -2, run_debug, "SLEEP|JMAP|OBJECT [word:bytes...]", "For tests."),
    SERVER("function", GROUP, -2, NULL, "", "There are no functions."),
    SERVER("function|help", 0, 2, run_help, "", "These lines."),
    SERVER("function|flush", 0, -2, run_flush_library, "[ASYNC|SYNC]",
           "There are none, so this does nothing."),
    SERVER("function|list", 0, -2, run_empty, "", "There are none."),
    SERVER("info", 0, -1, run_info, "[section:bytes...]", "What the server does, in numbers."),
    SERVER("lastsave", FAST | ADMIN, 1, run_lastsave, "", "When SAVE or BGSAVE last ended."),
    SERVER("latency", GROUP, -2, NULL, "", "Latency is not watched."),
    SERVER("latency|help", 0, 2, run_help, "", "These lines."),
    SERVER("latency|latest", ADMIN, 2, run_empty, "", "Nothing."),
    SERVER("latency|reset", ADMIN, -2, run_zero, "[event:bytes...]", "Nothing to reset."),
    SERVER("role", FAST | ADMIN, 1, run_role, "", "There is no replication: a master."),
    SERVER("save", ADMIN | COMMAND_NO_MULTI, 1, run_save, "", "Brings everything to the disk."),
    SERVER("script", GROUP, -2, NULL, "", "There are no scripts."),
    SERVER("script|help", 0, 2, run_help, "", "These lines."),
    SERVER("script|flush", 0, -2, run_ok, "[ASYNC|SYNC]", "There are none, so this does nothing."),
    SERVER("shutdown", ADMIN | COMMAND_NO_MULTI, -1, run_shutdown, "[NOSAVE|SAVE] [NOW] [FORCE]",
           "Ends the server."),
    SERVER("slowlog", GROUP, -2, NULL, "", "Slow commands are not noted."),
    SERVER("slowlog|help", 0, 2, run_help, "", "These lines."),
    SERVER("slowlog|get", ADMIN, -2, run_slowlog_get, "[count:integer]", "None."),
    SERVER("slowlog|len", ADMIN, 2, run_zero, "", "None."),
    SERVER("slowlog|reset", ADMIN, 2, run_ok, "", "Nothing to reset."),
    SERVER("time", FAST, 1, run_time, "", "The time, in seconds and microseconds."),
    SERVER("wait", 0, 3, run_wait, "numreplicas:integer timeout:integer",
           "There are no replicas: 0."),
};
const size_t server_command_count = sizeof server_commands / sizeof *server_commands;
