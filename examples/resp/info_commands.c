/* info_commands.c - INFO: what the server and its store do, in numbers.
 *
 * Redis's names where they mean the same; what is the library's own stands in the section mlkv, with the names of mlkv_stats.
 */
#include "server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

typedef struct {
    const server *server;
    const mlkv_stats *stats;
    mlkv_buffer *text;
} info_context;

typedef bool info_section(const info_context *c);

static bool section_server(const info_context *c)
{
    struct utsname host = {0};
    int64_t up = (now_ms() - c->server->started_ms) / 1000;
    (void)uname(&host);
    return text_add(
        c->text,
        "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nmlkv_version:%s\r\nos:%s %s "
        "%s\r\narch_bits:%zu\r\n"
        "multiplexing_api:libuv\r\nprocess_id:%ld\r\nrun_id:%s\r\ntcp_port:%d\r\nuptime_in_seconds:"
        "%" PRId64 "\r\nuptime_in_days:%" PRId64 "\r\nconfig_file:\r\n",
        mlkv_version(), host.sysname, host.release, host.machine, sizeof(void *) * 8,
        (long)getpid(), c->server->run_id,
        c->server->options.port > 0 ? c->server->options.port : 0, up, up / 86400);
}

static bool section_clients(const info_context *c)
{
    size_t in = 0, out = 0;
    for (const client *one = c->server->clients; one != NULL; one = one->next) {
        in = one->in.capacity > in ? one->in.capacity : in;
        out = one->out.bytes.capacity > out ? one->out.bytes.capacity : out;
    }
    return text_add(
        c->text,
        "# Clients\r\nconnected_clients:%" PRId64 "\r\ncluster_connections:0\r\nmaxclients:%" PRId64
        "\r\nclient_recent_max_input_buffer:%zu\r\nclient_recent_max_output_buffer:%zu\r\nblocked_"
        "clients:%" PRId64 "\r\ntracking_clients:0\r\nclients_in_timeout_table:0\r\n",
        c->server->client_count, c->server->options.clients_max, in, out, parked_count(c->server));
}

/* Bytes of memory of this process: now, and at most. */
static void resident(uint64_t *ret_now, uint64_t *ret_most)
{
    struct rusage usage = {0};
    unsigned long long pages = 0, unused = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    *ret_now = 0;
    if (file != NULL) {
        if (fscanf(file, "%llu %llu", &unused, &pages) == 2)
            *ret_now = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
        (void)fclose(file);
    }
    (void)getrusage(RUSAGE_SELF, &usage);
    *ret_most = (uint64_t)usage.ru_maxrss * 1024;
}

static bool section_memory(const info_context *c)
{
    uint64_t now, most;
    resident(&now, &most);
    uint64_t used = c->stats->cache_bytes + c->server->clients_bytes;
    return text_add(c->text,
                    "# Memory\r\nused_memory:%" PRIu64
                    "\r\nused_memory_human:%.2fM\r\nused_memory_rss:%" PRIu64
                    "\r\nused_memory_rss_human:%.2fM\r\nused_memory_peak:%" PRIu64
                    "\r\nused_memory_peak_human:%.2fM\r\nmaxmemory:0\r\n"
                    "maxmemory_human:0B\r\nmaxmemory_policy:noeviction\r\nmem_clients_normal:%"
                    "zu\r\nmem_allocator:libc\r\n"
                    "lazyfree_pending_objects:0\r\n",
                    used, (double)used / 1048576, now, (double)now / 1048576, most,
                    (double)most / 1048576, c->server->clients_bytes);
}

static bool section_persistence(const info_context *c)
{
    return text_add(
        c->text,
        "# Persistence\r\nloading:0\r\nasync_loading:0\r\nrdb_changes_since_last_save:%" PRIu64
        "\r\nrdb_bgsave_in_progress:0\r\nrdb_last_save_time:%" PRId64
        "\r\nrdb_last_bgsave_status:ok\r\naof_enabled:0\r\naof_rewrite_in_progress:0\r\naof_last_"
        "write_status:ok\r\n",
        c->stats->tail - c->stats->applied, c->server->saved_at);
}

static bool section_stats(const info_context *c)
{
    return text_add(c->text,
                    "# Stats\r\ntotal_connections_received:%" PRIu64
                    "\r\ntotal_commands_processed:%" PRIu64 "\r\ntotal_net_input_bytes:%" PRIu64
                    "\r\ntotal_net_output_bytes:%" PRIu64 "\r\nrejected_connections:%" PRIu64
                    "\r\nevicted_clients:%" PRIu64 "\r\nevicted_keys:0\r\nkeyspace_hits:%" PRIu64
                    "\r\nkeyspace_misses:%" PRIu64 "\r\npubsub_channels:0\r\npubsub_patterns:0\r\n",
                    c->server->connections_received, c->server->commands_run,
                    c->server->input_bytes, c->server->output_bytes,
                    c->server->connections_rejected, c->server->evicted_clients,
                    c->stats->cache_hits, c->stats->cache_misses);
}

static bool section_replication(const info_context *c)
{
    return text_add(c->text,
                    "# "
                    "Replication\r\nrole:master\r\nconnected_slaves:0\r\nmaster_failover_state:no-"
                    "failover\r\nmaster_replid:%s\r\n"
                    "master_repl_offset:0\r\nsecond_repl_offset:-1\r\nrepl_backlog_active:0\r\n",
                    c->server->run_id);
}

static bool section_cpu(const info_context *c)
{
    struct rusage usage = {0};
    (void)getrusage(RUSAGE_SELF, &usage);
    return text_add(c->text, "# CPU\r\nused_cpu_sys:%lld.%06ld\r\nused_cpu_user:%lld.%06ld\r\n",
                    (long long)usage.ru_stime.tv_sec, (long)usage.ru_stime.tv_usec,
                    (long long)usage.ru_utime.tv_sec, (long)usage.ru_utime.tv_usec);
}

static bool section_modules(const info_context *c)
{
    return text_add(c->text, "# Modules\r\n");
}

static bool section_errorstats(const info_context *c)
{
    return text_add(c->text, "# Errorstats\r\n");
}

static bool section_commandstats(const info_context *c)
{
    bool done = text_add(c->text, "# Commandstats\r\n");
    const command *row;
    for (size_t i = 0; (row = command_at(i)) != NULL && done; i++)
        if (row->calls != 0)
            done =
                text_add(c->text, "cmdstat_%s:calls=%" PRIu64 "\r\n", row->info.name, row->calls);
    return done;
}

static bool section_cluster(const info_context *c)
{
    return text_add(c->text, "# Cluster\r\ncluster_enabled:0\r\n");
}

static bool section_keyspace(const info_context *c)
{
    bool done = text_add(c->text, "# Keyspace\r\n");
    if (done && c->stats->keys != 0)
        done = text_add(c->text, "db0:keys=%" PRIu64 ",expires=0,avg_ttl=0\r\n", c->stats->keys);
    return done;
}

static bool section_mlkv(const info_context *c)
{
    const mlkv_stats *s = c->stats;
    return text_add(
        c->text,
        "# mlkv\r\nfolder:%s\r\ncache_bytes:%" PRIu64 "\r\ncache_bytes_max:%" PRIu64
        "\r\ncache_hits:%" PRIu64 "\r\ncache_misses:%" PRIu64 "\r\npending_hits:%" PRIu64
        "\r\nring_bytes:%" PRIu64 "\r\nring_used_bytes:%" PRIu64 "\r\ntail:%" PRIu64
        "\r\napplied:%" PRIu64 "\r\nsynced:%" PRIu64 "\r\nframes_appended:%" PRIu64
        "\r\nframes_caught_up:%" PRIu64 "\r\nbatches_applied:%" PRIu64
        "\r\nrecords_applied:%" PRIu64 "\r\nthrottled:%" PRIu64 "\r\novertaken:%" PRIu64
        "\r\nreaders:%" PRIu64 "\r\nstore_bytes:%" PRIu64 "\r\nstore_disk_bytes:%" PRIu64
        "\r\nstore_free_bytes:%" PRIu64 "\r\nblobs_written:%" PRIu64 "\r\n",
        c->server->options.folder, s->cache_bytes, s->cache_bytes_max, s->cache_hits,
        s->cache_misses, s->pending_hits, s->ring_bytes, s->ring_used_bytes, s->tail, s->applied,
        s->synced, s->frames_appended, s->frames_caught_up, s->batches_applied, s->records_applied,
        s->throttled, s->overtaken, s->readers, s->store_bytes, s->store_disk_bytes,
        s->store_free_bytes, s->blobs_written);
}

static const struct {
    const char *name;
    info_section *write;
    bool asked_only; /* not part of the default sections */
} sections[] = {
    {"server", section_server, false},
    {"clients", section_clients, false},
    {"memory", section_memory, false},
    {"persistence", section_persistence, false},
    {"stats", section_stats, false},
    {"replication", section_replication, false},
    {"cpu", section_cpu, false},
    {"modules", section_modules, false},
    {"commandstats", section_commandstats, true},
    {"errorstats", section_errorstats, false},
    {"cluster", section_cluster, false},
    {"keyspace", section_keyspace, false},
    {"mlkv", section_mlkv, false},
};

static bool is_wanted(size_t i, const mlkv_slice *words, size_t n)
{
    bool wanted = n == 1 && !sections[i].asked_only;
    for (size_t w = 1; w < n && !wanted; w++)
        wanted = slice_is(words[w], sections[i].name) || slice_is(words[w], "all") ||
                 slice_is(words[w], "everything") ||
                 (slice_is(words[w], "default") && !sections[i].asked_only);
    return wanted;
}

void run_info(client *self, const mlkv_slice *words, size_t n)
{
    mlkv_stats stats = {.size = sizeof stats};
    mlkv_buffer text = {0};
    bool done = true;
    int result = mlkv_stats_get(self->server->db, &stats);
    if (result != MLKV_OK) {
        dispatch_refused(self, result);
        return;
    }
    info_context context = {self->server, &stats, &text};
    for (size_t i = 0; i < sizeof sections / sizeof *sections && done; i++) {
        if (!is_wanted(i, words, n))
            continue;
        if (text.size != 0)
            done = text_add(&text, "\r\n");
        done = done && sections[i].write(&context);
    }
    if (done)
        wire_lines(&self->out, (mlkv_slice){text.data, text.size});
    else
        self->out.failed = true;
    mlkv_buffer_free(&text);
}
