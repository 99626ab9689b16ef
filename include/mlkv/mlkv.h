/* mlkv.h - all of libmlkv. */
#ifndef MLKV_MLKV_H
#define MLKV_MLKV_H

#include <mlkv/base.h>
#include <mlkv/bits.h>
#include <mlkv/command.h>
#include <mlkv/compute.h>
#include <mlkv/db.h>
#include <mlkv/dictionary.h>
#include <mlkv/dump.h>
#include <mlkv/error.h>
#include <mlkv/file.h>
#include <mlkv/hash.h>
#include <mlkv/key.h>
#include <mlkv/list.h>
#include <mlkv/lock.h>
#include <mlkv/model.h>
#include <mlkv/salvage.h>
#include <mlkv/set.h>
#include <mlkv/sort.h>
#include <mlkv/string.h>
#include <mlkv/tensor.h>
#include <mlkv/top_k.h>
#include <mlkv/wait.h>
#include <mlkv/zset.h>

#endif
