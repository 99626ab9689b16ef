// hello.cpp - the same from C++: the headers are the C ones.
#include <mlkv/mlkv.h>

#include <iostream>
#include <memory>

int main(int argc, char **argv)
{
    mlkv *opened = nullptr;
    if (mlkv_open(argc > 1 ? argv[1] : "hello.mlkv", nullptr, &opened) != MLKV_OK)
        return std::cerr << mlkv_error_detail() << '\n', 1;
    std::unique_ptr<mlkv, int (*)(mlkv *)> db(opened, mlkv_close);
    std::int64_t greetings = 0;
    if (mlkv_string_add(db.get(), {"greetings", 9}, 1, &greetings) != MLKV_OK)
        return std::cerr << mlkv_error_detail() << '\n', 1;
    std::cout << "hello, greeting number " << greetings << "\n";
}
