// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Preloaded (LD_PRELOAD) by tests/test_faults.cpp: one call of an allocation or a system call fails, the one whose number
// LTRP_FAULT_AT says, of the kind in LTRP_FAULT_KIND ("memory", "system"). With LTRP_FAULT_COUNT the number of calls is written
// to that file when the program ends. Two libraries end the process where they get no memory, GDAL and oneDNN 2, which no
// caller can help: a failure that would hit them is put off to the next call from elsewhere.

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

namespace
{

std::atomic<long> calls{0};
std::atomic<long> failing{-1};
bool memory = false, ready = false;

int (*programMain)(int, char**, char**) = nullptr;

/// Counting begins with main(): what libraries do while they are loaded is not the program's work.
int countedMain(int argc, char** argv, char** environment)
{
    const char* at = std::getenv("LTRP_FAULT_AT");
    const char* kind = std::getenv("LTRP_FAULT_KIND");
    failing = at ? std::atol(at) : -1;
    memory = kind && std::strcmp(kind, "memory") == 0;
    ready = true;
    return programMain(argc, argv, environment);
}

__attribute__((destructor)) void end()
{
    ready = false;
    if (const char* path = std::getenv("LTRP_FAULT_COUNT"))
        if (FILE* file = std::fopen(path, "w"))
        {
            std::fprintf(file, "%ld\n", calls.load());
            std::fclose(file);
        }
}

bool endsWithoutMemory(const void* caller)
{
    Dl_info where;
    if (!dladdr(caller, &where) || !where.dli_fname)
        return false;
    return std::strstr(where.dli_fname, "libgdal.so") || std::strstr(where.dli_fname, "libdnnl.so");
}

bool fails(bool ofMemory, const void* caller)
{
    if (!ready || memory != ofMemory)
        return false;
    long call = calls.fetch_add(1) + 1;
    if (call != failing)
        return false;
    return !ofMemory || !endsWithoutMemory(caller) || !failing.compare_exchange_strong(call, call + 1);
}

template <class Function>
Function next(const char* name)
{
    return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C"
{

typedef int (*Main)(int, char**, char**);
int __libc_start_main(Main main, int argc, char** argv, void (*init)(), void (*fini)(), void (*loaderFini)(), void* stackEnd)
{
    programMain = main;
    return next<int (*)(Main, int, char**, void (*)(), void (*)(), void (*)(), void*)>("__libc_start_main")(
        countedMain, argc, argv, init, fini, loaderFini, stackEnd);
}

void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

void* malloc(size_t size)
{
    if (!fails(true, __builtin_return_address(0)))
        return __libc_malloc(size);
    errno = ENOMEM;
    return nullptr;
}

void* calloc(size_t count, size_t size)
{
    if (!fails(true, __builtin_return_address(0)))
        return __libc_calloc(count, size);
    errno = ENOMEM;
    return nullptr;
}

void* realloc(void* old, size_t size)
{
    if (!fails(true, __builtin_return_address(0)))
        return __libc_realloc(old, size);
    errno = ENOMEM;
    return nullptr;
}

int posix_memalign(void** out, size_t alignment, size_t size)
{
    if (fails(true, __builtin_return_address(0)))
        return ENOMEM;
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : ENOMEM;
}

int open(const char* path, int flags, ...)
{
    static const auto real = next<int (*)(const char*, int, ...)>("open");
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    if (!fails(false, nullptr))
        return real(path, flags, mode);
    errno = EIO;
    return -1;
}

ssize_t read(int file, void* data, size_t size)
{
    static const auto real = next<ssize_t (*)(int, void*, size_t)>("read");
    if (!fails(false, nullptr))
        return real(file, data, size);
    errno = EIO;
    return -1;
}

ssize_t pread(int file, void* data, size_t size, off_t offset)
{
    static const auto real = next<ssize_t (*)(int, void*, size_t, off_t)>("pread");
    if (!fails(false, nullptr))
        return real(file, data, size, offset);
    errno = EIO;
    return -1;
}

ssize_t write(int file, const void* data, size_t size)
{
    static const auto real = next<ssize_t (*)(int, const void*, size_t)>("write");
    if (!fails(false, nullptr))
        return real(file, data, size);
    errno = ENOSPC;
    return -1;
}

int fsync(int file)
{
    static const auto real = next<int (*)(int)>("fsync");
    if (!fails(false, nullptr))
        return real(file);
    errno = EIO;
    return -1;
}

int rename(const char* from, const char* to) noexcept
{
    static const auto real = next<int (*)(const char*, const char*)>("rename");
    if (!fails(false, nullptr))
        return real(from, to);
    errno = EACCES;
    return -1;
}

int linkat(int fromFolder, const char* from, int toFolder, const char* to, int flags) noexcept
{
    static const auto real = next<int (*)(int, const char*, int, const char*, int)>("linkat");
    if (!fails(false, nullptr))
        return real(fromFolder, from, toFolder, to, flags);
    errno = EACCES;
    return -1;
}

void* mmap(void* at, size_t size, int protection, int flags, int file, off_t offset) noexcept
{
    static const auto real = next<void* (*)(void*, size_t, int, int, int, off_t)>("mmap");
    if (file < 0 || !fails(false, nullptr))
        return real(at, size, protection, flags, file, offset);
    errno = ENOMEM;
    return MAP_FAILED;
}

}  // extern "C"
