/* mlkv_salvage.c - mlkv-salvage DAMAGED NEW: makes the new store NEW of what is left of the store
 * DAMAGED, which is only read.
 *
 * Prints a sentence for each thing that was lost or repaired, and a summary; then reads the new store
 * once more (mlkv_verify). Exit status: 0 everything was rescued; 1 something is lost, or uncertain; 2
 * nothing was made, the reason is on standard error. Mirrors redis-check-aof --fix. */
#include <mlkv/mlkv.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ALL_RESCUED = 0, SOMETHING_LOST = 1, FAILED = 2 };

static const char usage[] =
    "usage: mlkv-salvage DAMAGED NEW\n"
    "Makes the store NEW, a folder that is empty or not there, of what is left of the store "
    "DAMAGED.\n"
    "Exit status: 0 everything was rescued, 1 something is lost, 2 failed.\n";

static int tell(void *context, int lost, const char *sentence)
{
    (void)context;
    printf("%s: %s\n", lost ? "lost" : "note", sentence);
    return 0;
}

static void summarize(const mlkv_salvage_report *report)
{
    printf("found: %" PRIu64 " records in %" PRIu64 " pages, %" PRIu64 " of them damaged; %" PRIu64
           " writes in the journal\n",
           report->records_found, report->pages, report->pages_damaged, report->frames);
    printf("rescued: %" PRIu64 " keys, %" PRIu64 " elements, %" PRIu64 " blobs\n", report->keys,
           report->elements, report->blobs);
    if (report->losses == 0)
        printf("lost: nothing\n");
    else
        printf("lost: %" PRIu64 " records, %" PRIu64 " keys known by name, %" PRIu64
               " elements; uncertain: %" PRIu64 " records\n",
               report->records_lost, report->keys_lost, report->elements_lost, report->uncertain);
}

static int fail(const char *what, int result)
{
    fprintf(stderr, "mlkv-salvage: %s: %s (%s)\n", what, mlkv_error_detail(),
            mlkv_error_name(result));
    return FAILED;
}

static int verify(const char *path)
{
    mlkv *db = NULL;
    mlkv_options options = {.size = sizeof options, .flags = MLKV_READ_ONLY};
    int result = mlkv_open(path, &options, &db);
    if (result == MLKV_OK)
        result = mlkv_verify(db, NULL, NULL, NULL);
    if (result != MLKV_OK)
        (void)fail("verifying the new store", result);
    int closed = mlkv_close(db);
    return result != MLKV_OK ? result : closed;
}

int main(int argc, char **argv)
{
    mlkv_salvage_report report = {.size = sizeof report};
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(usage, stdout);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("mlkv-salvage %s\n", mlkv_version());
        return 0;
    }
    if (argc != 3 || argv[1][0] == '-' || argv[2][0] == '-') {
        fputs(usage, stderr);
        return FAILED;
    }
    int result = mlkv_salvage(argv[1], argv[2], tell, NULL, &report);
    if (result != MLKV_OK)
        return fail(argv[1], result);
    summarize(&report);
    if (fflush(stdout) != 0 || verify(argv[2]) != MLKV_OK)
        return FAILED;
    return report.losses == 0 && report.uncertain == 0 ? ALL_RESCUED : SOMETHING_LOST;
}
