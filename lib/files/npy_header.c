/* npy_header.c - the header of a .npy file, and the two orders that its elements may have.
 *
 * The bytes are described in npy.h. The header is Python's, and would take Python to read in full; here it is read as what writers of
 * such files write: one dict of three members in any order, of texts without escapes, whole numbers, True and False. Nothing nests but
 * the shape, so nothing recurses.
 *
 * Invariants of a header that was accepted: a dtype that the library has, up to 8 dimensions, a product that does not overflow.
 *
 * State: none but the caller's. Locks: none.
 */
#include "files/npy.h"

#include "base/bytes.h"
#include "base/error.h"

#include <stdio.h>

#define BYTES_END ((uint64_t)1 << 62) /* the library's limit */

static const struct {
    char letter; /* numpy's kind */
    uint8_t size;
    uint8_t number_size; /* whose bytes have an order */
    uint8_t dtype;
} kinds[] = {
    {'f', 8, 8, MLKV_F64},    {'f', 4, 4, MLKV_F32},    {'f', 2, 2, MLKV_F16},
    {'i', 8, 8, MLKV_I64},    {'i', 4, 4, MLKV_I32},    {'i', 2, 2, MLKV_I16},
    {'i', 1, 1, MLKV_I8},     {'u', 8, 8, MLKV_U64},    {'u', 4, 4, MLKV_U32},
    {'u', 2, 2, MLKV_U16},    {'u', 1, 1, MLKV_U8},     {'b', 1, 1, MLKV_BOOL},
    {'c', 8, 4, MLKV_C64},    {'c', 16, 8, MLKV_C128},  {'u', 2, 2, MLKV_BF16},
    {'u', 1, 1, MLKV_F8E4M3}, {'u', 1, 1, MLKV_F8E5M2}, /* the last three are not numpy's own */
};

enum { KINDS = sizeof kinds / sizeof kinds[0], KINDS_OF_NUMPY = KINDS - 3 };

static size_t kind_of_dtype(int dtype)
{
    size_t i = 0;
    while (i < KINDS && kinds[i].dtype != dtype)
        i++;
    return i;
}

int npy_find(const unsigned char *bytes, size_t size, uint64_t file_size, size_t *ret_start,
             size_t *ret_size)
{
    if (size < 10 || memcmp(bytes, "\x93NUMPY", 6) != 0)
        return error_set(MLKV_E_FORMAT, "is no .npy file: it does not begin with \\x93NUMPY");
    if (bytes[6] < 1 || bytes[6] > 3 || bytes[7] != 0)
        return error_set(MLKV_E_FORMAT,
                         "is a .npy file of version %d.%d; 1.0, 2.0 and 3.0 are known", bytes[6],
                         bytes[7]);
    *ret_start = bytes[6] == 1 ? 10 : NPY_START_MAX;
    if (size < *ret_start)
        return error_set(MLKV_E_FORMAT, "ends within its header's size");
    uint64_t header = bytes[6] == 1 ? (uint64_t)bytes[8] | (uint64_t)bytes[9] << 8
                                    : (uint64_t)load_le32(bytes + 8);
    if (header > file_size - *ret_start)
        return error_set(MLKV_E_FORMAT, "its header would have %llu bytes, and %llu are there",
                         (unsigned long long)header, (unsigned long long)(file_size - *ret_start));
    if (header > NPY_HEADER_MAX)
        return error_set(MLKV_E_FORMAT, "its header has %llu bytes, and %d are the most",
                         (unsigned long long)header, NPY_HEADER_MAX);
    *ret_size = (size_t)header;
    return MLKV_OK;
}

/* --- the dict --- */

typedef struct {
    const char *text;
    size_t size, at;
} literal;

typedef struct {
    mlkv_slice descr;
    bool columns;
    mlkv_tensor tensor; /* its shape */
    bool seen[3];       /* descr, fortran_order, shape */
} npy_fields;

static const char *const field_names[] = {"descr", "fortran_order", "shape"};

static bool is_one_of(int letter, const char *letters)
{
    return letter > 0 && strchr(letters, letter) != NULL;
}

/* The letter that stands next, -1 at the end. */
static int peek(const literal *self)
{
    return self->at < self->size ? (unsigned char)self->text[self->at] : -1;
}

static int fail(const literal *self, const char *wanted)
{
    return error_set(MLKV_E_FORMAT, "its header cannot be read: %s was expected at byte %zu",
                     wanted, self->at);
}

static void skip(literal *self)
{
    while (is_one_of(peek(self), " \t\n"))
        self->at++;
}

static bool take(literal *self, char letter)
{
    skip(self);
    if (self->at == self->size || self->text[self->at] != letter)
        return false;
    self->at++;
    return true;
}

static bool take_word(literal *self, const char *word)
{
    size_t size = strlen(word);
    skip(self);
    if (self->size - self->at < size || memcmp(self->text + self->at, word, size) != 0)
        return false;
    self->at += size;
    return true;
}

static int read_text(literal *self, mlkv_slice *ret_text)
{
    skip(self);
    int quote = peek(self);
    if (quote != '\'' && quote != '"')
        return fail(self, "a text");
    size_t start = ++self->at;
    while (self->at < self->size && peek(self) != quote) {
        int letter = peek(self);
        if (letter < 0x20 || letter >= 0x7f || letter == '\\')
            return fail(self, "a plain letter");
        self->at++;
    }
    if (self->at == self->size)
        return fail(self, "the end of a text");
    *ret_text = slice_of(self->text + start, self->at++ - start);
    return MLKV_OK;
}

static int read_extent(literal *self, uint64_t *ret_extent)
{
    skip(self);
    size_t start = self->at;
    uint64_t extent = 0;
    for (; self->at < self->size; self->at++) {
        char letter = self->text[self->at];
        if (letter < '0' || letter > '9')
            break;
        if ((self->at > start && extent == 0) || __builtin_mul_overflow(extent, 10U, &extent) ||
            __builtin_add_overflow(extent, (uint64_t)(letter - '0'), &extent))
            return error_set(MLKV_E_FORMAT, "an extent of its shape is out of range");
    }
    *ret_extent = extent;
    return self->at == start ? fail(self, "a whole number from 0 on") : MLKV_OK;
}

/* (), (3,), (3, 4), (3, 4,) */
static int read_shape(literal *self, mlkv_tensor *tensor)
{
    if (!take(self, '('))
        return fail(self, "a tuple");
    while (!take(self, ')')) {
        uint64_t extent = 0;
        int result = read_extent(self, &extent);
        if (result != MLKV_OK)
            return result;
        if (tensor->dimensions == MLKV_DIMENSIONS_MAX)
            return error_set(MLKV_E_FORMAT, "it has more than %d dimensions", MLKV_DIMENSIONS_MAX);
        tensor->shape[tensor->dimensions++] = extent;
        if (take(self, ','))
            continue;
        if (tensor->dimensions == 1 || !take(self, ')'))
            return fail(self, tensor->dimensions == 1 ? "','" : "',' or ')'"); /* (3) is a number */
        break;
    }
    return MLKV_OK;
}

static int read_value(literal *self, size_t field, npy_fields *fields)
{
    skip(self);
    if (field == 0) {
        int letter = peek(self);
        if (letter == '[' || letter == '(')
            return error_set(MLKV_E_FORMAT,
                             "its elements are structured, which a tensor's are not");
        return read_text(self, &fields->descr);
    }
    if (field == 1) {
        fields->columns = take_word(self, "True");
        return fields->columns || take_word(self, "False") ? MLKV_OK : fail(self, "True or False");
    }
    return read_shape(self, &fields->tensor);
}

static int read_member(literal *self, npy_fields *fields)
{
    mlkv_slice name;
    size_t field = 0;
    int result = read_text(self, &name);
    if (result != MLKV_OK)
        return result;
    while (field < 3 && !slice_equal(name, slice_of_text(field_names[field])))
        field++;
    if (field == 3 || fields->seen[field])
        return error_set(MLKV_E_FORMAT, "its header has the member '%s'%s",
                         error_quote(name.data, name.size),
                         field == 3 ? ", which is unknown" : " twice");
    fields->seen[field] = true;
    return take(self, ':') ? read_value(self, field, fields) : fail(self, "':'");
}

static int read_dict(literal *self, npy_fields *fields)
{
    if (self->size == 0 ||
        self->text[0] != '{') /* no blanks, which Python would take for an indent */
        return fail(self, "'{'");
    self->at = 1;
    while (!take(self, '}')) {
        int result = read_member(self, fields);
        if (result != MLKV_OK)
            return result;
        if (take(self, ','))
            continue;
        if (!take(self, '}'))
            return fail(self, "',' or '}'");
        break;
    }
    skip(self);
    if (self->at != self->size)
        return fail(self, "its end");
    for (size_t i = 0; i < 3; i++)
        if (!fields->seen[i])
            return error_set(MLKV_E_FORMAT, "its header has no '%s'", field_names[i]);
    return MLKV_OK;
}

/* --- what the elements are --- */

static const char *why_not(char letter)
{
    switch (letter) {
    case 'O':
        return "objects";
    case 'S':
    case 'a':
        return "byte strings";
    case 'U':
        return "texts";
    case 'M':
        return "times";
    case 'm':
        return "time spans";
    case 'V':
        return "raw bytes";
    default:
        return "of a type that the library does not have";
    }
}

/* '<f4': order, letter and size. */
static bool split_descr(mlkv_slice descr, char *ret_order, char *ret_letter, unsigned *ret_size)
{
    const char *text = descr.data;
    if (descr.size < 3 || descr.size > 6 || !is_one_of(text[0], "<>|="))
        return false;
    *ret_order = text[0];
    *ret_letter = text[1];
    *ret_size = 0;
    for (size_t i = 2; i < descr.size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        *ret_size = *ret_size * 10 + (unsigned)(text[i] - '0');
    }
    return (text[1] | 0x20) >= 'a' && (text[1] | 0x20) <= 'z';
}

static int read_descr(mlkv_slice descr, int dtype, npy_form *form)
{
    char order, letter;
    unsigned size;
    size_t kind = 0, wanted = kind_of_dtype(dtype);
    const char *quoted = error_quote(descr.data, descr.size);
    bool split = split_descr(descr, &order, &letter, &size);
    if (!split) { /* times have a unit behind them, objects no size */
        char second = '\0';
        if (descr.size >= 2 && is_one_of(((const char *)descr.data)[1], "OSaUMmV"))
            second = ((const char *)descr.data)[1];
        return error_set(MLKV_E_FORMAT, "its elements are %s ('%s')", why_not(second), quoted);
    }
    while (kind < KINDS_OF_NUMPY && (kinds[kind].letter != letter || kinds[kind].size != size))
        kind++;
    bool found = kind < KINDS_OF_NUMPY, foreign = wanted >= KINDS_OF_NUMPY && wanted < KINDS;
    if (foreign && (letter == 'u' || letter == 'V') && kinds[wanted].size == size) {
        kind = wanted;
        found = true;
    } else if (dtype != 0 && (!found || kind != wanted)) {
        return error_set(MLKV_E_FORMAT, "its elements are '%s', not %s", quoted,
                         mlkv_dtype_name((mlkv_dtype)dtype));
    }
    if (!found)
        return error_set(MLKV_E_FORMAT, "its elements are %s ('%s')", why_not(letter), quoted);
    if (order == '|' && size != 1 && letter != 'V')
        return error_set(MLKV_E_FORMAT, "its type '%s' does not say the order of its bytes",
                         quoted);
    form->tensor.dtype = kinds[kind].dtype;
    form->swapped = order == '>' && kinds[kind].number_size > 1;
    return MLKV_OK;
}

int npy_read(mlkv_slice text, int dtype, npy_form *ret_form)
{
    literal reader = {.text = text.data, .size = text.size};
    npy_fields fields = {.columns = false};
    npy_form form = {.swapped = false};
    int result = read_dict(&reader, &fields);
    form.tensor = fields.tensor;
    if (result == MLKV_OK)
        result = read_descr(fields.descr, dtype, &form);
    if (result != MLKV_OK)
        return result;
    uint64_t bytes = mlkv_dtype_size((mlkv_dtype)form.tensor.dtype);
    bool empty = false;
    unsigned wide = 0; /* dimensions in which there is a way to go */
    for (uint32_t i = 0; i < form.tensor.dimensions; i++) {
        uint64_t extent = form.tensor.shape[i];
        empty = empty || extent == 0;
        wide += extent != 1;
        if (extent != 0 && (__builtin_mul_overflow(bytes, extent, &bytes) || bytes >= BYTES_END))
            return error_set(MLKV_E_FORMAT, "its shape is too large");
    }
    form.bytes = empty ? 0 : bytes;
    form.columns = fields.columns && wide > 1 && !empty;
    *ret_form = form;
    return MLKV_OK;
}

/* --- writing --- */

size_t npy_write(const mlkv_tensor *tensor, unsigned char ret_bytes[NPY_WRITTEN_MAX])
{
    enum { START = 10 };
    char *text = (char *)ret_bytes;
    size_t kind = kind_of_dtype(tensor->dtype), at = START;
#define ADD(...) at += (size_t)snprintf(text + at, NPY_WRITTEN_MAX - at, __VA_ARGS__)
    ADD("{'descr': '%c%c%d', 'fortran_order': False, 'shape': (", kinds[kind].size == 1 ? '|' : '<',
        kinds[kind].letter, kinds[kind].size);
    for (uint32_t i = 0; i < tensor->dimensions; i++)
        ADD(i == 0 ? "%llu" : ", %llu", (unsigned long long)tensor->shape[i]);
    ADD("%s), }", tensor->dimensions == 1 ? "," : "");
#undef ADD
    size_t end = round_up(at + 1, FILES_ALIGN);
    memset(text + at, ' ', end - at);
    text[end - 1] = '\n';
    memcpy(ret_bytes, "\x93NUMPY\x01", 8); /* with the 0 behind it */
    ret_bytes[8] = (unsigned char)((end - START) & 0xff);
    ret_bytes[9] = (unsigned char)((end - START) >> 8);
    return end;
}

/* --- orders --- */

void npy_swap(int dtype, void *data, size_t size)
{
    unsigned char *bytes = data;
    size_t width = kinds[kind_of_dtype(dtype)].number_size;
    for (size_t at = 0; at + width <= size; at += width) {
        for (size_t low = 0, high = width - 1; low < high; low++, high--) {
            unsigned char byte = bytes[at + low];
            bytes[at + low] = bytes[at + high];
            bytes[at + high] = byte;
        }
    }
}

void npy_to_rows(const npy_form *form, const unsigned char *columns, unsigned char *rows)
{
    const mlkv_tensor *tensor = &form->tensor;
    size_t width = mlkv_dtype_size((mlkv_dtype)tensor->dtype);
    uint64_t strides[MLKV_DIMENSIONS_MAX] = {0}, place[MLKV_DIMENSIONS_MAX] = {0};
    uint64_t from = 0, stride = width;
    for (uint32_t i = 0; i < tensor->dimensions; i++) {
        strides[i] = stride;
        stride *= tensor->shape[i];
    }
    for (uint64_t at = 0; at < form->bytes; at += width) {
        memcpy(rows + at, columns + from, width);
        for (uint32_t i = tensor->dimensions; i-- > 0;) {
            from += strides[i];
            if (++place[i] < tensor->shape[i])
                break;
            from -= strides[i] * tensor->shape[i];
            place[i] = 0;
        }
    }
}
