/* verify.c - mlkv_verify: a walk over every record of a snapshot.
 *
 * The way: one scan over G and K, which tells what lives there are; one scan over everything, in
 * key order, which checks each record by itself and counts what belongs to each life and blob; then
 * the sums. Blobs (B) come first in key order, so that they are decoded once and what refers to
 * them later is compared with what was found.
 *
 * What is checked:
 *   1. Order and class of record keys; sizes, versions, and reserved bytes of every value; that
 *      cells can be decoded.
 *   2. Each life's number of elements; elements without a life; ids that two keys share; a set's
 *      index, and a sorted set's order, against its members.
 *   3. Tensors: form, chunks, sizes, checksums, the sum of stored bytes; rows beside the chunks.
 *   4. Expiries: keys, and fields of hashes, against the records in order of time.
 *   5. Dictionaries: form, and the table of those in use.
 *   6. Blobs: pieces, checksums, reference counts, blobs that belong to nobody. The number of keys.
 *
 * A record that the store cannot read (its checksum is wrong) ends the walk of its class; the sums
 * are then left out, as they would blame others.
 *
 * Memory: about 120 bytes for each life with elements, 72 for each blob, and the largest value.
 * Locks: none, a snapshot needs none.
 */
#include "types/verify.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

int verify_problem(verifier *self, const char *format, ...)
{
    char text[sizeof self->first_problem];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (self->report.problems++ == 0)
        memcpy(self->first_problem, text, sizeof text);
    return self->callback != NULL && self->callback(self->context, text) != 0 ? MLKV_ABSENT
                                                                              : MLKV_OK;
}

int verify_result(verifier *self, mlkv_slice key, int result)
{
    if (result == MLKV_E_CORRUPT)
        return verify_problem(self, "record '%s': %s", error_quote(key.data, key.size),
                              mlkv_error_detail());
    return result;
}

static int verify_counter(verifier *self, mlkv_slice key, mlkv_slice value)
{
    if (!slice_equal(key, slice_of_text("Ckeys")) || value.size != 8)
        return verify_problem(self, "record '%s' is no counter that this version knows",
                              error_quote(key.data, key.size));
    self->counted_keys = load_le64(value.data);
    return MLKV_OK;
}

static int verify_record(verifier *self, mlkv_slice key, mlkv_slice value)
{
    switch (*(const unsigned char *)key.data) {
    case RECORD_KEY:
        return verify_key(self, key, value);
    case RECORD_EXPIRY:
        return verify_expiry(self, key, value);
    case RECORD_FIELDS_DUE:
        return verify_fields_due(self, key, value);
    case RECORD_FIELD_EXPIRY:
        return verify_field_expiry(self, key, value);
    case RECORD_ROW:
        return verify_row(self, key, value);
    case RECORD_ROWS_OF:
        return verify_rows_of(self, key, value);
    case RECORD_ELEMENT:
    case RECORD_LIST:
    case RECORD_TENSOR:
        return verify_element(self, key, value);
    case RECORD_ORDER:
        return verify_ordered(self, key, value);
    case RECORD_BLOB:
        return verify_blob_piece(self, key, value);
    case RECORD_REFERENCE:
    case RECORD_WASTE:
    case RECORD_NOTE:
        return verify_blob_id(self, key, value);
    case RECORD_DICTIONARY:
        return verify_dictionary(self, key, value);
    case RECORD_COUNTER:
        return verify_counter(self, key, value);
    case RECORD_GARBAGE: /* looked at before the walk */
    case RECORD_SYSTEM:  /* the store's own: it refuses to open with bad ones */
        return MLKV_OK;
    default:
        return verify_problem(self, "record '%s' has a class that this version does not write",
                              error_quote(key.data, key.size));
    }
}

/* Checks the order, and keeps the key. */
static int verify_order(verifier *self, mlkv_slice key)
{
    int result = MLKV_OK;
    if (key.size == 0 || key.size > RECORD_KEY_SIZE_MAX)
        result = verify_problem(self, "a record key has %zu bytes", key.size);
    else if (self->last_key.size != 0 && slice_compare(slice_of_buffer(&self->last_key), key) >= 0)
        result = verify_problem(self, "record '%s' stands behind a record that is not before it",
                                error_quote(key.data, key.size));
    return result != MLKV_OK ? result : buffer_assign(&self->last_key, key.data, key.size);
}

/* Walks until the end, a failure, or an unreadable record (MLKV_E_CORRUPT). */
static int walk_from(verifier *self, mlkv_slice after)
{
    mlkv_slice key, value;
    int result = scan_open(self->view, slice_of(NULL, 0), after, &self->records);
    while (result == MLKV_OK) {
        result = scan_next(self->records, &key, &value);
        if (result != MLKV_OK) {
            result = result == MLKV_ABSENT ? MLKV_OK : result;
            break;
        }
        self->report.records++;
        self->report.bytes += key.size + value.size;
        result = verify_order(self, key);
        if (result == MLKV_OK && key.size != 0)
            result = verify_record(self, key, value);
    }
    scan_close(self->records);
    self->records = NULL;
    return result;
}

/* Tells once of the records that cannot be read behind the last one that could. */
static int unreadable(verifier *self, uint64_t *told_at)
{
    bool told = self->partial && *told_at == self->report.records;
    self->partial = true;
    *told_at = self->report.records;
    if (told)
        return MLKV_OK;
    return verify_problem(
        self, "a record behind '%s' cannot be read, and the rest of its class is passed over: %s",
        error_quote(self->last_key.data, self->last_key.size), mlkv_error_detail());
}

/* Everything; after an unreadable record from the next class on. */
static int walk(verifier *self)
{
    unsigned char after[RECORD_KEY_SIZE_MAX];
    size_t after_size = 0;
    uint64_t told_at = 0;
    for (;;) {
        int result = walk_from(self, slice_of(after, after_size));
        if (result != MLKV_E_CORRUPT)
            return result;
        result = unreadable(self, &told_at);
        unsigned char last = self->last_key.size != 0 ? *(unsigned char *)self->last_key.data : 0;
        unsigned char class =
            after_size != 0 && after[0] >= last ? (unsigned char)(after[0] + 1) : last;
        if (result != MLKV_OK || class == 0xff)
            return result;
        memset(after, 0xff, sizeof after);
        after[0] = class;
        after_size = sizeof after;
    }
}

static int verify_sums(verifier *self)
{
    if (self->partial)
        return MLKV_OK;
    int result = MLKV_OK;
    if (self->counted_keys != self->report.keys)
        result = verify_problem(self, "the store counts %llu keys, %llu are there",
                                (unsigned long long)self->counted_keys,
                                (unsigned long long)self->report.keys);
    if (result == MLKV_OK)
        result = verify_lives_end(self);
    return result != MLKV_OK ? result : verify_blobs_end(self);
}

/* A snapshot of a live view; other views are walked as they are. */
static int choose_view(mlkv *db, mlkv **ret_view, mlkv **ret_owned)
{
    mlkv *snapshot = NULL;
    int result = mlkv_snapshot(db, &snapshot);
    if (result == MLKV_OK) {
        *ret_view = *ret_owned = snapshot;
    } else if (result == MLKV_E_ARGUMENT && db != NULL) {
        *ret_view = db;
        result = MLKV_OK;
    }
    return result;
}

int mlkv_verify(mlkv *db, mlkv_verify_callback callback, void *context, mlkv_report *ret_report)
{
    verifier self = {.callback = callback,
                     .context = context,
                     .lives.item_size = sizeof(verify_life),
                     .blobs.item_size = sizeof(verify_blob)};
    mlkv *owned = NULL;
    if (ret_report != NULL && ret_report->size != sizeof *ret_report)
        return error_set(MLKV_E_ARGUMENT,
                         "the size of the mlkv_report is not one that this library knows");
    int result = choose_view(db, &self.view, &owned);
    if (result != MLKV_OK)
        return result;
    self.report.size = sizeof self.report;
    result = verify_lives_begin(&self);
    if (result == MLKV_OK)
        result = walk(&self);
    if (result == MLKV_OK)
        result = verify_sums(&self);
    for (size_t i = 0; i < self.blobs.count; i++)
        self.report.blobs += ((const verify_blob *)(const void *)self.blobs.items)[i].has_pieces;
    id_map_done(&self.lives);
    id_map_done(&self.blobs);
    mlkv_buffer_free(&self.raw);
    mlkv_buffer_free(&self.last_key);
    int closed = mlkv_close(owned);
    if (result < 0)
        return result;
    if (ret_report != NULL)
        *ret_report = self.report;
    if (self.report.problems != 0)
        return error_set(MLKV_E_CORRUPT, "%s", self.first_problem);
    return closed;
}
