/* layout.c - names to record keys and back, and the header of a K value.
 *
 * It owns no state: bytes in, bytes out. The byte tables are in layout.h. Three kinds of record key are built here:
 *   named    head, name                      K name | Q name | E id name | O id score name
 *   long     head, name's begin, digest      the same when head + name would reach 511 bytes; exactly 511 bytes
 *   numbered class, id, index (big-endian)   L, T; P with a second index; without one G, R, W and the prefixes of E, L, T scans
 *
 * Invariants
 *   1. A record key of 511 bytes is long, a shorter one is not: whoever reads a record sees from its key where the name stands.
 *   2. A long key keeps as many first bytes of the name as fit, so that prefix scans find long names too.
 *   3. Readers take untrusted bytes: every length is checked against what is there.
 */
#include "types/layout.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"

enum {
    DIGEST_SIZE = 16,
    HEAD_SIZE_ELEMENT = 9,
    NAME_HEAD_SIZE = 4,
    LAYOUT_VERSION = 1,
    LAYOUT_VERSION_MORE = 2 /* something stands in front of the own part */
};

enum { FIELD_EXPIRES = 16 }; /* no cell's kind (codec/cell.h) */

_Static_assert(NAME_SIZE_MAX < UINT32_MAX, "a name's size is stored in 4 bytes");

/* Appends the name to the head that stands in key->bytes. */
static int append_name(record_key *key, size_t head_size, mlkv_slice name)
{
    if (name.size > NAME_SIZE_MAX)
        return error_set(MLKV_E_SIZE,
                         "a name of %zu bytes (\"%s...\") is larger than the limit, %d", name.size,
                         error_quote(name.data, name.size), NAME_SIZE_MAX);
    key->is_long = head_size + name.size >= RECORD_KEY_SIZE_MAX;
    if (!key->is_long) {
        bytes_copy(key->bytes + head_size, name.data, name.size);
        key->size = (uint16_t)(head_size + name.size);
        return MLKV_OK;
    }
    memcpy(key->bytes + head_size, name.data, RECORD_KEY_SIZE_MAX - head_size - DIGEST_SIZE);
    hash_digest(name.data, name.size, key->bytes + RECORD_KEY_SIZE_MAX - DIGEST_SIZE);
    key->size = RECORD_KEY_SIZE_MAX;
    return MLKV_OK;
}

int layout_key(mlkv_slice name, record_key *ret_key)
{
    ret_key->bytes[0] = RECORD_KEY;
    return append_name(ret_key, 1, name);
}

int layout_rows_of(mlkv_slice name, record_key *ret_key)
{
    ret_key->bytes[0] = RECORD_ROWS_OF;
    return append_name(ret_key, 1, name);
}

int layout_element(uint64_t id, mlkv_slice name, record_key *ret_key)
{
    ret_key->bytes[0] = RECORD_ELEMENT;
    store_be64(ret_key->bytes + 1, id);
    return append_name(ret_key, HEAD_SIZE_ELEMENT, name);
}

int layout_ordered(uint64_t id, uint64_t score_bits, mlkv_slice name, record_key *ret_key)
{
    ret_key->bytes[0] = RECORD_ORDER;
    store_be64(ret_key->bytes + 1, id);
    store_be64(ret_key->bytes + HEAD_SIZE_ELEMENT, score_bits);
    return append_name(ret_key, LAYOUT_ORDER_HEAD_SIZE, name);
}

int layout_field_expiry(uint64_t id, int64_t at_ms, mlkv_slice name, record_key *ret_key)
{
    int result = layout_ordered(id, (uint64_t)at_ms, name, ret_key);
    ret_key->bytes[0] = RECORD_FIELD_EXPIRY;
    return result;
}

uint64_t layout_score_bits(double score)
{
    uint64_t bits;
    memcpy(&bits, &score, sizeof bits);
    if (score == 0)
        bits = 0; /* -0.0 */
    return bits >> 63 != 0 ? ~bits : bits | (uint64_t)1 << 63;
}

double layout_bits_score(uint64_t bits)
{
    double score;
    bits = bits >> 63 != 0 ? bits & ~((uint64_t)1 << 63) : ~bits;
    memcpy(&score, &bits, sizeof score);
    return score;
}

void layout_id(int record_class, uint64_t id, record_key *ret_key)
{
    ret_key->bytes[0] = (unsigned char)record_class;
    store_be64(ret_key->bytes + 1, id);
    ret_key->size = 9;
    ret_key->is_long = false;
}

void layout_indexed(int record_class, uint64_t id, uint64_t index, record_key *ret_key)
{
    layout_id(record_class, id, ret_key);
    store_be64(ret_key->bytes + 9, index);
    ret_key->size = 17;
}

void layout_row(uint64_t id, uint64_t chunk, uint64_t row, record_key *ret_key)
{
    layout_indexed(RECORD_ROW, id, chunk, ret_key);
    store_be64(ret_key->bytes + 17, row);
    ret_key->size = LAYOUT_ROW_KEY_SIZE;
}

size_t layout_name_begin(size_t head_size, mlkv_slice name)
{
    size_t kept = RECORD_KEY_SIZE_MAX - DIGEST_SIZE - head_size;
    return name.size < kept ? name.size : kept;
}

void layout_write_header(const key_header *header, unsigned char ret_bytes[LAYOUT_KEY_HEADER_SIZE])
{
    memset(ret_bytes, 0, 8);
    ret_bytes[0] = header->type;
    ret_bytes[1] =
        header->fields_expire || header->rows_beside ? LAYOUT_VERSION_MORE : LAYOUT_VERSION;
    store_le64(ret_bytes + 8, header->id);
    store_le64(ret_bytes + 16, header->count);
    store_le64(ret_bytes + 24, (uint64_t)header->expiry_ms);
}

int layout_read_header(mlkv_slice value, key_header *ret_header, mlkv_slice *ret_rest)
{
    const unsigned char *bytes = value.data;
    if (value.size < LAYOUT_KEY_HEADER_SIZE)
        return error_set(MLKV_E_CORRUPT, "a key's record has %zu bytes, fewer than its header",
                         value.size);
    if (bytes[0] < TYPE_STRING || bytes[0] > TYPE_TENSOR)
        return error_set(MLKV_E_CORRUPT, "a key's record has the unknown type %u", bytes[0]);
    bool more = bytes[1] == LAYOUT_VERSION_MORE;
    bool fields_expire = bytes[0] == TYPE_HASH && more;
    bool rows_beside = bytes[0] == TYPE_TENSOR && more;
    if (bytes[1] != LAYOUT_VERSION && !fields_expire && !rows_beside)
        return error_set(MLKV_E_CORRUPT, "a key's record has the unknown layout version %u",
                         bytes[1]);
    static const unsigned char zeros[6];
    if (memcmp(bytes + 2, zeros, sizeof zeros) != 0)
        return error_set(MLKV_E_CORRUPT, "a key's record has unknown flags");
    *ret_header =
        (key_header){.type = bytes[0], .fields_expire = fields_expire, .rows_beside = rows_beside};
    ret_header->id = load_le64(bytes + 8);
    ret_header->count = load_le64(bytes + 16);
    ret_header->expiry_ms = (int64_t)load_le64(bytes + 24);
    *ret_rest = slice_of(bytes + LAYOUT_KEY_HEADER_SIZE, value.size - LAYOUT_KEY_HEADER_SIZE);
    return MLKV_OK;
}

static int read_rows(key_header *header, mlkv_slice *rest)
{
    const unsigned char *bytes = rest->data;
    if (rest->size < LAYOUT_ROWS_SIZE)
        return error_set(MLKV_E_CORRUPT,
                         "a tensor's record has %zu bytes about rows beside its chunks",
                         rest->size);
    header->beside = load_le64(bytes);
    header->beside_ms = (int64_t)load_le64(bytes + 8);
    if (header->beside == 0)
        return error_set(MLKV_E_CORRUPT, "a tensor says that 0 rows stand beside its chunks");
    *rest = slice_of(bytes + LAYOUT_ROWS_SIZE, rest->size - LAYOUT_ROWS_SIZE);
    return MLKV_OK;
}

int layout_read_fields(key_header *header, mlkv_slice *rest)
{
    const unsigned char *bytes = rest->data;
    if (header->rows_beside)
        return read_rows(header, rest);
    if (!header->fields_expire)
        return MLKV_OK;
    if (rest->size < LAYOUT_FIELDS_SIZE)
        return error_set(MLKV_E_CORRUPT, "a hash's record has %zu bytes about the expiry of fields",
                         rest->size);
    header->expiring = load_le64(bytes);
    header->first_ms = (int64_t)load_le64(bytes + 8);
    header->last_ms = (int64_t)load_le64(bytes + 16);
    if (header->expiring == 0 || header->expiring > header->count || header->first_ms <= 0 ||
        header->last_ms < header->first_ms)
        return error_set(MLKV_E_CORRUPT,
                         "a hash of %llu fields says that %llu of them expire, from %lld to %lld",
                         (unsigned long long)header->count, (unsigned long long)header->expiring,
                         (long long)header->first_ms, (long long)header->last_ms);
    *rest = slice_of(bytes + LAYOUT_FIELDS_SIZE, rest->size - LAYOUT_FIELDS_SIZE);
    return MLKV_OK;
}

size_t layout_write_fields(const key_header *header, unsigned char ret_bytes[LAYOUT_FIELDS_SIZE])
{
    if (header->rows_beside) {
        store_le64(ret_bytes, header->beside);
        store_le64(ret_bytes + 8, (uint64_t)header->beside_ms);
        return LAYOUT_ROWS_SIZE;
    }
    if (!header->fields_expire)
        return 0;
    store_le64(ret_bytes, header->expiring);
    store_le64(ret_bytes + 8, (uint64_t)header->first_ms);
    store_le64(ret_bytes + 16, (uint64_t)header->last_ms);
    return LAYOUT_FIELDS_SIZE;
}

int layout_split_field(mlkv_slice value, int64_t *ret_at_ms, mlkv_slice *ret_cell)
{
    const unsigned char *bytes = value.data;
    *ret_at_ms = 0;
    *ret_cell = value;
    if (value.size == 0 || bytes[0] != FIELD_EXPIRES)
        return MLKV_OK;
    if (value.size <= LAYOUT_FIELD_HEAD_SIZE)
        return error_set(MLKV_E_CORRUPT, "a field that expires has %zu bytes", value.size);
    *ret_at_ms = (int64_t)load_le64(bytes + 1);
    *ret_cell = slice_of(bytes + LAYOUT_FIELD_HEAD_SIZE, value.size - LAYOUT_FIELD_HEAD_SIZE);
    return *ret_at_ms > 0
               ? MLKV_OK
               : error_set(MLKV_E_CORRUPT, "a field expires at %lld", (long long)*ret_at_ms);
}

size_t layout_write_field(int64_t at_ms, unsigned char ret_bytes[LAYOUT_FIELD_HEAD_SIZE])
{
    if (at_ms == 0)
        return 0;
    ret_bytes[0] = FIELD_EXPIRES;
    store_le64(ret_bytes + 1, (uint64_t)at_ms);
    return LAYOUT_FIELD_HEAD_SIZE;
}

int layout_split_name(mlkv_slice record_key_bytes, size_t head_size, mlkv_slice value,
                      mlkv_slice *ret_name, mlkv_slice *ret_rest)
{
    const unsigned char *key = record_key_bytes.data, *bytes = value.data;
    if (record_key_bytes.size < head_size || record_key_bytes.size > RECORD_KEY_SIZE_MAX)
        return error_set(MLKV_E_CORRUPT, "a record key has %zu bytes", record_key_bytes.size);
    if (record_key_bytes.size < RECORD_KEY_SIZE_MAX) {
        *ret_name = slice_of(key + head_size, record_key_bytes.size - head_size);
        *ret_rest = value;
        return MLKV_OK;
    }
    size_t size = value.size < NAME_HEAD_SIZE ? 0 : load_le32(bytes);
    size_t begin = RECORD_KEY_SIZE_MAX - DIGEST_SIZE - head_size;
    if (size < RECORD_KEY_SIZE_MAX - head_size || size > NAME_SIZE_MAX ||
        value.size - NAME_HEAD_SIZE < size)
        return error_set(MLKV_E_CORRUPT,
                         "the record of a long name (\"%s...\") does not hold the name",
                         error_quote(key + head_size, begin));
    if (memcmp(key + head_size, bytes + NAME_HEAD_SIZE, begin) != 0)
        return error_set(MLKV_E_CORRUPT, "the record of a long name (\"%s...\") holds another name",
                         error_quote(key + head_size, begin));
    *ret_name = slice_of(bytes + NAME_HEAD_SIZE, size);
    *ret_rest = slice_of(bytes + NAME_HEAD_SIZE + size, value.size - NAME_HEAD_SIZE - size);
    return MLKV_OK;
}
