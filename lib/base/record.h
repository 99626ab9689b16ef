/* record.h - what every part knows about a record: a key of 1..511 bytes whose first byte is its class, and a value.
 *
 *   class  record key                        value                         door    for
 *   K      key                               see types/layout.h            ring    the key itself; a string's value
 *   E      id(8) field                       cell                          ring    hash fields, set members, zset member -> score
 *   O      id(8) score(8) member             empty                         ring    zset order
 *   L      id(8) seq(8)                      cell                          ring    list elements; the dense index of a set
 *   T      id(8) chunk(8)                    cell                          ring    tensor chunks
 *   P      id(8) chunk(8) row(8)             a row's bytes                 ring    rows of a tensor that were changed, beside their chunks
 *   Q      key                               empty                         ring    tensors that have such rows
 *   X      expiry-ms(8) key                  empty                         ring    expiry in time order
 *   F      expiry-ms(8) key                  empty                         ring    hashes by when the first of their fields expires
 *   Y      id(8) expiry-ms(8) field          empty                         ring    fields of one hash that expire, in time order
 *   G      id(8)                             progress                      ring    elements of a deleted life, waiting for the cleaner
 *   C      "keys"                            count(8 LE)                   ring    number of keys in the store (types/entry.c)
 *   D      id(4)                             dictionary                    ring    zstd dictionaries; id 0: the prefixes that have one
 *   R      blob id(8)                        count(8 LE)                   ring    references to a blob; 0 never stands here: it goes to W
 *   W      blob id(8)                        empty                         ring    blobs without reference, waiting for the cleaner
 *   B      blob id(8) piece(4)               blob header, encoded bytes    direct  immutable large data
 *   N      blob id(8)                        session(8 LE)                 direct  blobs written by a session, possibly not yet referenced
 *   S      name                              per name                      LMDB    the store's own: identity, position, counters
 *
 * ids and numbers in keys are big-endian, so that bytes sort as numbers. A record key of exactly 511 bytes stands for a longer name:
 * it ends in a 16-byte digest, and the value begins with the full name (types/layout.h).
 */
#ifndef MLKV_BASE_RECORD_H
#define MLKV_BASE_RECORD_H

enum {
    RECORD_KEY_SIZE_MAX = 511, /* LMDB's own limit, MDB_MAXKEYSIZE */

    RECORD_KEY = 'K',
    RECORD_ELEMENT = 'E',
    RECORD_ORDER = 'O',
    RECORD_LIST = 'L',
    RECORD_TENSOR = 'T',
    RECORD_ROW = 'P',
    RECORD_ROWS_OF = 'Q',
    RECORD_EXPIRY = 'X',
    RECORD_FIELDS_DUE = 'F',
    RECORD_FIELD_EXPIRY = 'Y',
    RECORD_GARBAGE = 'G',
    RECORD_COUNTER = 'C',
    RECORD_DICTIONARY = 'D',
    RECORD_REFERENCE = 'R',
    RECORD_WASTE = 'W',
    RECORD_BLOB = 'B',
    RECORD_NOTE = 'N',
    RECORD_SYSTEM = 'S',
};

#endif
