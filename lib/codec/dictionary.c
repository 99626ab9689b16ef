/* dictionary.c - zstd dictionaries: learned from samples, checked, and made ready for use.
 *
 * Bytes: zstd's, of which two fields are looked at here: the magic number, and the id behind it, which dictionary_set_id writes after
 * the learning, because a number is given to a dictionary only when it is stored.
 *
 * Invariants
 *   1. Bytes that are accepted begin as a dictionary does, say the id that they are asked for by, and have entropy tables that zstd
 *      accepts. Bytes of another form, which zstd would take for mere content, are refused.
 *   2. What is made of them keeps no pointer to them.
 *   3. Levels and sizes change what a coder makes, never what a decoder reads: one dictionary, one content.
 *
 * No locks, no state: the tables are immutable.
 */
#include "codec/dictionary.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"

#include <stdlib.h>
#include <zdict.h>
#include <zstd.h>
#include <zstd_errors.h>

enum { AT_ID = 4, HEADER_SIZE = 8 };

struct dictionary_coder {
    uint32_t id;
    ZSTD_CDict *tables;
};

struct dictionary_decoder {
    uint32_t id;
    ZSTD_DDict *tables;
};

int dictionary_learn(mlkv_slice samples, const size_t *sizes, size_t n, size_t capacity,
                     mlkv_buffer *ret_bytes)
{
    mlkv_buffer bytes = {0};
    if (n < DICTIONARY_SAMPLES_MIN || n > UINT32_MAX || capacity < DICTIONARY_SIZE_MIN)
        return MLKV_ABSENT;
    void *to = buffer_extend(&bytes, capacity);
    if (to == NULL)
        return MLKV_E_MEMORY;
    size_t size = ZDICT_trainFromBuffer(to, capacity, samples.data, sizes, (unsigned)n);
    bool learned = !ZDICT_isError(size);
    int result = learned ? MLKV_OK : MLKV_ABSENT;
    if (!learned && ZSTD_getErrorCode(size) == ZSTD_error_memory_allocation)
        result = error_set_memory("learning a dictionary");
    bytes.size = learned ? size : 0;
    if (result == MLKV_OK && (size < HEADER_SIZE || ZDICT_getDictID(to, size) == 0))
        result = MLKV_ABSENT;
    if (result == MLKV_OK)
        result = buffer_assign(ret_bytes, bytes.data, bytes.size);
    mlkv_buffer_free(&bytes);
    return result;
}

void dictionary_set_id(void *bytes, uint32_t id)
{
    store_le32((unsigned char *)bytes + AT_ID, id);
}

int dictionary_check(uint32_t id, mlkv_slice bytes)
{
    if (bytes.size < HEADER_SIZE || bytes.size > DICTIONARY_SIZE_MAX)
        return error_set(MLKV_E_CORRUPT, "dictionary %u has %zu bytes", (unsigned)id, bytes.size);
    unsigned said = ZDICT_getDictID(bytes.data, bytes.size);
    if (said == 0)
        return error_set(MLKV_E_CORRUPT, "dictionary %u does not begin as a zstd dictionary does",
                         (unsigned)id);
    if (said != id)
        return error_set(MLKV_E_CORRUPT, "dictionary %u says that it is %u", (unsigned)id, said);
    if (ZDICT_isError(ZDICT_getDictHeaderSize(bytes.data, bytes.size)))
        return error_set(MLKV_E_CORRUPT, "dictionary %u has tables that zstd refuses",
                         (unsigned)id);
    return MLKV_OK;
}

int dictionary_coder_create(uint32_t id, mlkv_slice bytes, int level, dictionary_coder **ret_coder)
{
    int result = dictionary_check(id, bytes);
    if (result != MLKV_OK)
        return result;
    dictionary_coder *self = calloc(1, sizeof *self);
    if (self != NULL)
        self->tables = ZSTD_createCDict(bytes.data, bytes.size, level);
    if (self == NULL || self->tables == NULL) {
        free(self);
        return error_set_memory("a dictionary");
    }
    self->id = id;
    *ret_coder = self;
    return MLKV_OK;
}

int dictionary_decoder_create(uint32_t id, mlkv_slice bytes, dictionary_decoder **ret_decoder)
{
    int result = dictionary_check(id, bytes);
    if (result != MLKV_OK)
        return result;
    dictionary_decoder *self = calloc(1, sizeof *self);
    if (self != NULL)
        self->tables = ZSTD_createDDict(bytes.data, bytes.size);
    if (self == NULL || self->tables == NULL) {
        free(self);
        return error_set_memory("a dictionary");
    }
    self->id = id;
    *ret_decoder = self;
    return MLKV_OK;
}

void dictionary_coder_destroy(dictionary_coder *self)
{
    if (self != NULL)
        ZSTD_freeCDict(self->tables);
    free(self);
}

void dictionary_decoder_destroy(dictionary_decoder *self)
{
    if (self != NULL)
        ZSTD_freeDDict(self->tables);
    free(self);
}

uint32_t dictionary_coder_id(const dictionary_coder *self)
{
    return self->id;
}

uint32_t dictionary_decoder_id(const dictionary_decoder *self)
{
    return self->id;
}

size_t dictionary_coder_size(const dictionary_coder *self)
{
    return sizeof *self + ZSTD_sizeof_CDict(self->tables);
}

size_t dictionary_decoder_size(const dictionary_decoder *self)
{
    return sizeof *self + ZSTD_sizeof_DDict(self->tables);
}

const void *dictionary_coder_tables(const dictionary_coder *self)
{
    return self->tables;
}

const void *dictionary_decoder_tables(const dictionary_decoder *self)
{
    return self->tables;
}
