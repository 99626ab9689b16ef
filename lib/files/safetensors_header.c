/* safetensors_header.c - the header of a safetensors file, which is a stranger's when it is read.
 *
 * The bytes are described in safetensors.h. The grammar is walked by hand (json.h), two levels deep.
 *
 * Invariants of a header that was accepted:
 *  1. Names are valid UTF-8 and differ; so do those of the metadata, which are texts.
 *  2. Each tensor has a dtype that the library has, up to 8 dimensions, and exactly the bytes that they make; no product overflows.
 *  3. Sorted by place, the tensors begin at 0, follow each other without a gap, and end at the end of the data.
 *
 * State: the caller's header. Locks: none.
 */
#include "files/safetensors.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>

#define BYTES_END \
    ((uint64_t)1  \
     << 62) /* the library's limit: the product of all extents but 0, times the element */
#define METADATA   "__metadata__"
#define NAMES_MADE 3 /* dtype, shape, data_offsets */

/* The order is the reference implementation's. */
static const struct {
    const char *name;
    mlkv_dtype dtype;
} dtypes[] = {
    {"BOOL", MLKV_BOOL},      {"U8", MLKV_U8},   {"I8", MLKV_I8},   {"F8_E5M2", MLKV_F8E5M2},
    {"F8_E4M3", MLKV_F8E4M3}, {"I16", MLKV_I16}, {"U16", MLKV_U16}, {"F16", MLKV_F16},
    {"BF16", MLKV_BF16},      {"I32", MLKV_I32}, {"U32", MLKV_U32}, {"F32", MLKV_F32},
    {"C64", MLKV_C64},        {"F64", MLKV_F64}, {"I64", MLKV_I64}, {"U64", MLKV_U64},
};

enum { DTYPES = sizeof dtypes / sizeof dtypes[0] };

const char *safetensors_dtype(int dtype, int *ret_rank)
{
    for (int i = 0; i < DTYPES; i++) {
        if ((int)dtypes[i].dtype == dtype) {
            *ret_rank = i;
            return dtypes[i].name;
        }
    }
    return NULL;
}

/* --- reading --- */

static int find_dtype(mlkv_slice name, int32_t *ret_dtype)
{
    for (size_t i = 0; i < DTYPES; i++) {
        if (slice_equal(name, slice_of_text(dtypes[i].name))) {
            *ret_dtype = (int32_t)dtypes[i].dtype;
            return MLKV_OK;
        }
    }
    return error_set(MLKV_E_FORMAT, "the dtype '%s', which the library does not have",
                     error_quote(name.data, name.size));
}

/* Bytes of a shape, or MLKV_E_FORMAT. */
static int measure(const mlkv_tensor *tensor, uint64_t *ret_bytes)
{
    uint64_t bytes = mlkv_dtype_size((mlkv_dtype)tensor->dtype);
    bool empty = false;
    for (uint32_t i = 0; i < tensor->dimensions; i++) {
        uint64_t extent = tensor->shape[i];
        empty = empty || extent == 0;
        if (extent != 0 && (__builtin_mul_overflow(bytes, extent, &bytes) || bytes >= BYTES_END))
            return error_set(MLKV_E_FORMAT, "a shape that is too large");
    }
    *ret_bytes = empty ? 0 : bytes;
    return MLKV_OK;
}

typedef struct {
    bool seen[NAMES_MADE];
    json_string dtype;
    uint64_t offsets[2];
    size_t offset_count, dimensions;
} entry_fields;

static const char *const field_names[NAMES_MADE] = {"dtype", "shape", "data_offsets"};

static int read_field(json_reader *reader, mlkv_slice name, entry_fields *fields,
                      safetensors_entry *entry)
{
    size_t field = 0;
    while (field < NAMES_MADE && !slice_equal(name, slice_of_text(field_names[field])))
        field++;
    if (field == NAMES_MADE)
        return error_set(MLKV_E_FORMAT, "the unknown field '%s'",
                         error_quote(name.data, name.size));
    if (fields->seen[field])
        return error_set(MLKV_E_FORMAT, "%s is there twice", field_names[field]);
    fields->seen[field] = true;
    if (field == 0)
        return json_read_string(reader, &fields->dtype);
    if (field == 1)
        return json_read_numbers(reader, MLKV_DIMENSIONS_MAX, entry->tensor.shape,
                                 &fields->dimensions);
    return json_read_numbers(reader, 2, fields->offsets, &fields->offset_count);
}

static int check_entry(json_reader *reader, const entry_fields *fields, safetensors_entry *entry)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < NAMES_MADE; i++)
        if (!fields->seen[i])
            return error_set(MLKV_E_FORMAT, "no %s", field_names[i]);
    int result = find_dtype(json_slice(reader, fields->dtype), &entry->tensor.dtype);
    entry->tensor.dimensions = (uint32_t)fields->dimensions;
    if (result == MLKV_OK)
        result = measure(&entry->tensor, &bytes);
    if (result == MLKV_OK && fields->offset_count != 2)
        result = error_set(MLKV_E_FORMAT, "data_offsets that are not two");
    if (result != MLKV_OK)
        return result;
    entry->first = fields->offsets[0];
    entry->end = fields->offsets[1];
    if (entry->end < entry->first || entry->end - entry->first != bytes)
        return error_set(MLKV_E_FORMAT, "bytes %llu to %llu for %llu bytes of data",
                         (unsigned long long)entry->first, (unsigned long long)entry->end,
                         (unsigned long long)bytes);
    return MLKV_OK;
}

static int read_entry(json_reader *reader, json_string name, safetensors_header *self)
{
    entry_fields fields = {0};
    safetensors_entry entry = {.name = name};
    json_string field;
    bool first = true;
    size_t kept = self->strings.size;
    int result = json_next_member(reader, &first, &field);
    while (result == MLKV_OK) {
        result = read_field(reader, json_slice(reader, field), &fields, &entry);
        if (result == MLKV_OK)
            result = json_next_member(reader, &first, &field);
    }
    if (result == MLKV_ABSENT)
        result = check_entry(reader, &fields, &entry);
    if (result == MLKV_OK)
        result = buffer_append(&self->entries, &entry, sizeof entry);
    if (result == MLKV_OK)
        self->strings.size = kept; /* the fields' names are not needed any more */
    return result;
}

static int read_metadata(json_reader *reader, safetensors_header *self)
{
    safetensors_text text;
    bool first = true;
    int result = json_next_member(reader, &first, &text.name);
    while (result == MLKV_OK) {
        result = json_read_string(reader, &text.text);
        if (result == MLKV_OK)
            result = buffer_append(&self->metadata, &text, sizeof text);
        if (result == MLKV_OK)
            result = json_next_member(reader, &first, &text.name);
    }
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int read_member(json_reader *reader, json_string name, bool *seen_metadata,
                       safetensors_header *self)
{
    mlkv_slice text = json_slice(reader, name);
    bool is_metadata = slice_equal(text, slice_of_text(METADATA));
    if (is_metadata && *seen_metadata)
        return error_set(MLKV_E_FORMAT, "'" METADATA "' is there twice");
    *seen_metadata = *seen_metadata || is_metadata;
    int result = is_metadata ? read_metadata(reader, self) : read_entry(reader, name, self);
    text = json_slice(reader, name); /* the buffer may have moved */
    return result != MLKV_E_FORMAT
               ? result
               : error_set(result, "%s'%s': %s", is_metadata ? "" : "the tensor ",
                           error_quote(text.data, text.size), mlkv_error_detail());
}

/* --- what all tensors together must be --- */

typedef struct {
    const safetensors_entry *entry;
    mlkv_slice name;
} sorted_row;

static int by_place(const void *left, const void *right)
{
    const safetensors_entry *a = ((const sorted_row *)left)->entry;
    const safetensors_entry *b = ((const sorted_row *)right)->entry;
    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    return (a->end > b->end) - (a->end < b->end);
}

static int by_name(const void *left, const void *right)
{
    return slice_compare(((const sorted_row *)left)->name, ((const sorted_row *)right)->name);
}

static int check_names(sorted_row *rows, size_t n)
{
    qsort(rows, n, sizeof *rows, by_name);
    for (size_t i = 1; i < n; i++)
        if (slice_equal(rows[i - 1].name, rows[i].name))
            return error_set(MLKV_E_FORMAT, "'%s' is there twice",
                             error_quote(rows[i].name.data, rows[i].name.size));
    return MLKV_OK;
}

static int check_cover(sorted_row *rows, size_t n, uint64_t data_size)
{
    uint64_t at = 0;
    qsort(rows, n, sizeof *rows, by_place);
    for (size_t i = 0; i < n; i++) {
        const safetensors_entry *entry = rows[i].entry;
        const char *name = error_quote(rows[i].name.data, rows[i].name.size);
        if (entry->first < at)
            return error_set(MLKV_E_FORMAT, "the tensor '%s' overlaps another one", name);
        if (entry->first > at)
            return error_set(MLKV_E_FORMAT,
                             "the tensor '%s' leaves %llu bytes before it to no tensor", name,
                             (unsigned long long)(entry->first - at));
        at = entry->end;
    }
    return at == data_size
               ? MLKV_OK
               : error_set(MLKV_E_FORMAT, "its tensors have %llu bytes, and %llu are there",
                           (unsigned long long)at, (unsigned long long)data_size);
}

static int check_all(const safetensors_header *self, uint64_t data_size)
{
    size_t n = safetensors_count(self);
    size_t texts = self->metadata.size / sizeof(safetensors_text);
    const safetensors_text *metadata = self->metadata.data;
    sorted_row *rows = calloc((n > texts ? n : texts) + 1, sizeof *rows);
    if (rows == NULL)
        return error_set_memory("a file's header");
    for (size_t i = 0; i < texts; i++)
        rows[i].name = safetensors_slice(self, metadata[i].name);
    int result = check_names(rows, texts);
    for (size_t i = 0; i < n; i++) {
        rows[i].entry = safetensors_entry_at(self, i);
        rows[i].name = safetensors_slice(self, rows[i].entry->name);
    }
    if (result == MLKV_OK)
        result = check_names(rows, n);
    if (result == MLKV_OK)
        result = check_cover(rows, n, data_size);
    free(rows);
    return result;
}

int safetensors_read(mlkv_slice text, uint64_t data_size, safetensors_header *self)
{
    json_reader reader = {.text = text.data, .size = text.size, .strings = &self->strings};
    json_string name;
    bool first = true, seen_metadata = false;
    if (text.size == 0 || reader.text[0] != '{')
        return error_set(MLKV_E_FORMAT, "it does not begin with '{'");
    int result = json_next_member(&reader, &first, &name);
    while (result == MLKV_OK) {
        result = read_member(&reader, name, &seen_metadata, self);
        if (result == MLKV_OK)
            result = json_next_member(&reader, &first, &name);
    }
    if (result != MLKV_ABSENT)
        return result;
    json_skip(&reader);
    if (reader.at != reader.size)
        return error_set(MLKV_E_FORMAT, "something stands behind its end, at byte %zu", reader.at);
    return check_all(self, data_size);
}

void safetensors_done(safetensors_header *self)
{
    mlkv_buffer_free(&self->strings);
    mlkv_buffer_free(&self->entries);
    mlkv_buffer_free(&self->metadata);
}

size_t safetensors_count(const safetensors_header *self)
{
    return self->entries.size / sizeof(safetensors_entry);
}

const safetensors_entry *safetensors_entry_at(const safetensors_header *self, size_t i)
{
    return (const safetensors_entry *)self->entries.data + i;
}

mlkv_slice safetensors_slice(const safetensors_header *self, json_string string)
{
    return string.size == 0 ? slice_of(NULL, 0)
                            : slice_of((const char *)self->strings.data + string.at, string.size);
}

/* --- writing --- */

static int append_text(mlkv_buffer *out, const char *text)
{
    return buffer_append(out, text, strlen(text));
}

static int append_row(mlkv_buffer *out, const safetensors_row *row, uint64_t *at)
{
    char text[64];
    int rank;
    int result = json_append_string(out, row->name);
    (void)snprintf(text, sizeof text, ":{\"dtype\":\"%s\",\"shape\":[",
                   safetensors_dtype(row->tensor.dtype, &rank));
    if (result == MLKV_OK)
        result = append_text(out, text);
    for (uint32_t i = 0; i < row->tensor.dimensions && result == MLKV_OK; i++) {
        (void)snprintf(text, sizeof text, "%s%llu", i == 0 ? "" : ",",
                       (unsigned long long)row->tensor.shape[i]);
        result = append_text(out, text);
    }
    (void)snprintf(text, sizeof text, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)*at,
                   (unsigned long long)(*at + row->bytes));
    *at += row->bytes;
    return result != MLKV_OK ? result : append_text(out, text);
}

static int append_metadata(mlkv_buffer *out, const mlkv_pair *metadata, size_t n)
{
    int result = append_text(out, "\"" METADATA "\":{");
    for (size_t i = 0; i < n && result == MLKV_OK; i++) {
        if (i != 0)
            result = append_text(out, ",");
        if (result == MLKV_OK)
            result = json_append_string(out, metadata[i].name);
        if (result == MLKV_OK)
            result = append_text(out, ":");
        if (result == MLKV_OK)
            result = json_append_string(out, metadata[i].value);
    }
    return result != MLKV_OK ? result : append_text(out, "}");
}

static int finish(mlkv_buffer *out)
{
    size_t size = round_up(out->size, FILES_ALIGN);
    if (size - SAFETENSORS_SIZE > SAFETENSORS_HEADER_MAX)
        return error_set(MLKV_E_ARGUMENT, "the header would have %zu bytes, and %d are the most",
                         size - SAFETENSORS_SIZE, SAFETENSORS_HEADER_MAX);
    size_t blanks = size - out->size;
    if (blanks != 0) {
        void *to = buffer_extend(out, blanks);
        if (to == NULL)
            return error_set_memory("a file's header");
        memset(to, ' ', blanks);
    }
    store_le64(out->data, size - SAFETENSORS_SIZE);
    return MLKV_OK;
}

int safetensors_write(const safetensors_row *rows, size_t n, const mlkv_pair *metadata,
                      size_t metadata_n, mlkv_buffer *ret_bytes)
{
    uint64_t at = 0;
    unsigned char size[SAFETENSORS_SIZE] = {0};
    int result = buffer_assign(ret_bytes, size, sizeof size);
    if (result == MLKV_OK)
        result = append_text(ret_bytes, "{");
    if (result == MLKV_OK && metadata_n != 0)
        result = append_metadata(ret_bytes, metadata, metadata_n);
    for (size_t i = 0; i < n && result == MLKV_OK; i++) {
        if (i != 0 || metadata_n != 0)
            result = append_text(ret_bytes, ",");
        if (result == MLKV_OK)
            result = append_row(ret_bytes, &rows[i], &at);
    }
    if (result == MLKV_OK)
        result = append_text(ret_bytes, "}");
    return result != MLKV_OK ? result : finish(ret_bytes);
}
