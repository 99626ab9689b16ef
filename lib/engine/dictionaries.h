/* dictionaries.h - the dictionaries of a store, as one process has them ready. Part of engine.h. */
#ifndef MLKV_ENGINE_DICTIONARIES_H
#define MLKV_ENGINE_DICTIONARIES_H

#include "codec/dictionary.h"

typedef struct dictionaries dictionaries;
struct engine;

int dictionaries_create(dictionaries **ret_self);
void dictionaries_destroy(dictionaries *self);
/* A record of class D was taken in, or nothing is known any more. Any thread, any lock. */
void dictionaries_change(dictionaries *self);
/* Bytes of memory. */
size_t dictionaries_size(dictionaries *self);

/* With what the values of the key of this name are coded now; NULL: with nothing. Two loads if no prefix has a
 * dictionary. It lives as long as the engine. A process that has not taken in the newest table says what was in use
 * before. Errors mean NULL: every value can be written plainly. */
const dictionary_coder *engine_dictionary_for(struct engine *self, mlkv_slice name);
/* What decodes values of this dictionary, as long as the engine lives. MLKV_E_CORRUPT: there is no such dictionary, or it is broken. */
int engine_dictionary(struct engine *self, uint32_t id, const dictionary_decoder **ret_decoder);

#endif
