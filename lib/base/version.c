/* version.c - the version of the library that is running. The numbers stand once, in mlkv/base.h;
 * no state, no locks. */
#include <mlkv/base.h>

#define TEXT_OF(value)  #value
#define VALUE_OF(value) TEXT_OF(value)

const char *mlkv_version(void)
{
    return VALUE_OF(MLKV_VERSION_MAJOR) "." VALUE_OF(MLKV_VERSION_MINOR) "." VALUE_OF(
        MLKV_VERSION_PATCH);
}
