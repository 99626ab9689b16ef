/* hello.c - a store in a folder that counts how often it was greeted. */
#include <mlkv/mlkv.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    mlkv *db;
    int64_t greetings = 0;
    int result = mlkv_open(argc > 1 ? argv[1] : "hello.mlkv", NULL, &db);
    if (result == MLKV_OK) {
        result = mlkv_string_add(db, (mlkv_slice){"greetings", 9}, 1, &greetings);
        printf("hello, greeting number %lld\n", (long long)greetings);
        mlkv_close(db);
    }
    return result == MLKV_OK ? 0 : (fprintf(stderr, "%s\n", mlkv_error_detail()), 1);
}
