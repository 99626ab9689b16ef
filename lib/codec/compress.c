/* compress.c - zstd frames, with a context for each thread.
 *
 * State: per thread, three compression contexts (one for frames with a dictionary) and a decompression context (some
 * 100 KiB to 1 MiB each, made at first use), and scratch memory for planes.c, held by a pthread key whose destructor
 * frees them when the thread ends; for the process, the key and the tests' switch.
 *
 * Invariants:
 *  1. Every frame written has its content size in it and can be read by any libzstd >= 1.0.
 *  2. A decoded frame is a single ordinary one (not a skippable one), says exactly the size that
 * the caller expects, and nothing follows it. No memory is allocated by what a frame claims: the
 * destination is the caller's.
 *  3. A parameter that libzstd refuses costs compression, never correctness.
 *
 * No locks: contexts are the thread's own.
 */
#include "codec/compress.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"

#include <pthread.h>
#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

_Static_assert(ZSTD_VERSION_NUMBER >= 10400, "ZSTD_compress2 is stable since 1.4.0");

/* The densest that zstd can be: a block is at most 128 KiB and takes at least a 3-byte header and
 * one byte. */
enum { BLOCK_RAW_SIZE_MAX = 128 * 1024, BLOCK_SIZE_MIN = 4 };
enum { SCRATCH_KEPT_MAX = 4 << 20 };

typedef struct {
    ZSTD_CCtx *compress;
    ZSTD_CCtx *entropy;
    ZSTD_CCtx *coder; /* with a dictionary, which it keeps for no longer than a frame */
    ZSTD_DCtx *decompress;
    int level; /* that the sticky parameters of `compress` are set to, if `level_set` */
    bool level_set;
    bool entropy_set; /* `entropy` has its parameters */
    bool coder_set;
    void *scratch;
    size_t scratch_size;
} contexts;

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int key_error;
static bool parameters_refused;

static void contexts_free(void *pointer)
{
    contexts *own = pointer;
    ZSTD_freeCCtx(own->compress);
    ZSTD_freeCCtx(own->entropy);
    ZSTD_freeCCtx(own->coder);
    ZSTD_freeDCtx(own->decompress);
    free(own->scratch);
    free(own);
}

static void key_make(void)
{
    key_error = pthread_key_create(&key, contexts_free);
}

/* This thread's contexts, or NULL. */
static contexts *contexts_get(void)
{
    pthread_once(&key_once, key_make);
    if (key_error != 0)
        return NULL;
    contexts *own = pthread_getspecific(key);
    if (own != NULL)
        return own;
    own = calloc(1, sizeof *own);
    if (own != NULL && pthread_setspecific(key, own) != 0) {
        free(own);
        own = NULL;
    }
    return own;
}

void *compress_scratch(size_t size)
{
    contexts *own = contexts_get();
    if (own != NULL && (own->scratch_size < size || own->scratch_size > SCRATCH_KEPT_MAX)) {
        free(own->scratch);
        own->scratch = malloc(size);
        own->scratch_size = own->scratch == NULL ? 0 : size;
    }
    if (own == NULL || own->scratch == NULL)
        (void)error_set_memory("a codec's scratch");
    return own == NULL ? NULL : own->scratch;
}

void compress_refuse_parameters(bool refuse)
{
    __atomic_store_n(&parameters_refused, refuse, __ATOMIC_RELAXED);
}

/* Sets the sticky parameters. False if libzstd refuses one. */
static bool parameters_set(contexts *own, int level)
{
    if (__atomic_load_n(&parameters_refused, __ATOMIC_RELAXED))
        return false;
    if (own->level_set && own->level == level)
        return true;
    own->level_set =
        !ZSTD_isError(ZSTD_CCtx_setParameter(own->compress, ZSTD_c_compressionLevel, level)) &&
        !ZSTD_isError(ZSTD_CCtx_setParameter(own->compress, ZSTD_c_contentSizeFlag, 1));
    own->level = level;
    return own->level_set;
}

/* Appends what a context whose parameters are set makes of raw; without them, plain zstd. */
static int append_frame(ZSTD_CCtx *context, bool parameters, mlkv_slice raw, size_t limit,
                        mlkv_buffer *out)
{
    size_t bound = ZSTD_compressBound(raw.size);
    if (limit == 0 || ZSTD_isError(bound))
        return MLKV_ABSENT;
    /* no more room than the limit: zstd gives up as soon as the frame outgrows it */
    size_t room = bound < limit ? bound : limit - 1;
    size_t place = out->size;
    void *to = buffer_extend(out, room);
    if (to == NULL)
        return MLKV_E_MEMORY;
    size_t size =
        parameters ? ZSTD_compress2(context, to, room, raw.data, raw.size)
                   : ZSTD_compressCCtx(context, to, room, raw.data, raw.size, ZSTD_CLEVEL_DEFAULT);
    out->size = ZSTD_isError(size) ? place : place + size;
    if (!ZSTD_isError(size))
        return 0;
    /* Memory is worth telling; for any other reason the bytes are kept as they are, which is never
     * wrong. */
    return ZSTD_getErrorCode(size) == ZSTD_error_memory_allocation ? error_set_memory("compression")
                                                                   : MLKV_ABSENT;
}

int compress_append(mlkv_slice raw, int level, size_t limit, mlkv_buffer *out)
{
    contexts *own = contexts_get();
    if (own != NULL && own->compress == NULL)
        own->compress = ZSTD_createCCtx();
    if (own == NULL || own->compress == NULL)
        return error_set_memory("compression");
    return append_frame(own->compress, parameters_set(own, level), raw, limit, out);
}

/* Sets what makes zstd look for no matches: steps so long that it finds none, a table so small that clearing it costs
 * nothing, and Huffman codes for the literals although the strategy is a fast one. False if libzstd refuses one. */
static bool entropy_parameters_set(ZSTD_CCtx *context)
{
    static const struct {
        ZSTD_cParameter parameter;
        int value;
    } parameters[] = {
        {ZSTD_c_compressionLevel, 1},   {ZSTD_c_strategy, ZSTD_fast}, {ZSTD_c_targetLength, 131072},
        {ZSTD_c_minMatch, 7},           {ZSTD_c_hashLog, 6},          {ZSTD_c_contentSizeFlag, 1},
        {ZSTD_c_experimentalParam5, 1}, /* ZSTD_c_literalCompressionMode: ZSTD_ps_enable */
    };
    for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++)
        if (ZSTD_isError(
                ZSTD_CCtx_setParameter(context, parameters[i].parameter, parameters[i].value)))
            return false;
    return true;
}

int compress_append_entropy(mlkv_slice raw, size_t limit, mlkv_buffer *out)
{
    contexts *own = contexts_get();
    bool refused = __atomic_load_n(&parameters_refused, __ATOMIC_RELAXED);
    if (own != NULL && own->entropy == NULL && (own->entropy = ZSTD_createCCtx()) != NULL)
        own->entropy_set = entropy_parameters_set(own->entropy);
    if (own == NULL || own->entropy == NULL)
        return error_set_memory("compression");
    return append_frame(own->entropy, own->entropy_set && !refused, raw, limit, out);
}

static const unsigned char frame_magic[4] = {0x28, 0xb5, 0x2f, 0xfd};

/* A frame of the context, which has a dictionary and its parameters, to the end of *out, and its magic number taken away. */
static int append_bare(ZSTD_CCtx *context, mlkv_slice raw, size_t limit, mlkv_buffer *out)
{
    size_t place = out->size;
    int result = append_frame(context, true, raw, limit + sizeof frame_magic, out);
    if (result != MLKV_OK)
        return result;
    unsigned char *frame = (unsigned char *)out->data + place;
    size_t size = out->size - place;
    if (size <= sizeof frame_magic || memcmp(frame, frame_magic, sizeof frame_magic) != 0) {
        out->size = place;
        return MLKV_ABSENT;
    }
    memmove(frame, frame + sizeof frame_magic, size - sizeof frame_magic);
    out->size -= sizeof frame_magic;
    return MLKV_OK;
}

int compress_append_with(const dictionary_coder *with, mlkv_slice raw, size_t limit,
                         mlkv_buffer *out)
{
    contexts *own = contexts_get();
    if (own != NULL && own->coder == NULL && (own->coder = ZSTD_createCCtx()) != NULL)
        own->coder_set =
            !ZSTD_isError(ZSTD_CCtx_setParameter(own->coder, ZSTD_c_contentSizeFlag, 1)) &&
            !ZSTD_isError(ZSTD_CCtx_setParameter(own->coder, ZSTD_c_dictIDFlag, 0));
    if (own == NULL || own->coder == NULL)
        return error_set_memory("compression");
    if (limit == 0 || !own->coder_set ||
        ZSTD_isError(ZSTD_CCtx_refCDict(own->coder, dictionary_coder_tables(with))))
        return MLKV_ABSENT;
    int result = append_bare(own->coder, raw, limit, out);
    /* first out of a frame that did not fit: inside one it would keep the dictionary */
    (void)ZSTD_CCtx_reset(own->coder, ZSTD_reset_session_only);
    (void)ZSTD_CCtx_refCDict(own->coder, NULL);
    return result;
}

int decompress_check(mlkv_slice frame, uint64_t raw_size)
{
    if (frame.size < 4 || load_le32(frame.data) != ZSTD_MAGICNUMBER)
        return error_set(MLKV_E_CORRUPT, "compressed bytes do not begin as a zstd frame does");
    unsigned long long claimed = ZSTD_getFrameContentSize(frame.data, frame.size);
    if (claimed == ZSTD_CONTENTSIZE_ERROR || claimed == ZSTD_CONTENTSIZE_UNKNOWN)
        return error_set(MLKV_E_CORRUPT, "a zstd frame does not say its size");
    if (claimed != raw_size)
        return error_set(MLKV_E_CORRUPT, "a zstd frame holds %llu bytes instead of %llu", claimed,
                         (unsigned long long)raw_size);
    if (raw_size / BLOCK_RAW_SIZE_MAX > frame.size / BLOCK_SIZE_MIN)
        return error_set(MLKV_E_CORRUPT, "a zstd frame of %zu bytes cannot hold %llu", frame.size,
                         claimed);
    return 0;
}

int decompress_into(mlkv_slice frame, void *to, size_t raw_size)
{
    int result = decompress_check(frame, raw_size);
    if (result != 0)
        return result;
    size_t used = ZSTD_findFrameCompressedSize(frame.data, frame.size);
    if (ZSTD_isError(used))
        return error_set(MLKV_E_CORRUPT, "a zstd frame is broken: %s", ZSTD_getErrorName(used));
    if (used != frame.size)
        return error_set(MLKV_E_CORRUPT, "%zu bytes follow a zstd frame", frame.size - used);
    contexts *own = contexts_get();
    if (own != NULL && own->decompress == NULL)
        own->decompress = ZSTD_createDCtx();
    if (own == NULL || own->decompress == NULL)
        return error_set_memory("decompression");
    unsigned char nowhere = 0;
    size_t size = ZSTD_decompressDCtx(own->decompress, to != NULL ? to : &nowhere, raw_size,
                                      frame.data, frame.size);
    if (ZSTD_isError(size) && ZSTD_getErrorCode(size) == ZSTD_error_memory_allocation)
        return error_set_memory("decompression");
    if (ZSTD_isError(size))
        return error_set(MLKV_E_CORRUPT, "a zstd frame is broken: %s", ZSTD_getErrorName(size));
    if (size != raw_size)
        return error_set(MLKV_E_CORRUPT, "a zstd frame gave %zu bytes instead of %zu", size,
                         raw_size);
    return 0;
}

/* The frame with its magic number in front, in this thread's scratch. */
static int make_whole(mlkv_slice frame, mlkv_slice *ret_whole)
{
    unsigned char *whole = compress_scratch(sizeof frame_magic + frame.size);
    if (whole == NULL)
        return MLKV_E_MEMORY;
    memcpy(whole, frame_magic, sizeof frame_magic);
    bytes_copy(whole + sizeof frame_magic, frame.data, frame.size);
    *ret_whole = slice_of(whole, sizeof frame_magic + frame.size);
    return MLKV_OK;
}

int decompress_check_with(mlkv_slice frame, uint64_t raw_size)
{
    enum { HEADER_SIZE_MAX = 14, FRAME_SIZE_MIN = 6 }; /* of a frame's header; of a small frame */
    unsigned char header[sizeof frame_magic + HEADER_SIZE_MAX];
    size_t size = frame.size < HEADER_SIZE_MAX ? frame.size : HEADER_SIZE_MAX;
    if (frame.size < FRAME_SIZE_MIN - 1)
        return error_set(MLKV_E_CORRUPT, "a frame with a dictionary has %zu bytes", frame.size);
    memcpy(header, frame_magic, sizeof frame_magic);
    memcpy(header + sizeof frame_magic, frame.data, size);
    unsigned long long claimed = ZSTD_getFrameContentSize(header, sizeof frame_magic + size);
    if (claimed != raw_size)
        return error_set(MLKV_E_CORRUPT,
                         "a frame with a dictionary does not say that it holds %llu bytes",
                         (unsigned long long)raw_size);
    return MLKV_OK;
}

int decompress_with(const dictionary_decoder *with, mlkv_slice frame, void *to, size_t raw_size)
{
    mlkv_slice whole = frame;
    int result = decompress_check_with(frame, raw_size);
    if (result == MLKV_OK)
        result = make_whole(frame, &whole);
    if (result != MLKV_OK)
        return result;
    size_t used = ZSTD_findFrameCompressedSize(whole.data, whole.size);
    if (ZSTD_isError(used) || used != whole.size)
        return error_set(MLKV_E_CORRUPT,
                         "a frame with a dictionary has another size than %zu bytes", frame.size);
    contexts *own = contexts_get();
    if (own != NULL && own->decompress == NULL)
        own->decompress = ZSTD_createDCtx();
    if (own == NULL || own->decompress == NULL)
        return error_set_memory("decompression");
    size_t size = ZSTD_decompress_usingDDict(own->decompress, to, raw_size, whole.data, whole.size,
                                             dictionary_decoder_tables(with));
    if (ZSTD_isError(size) && ZSTD_getErrorCode(size) == ZSTD_error_memory_allocation)
        return error_set_memory("decompression");
    if (ZSTD_isError(size) || size != raw_size)
        return error_set(MLKV_E_CORRUPT, "a frame with dictionary %u is broken: %s",
                         (unsigned)dictionary_decoder_id(with),
                         ZSTD_isError(size) ? ZSTD_getErrorName(size) : "it has another size");
    return MLKV_OK;
}
