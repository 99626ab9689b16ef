/* version.c - the version of the library that is running. The numbers stand once, in mlkv/base.h;
 * no state, no locks. */
#include <mlkv/base.h>

#if defined(MLKV_FAULTS) && defined(MLKV_PATCH_TEST) /* a test's second build */
#undef MLKV_VERSION_PATCH
#define MLKV_VERSION_PATCH MLKV_PATCH_TEST
#endif

#define TEXT_OF(value)  #value
#define VALUE_OF(value) TEXT_OF(value)

const char *mlkv_version(void)
{
    return VALUE_OF(MLKV_VERSION_MAJOR) "." VALUE_OF(MLKV_VERSION_MINOR) "." VALUE_OF(
        MLKV_VERSION_PATCH);
}
