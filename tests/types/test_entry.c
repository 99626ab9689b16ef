/* test_entry.c - tests of lib/types. */
#include "harness.h"
int main(void)
{
    return 0;
}
