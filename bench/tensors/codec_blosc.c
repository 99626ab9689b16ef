/* codec_blosc.c - c-blosc 1.21, Debian's libblosc: each codec behind a shuffle of bytes or of bits, one thread, the level at which it is
 * usually run. zstd at level 1 is as fast as it gets there. */
#include "tensors/tensors.h"

#ifdef HAVE_BLOSC
#include <blosc.h>

const blosc_way blosc_ways[] = {
    {"blosclz-shuffle", BLOSC_BLOSCLZ_COMPNAME, 5, BLOSC_SHUFFLE},
    {"lz4-shuffle", BLOSC_LZ4_COMPNAME, 5, BLOSC_SHUFFLE},
    {"lz4-bitshuffle", BLOSC_LZ4_COMPNAME, 5, BLOSC_BITSHUFFLE},
    {"zstd-shuffle", BLOSC_ZSTD_COMPNAME, 1, BLOSC_SHUFFLE},
    {"zstd-bitshuffle", BLOSC_ZSTD_COMPNAME, 1, BLOSC_BITSHUFFLE},
};
const int blosc_way_count = sizeof blosc_ways / sizeof *blosc_ways;

size_t blosc_encode(const blosc_way *way, unsigned width, const void *from, size_t size, void *to,
                    size_t room)
{
    int coded = blosc_compress_ctx(way->level, way->shuffle, width, size, from, to, room,
                                   way->compressor, 0, 1);
    return coded > 0 ? (size_t)coded : 0;
}

bool blosc_decode(const void *from, void *to, size_t size)
{
    return blosc_decompress_ctx(from, to, size, 1) == (int)size;
}
#else
const blosc_way blosc_ways[1] = {{"", "", 0, 0}};
const int blosc_way_count = 0;

size_t blosc_encode(const blosc_way *way, unsigned width, const void *from, size_t size, void *to,
                    size_t room)
{
    (void)way, (void)width, (void)from, (void)size, (void)to, (void)room;
    return 0;
}

bool blosc_decode(const void *from, void *to, size_t size)
{
    (void)from, (void)to, (void)size;
    return false;
}
#endif
