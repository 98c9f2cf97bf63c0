// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Preloaded (LD_PRELOAD) by tests/test_faults.cpp. Makes one call of an allocation or system call fail: call number
// LTRP_FAULT_AT of the kind LTRP_FAULT_KIND, which is "memory", "system", or the name of one function, for example
// "fsync". For one function, LTRP_FAULT_PATH (optional) counts only calls for files whose path contains it, and
// LTRP_FAULT_ERRNO (optional) is the error. LTRP_FAULT_TIMES: number of successive calls that fail. LTRP_FAULT_COUNT: a
// file that receives, at the end of the program, the number of calls and the call numbers to test: the first and the
// last call of each place in the code (a call together with its nearest callers). Three libraries end the process if an
// allocation fails, which no caller can prevent: GDAL, oneDNN 2 and glibc (when a thread first uses a thread_local
// object). A failure in one of them is deferred to the next call.

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>
#include <unwind.h>

namespace
{

std::atomic<long> calls{0};
std::atomic<long> failing{-1};
bool memory = false, ready = false;
thread_local bool inGdal = false;   // its operator new calls come from libstdc++
const char* function = nullptr;   // only calls of this function fail; null: of all
const char* within = "";          // a substring of the paths
long times = 1;
int reason = 0;

/// A place in the code, identified by a checksum of the return addresses, and its calls.
struct Place
{
    size_t stack;
    long first, last;
};
Place places[1 << 16];   // an open hash table
pthread_mutex_t placesLock = PTHREAD_MUTEX_INITIALIZER;
bool counting = false;
thread_local bool unwinding = false;   // unwinding itself may allocate

/// Records the place of the call with this number.
void notePlace(long call)
{
    if (!counting || unwinding)
        return;
    struct Sum
    {
        size_t value;
        int callers;
    } sum{0xcbf29ce484222325, 10};
    unwinding = true;
    _Unwind_Backtrace([](_Unwind_Context* frame, void* data)
    {
        Sum& found = *static_cast<Sum*>(data);
        found.value = (found.value ^ _Unwind_GetIP(frame)) * 0x100000001b3;
        return --found.callers > 0 ? _URC_NO_REASON : _URC_END_OF_STACK;
    }, &sum);
    unwinding = false;
    const size_t stack = sum.value;
    pthread_mutex_lock(&placesLock);
    const size_t size = sizeof places / sizeof *places;
    for (size_t i = 0; i < size; i++)
    {
        Place& place = places[((stack >> 20) + i) % size];
        if (place.first && place.stack != stack)
            continue;
        if (!place.first)
            place = {stack, call, call};
        place.last = call;
        break;
    }
    pthread_mutex_unlock(&placesLock);
}

int (*programMain)(int, char**, char**) = nullptr;

/// Counting begins with main(): calls while libraries are loaded are not the program's.
int countedMain(int argc, char** argv, char** environment)
{
    const char* at = std::getenv("LTRP_FAULT_AT");
    const char* kind = std::getenv("LTRP_FAULT_KIND");
    failing = at ? std::atol(at) : -1;
    memory = kind && std::strcmp(kind, "memory") == 0;
    function = kind && !memory && std::strcmp(kind, "system") != 0 ? kind : nullptr;
    const char *path = std::getenv("LTRP_FAULT_PATH"), *count = std::getenv("LTRP_FAULT_TIMES"), *error = std::getenv("LTRP_FAULT_ERRNO");
    within = path ? path : "";
    times = count ? std::atol(count) : 1;
    reason = error ? std::atoi(error) : 0;
    counting = std::getenv("LTRP_FAULT_COUNT") != nullptr;
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
            for (const Place& place : places)
                if (place.first)
                    std::fprintf(file, place.last > place.first ? "%ld\n%ld\n" : "%ld\n", place.first, place.last);
            std::fclose(file);
        }
}

bool endsWithoutMemory(const void* caller)
{
    if (inGdal)
        return true;
    Dl_info where;
    if (!dladdr(caller, &where) || !where.dli_fname)
        return false;
    return std::strstr(where.dli_fname, "libgdal.so") || std::strstr(where.dli_fname, "libdnnl.so")
        || (where.dli_sname && std::strcmp(where.dli_sname, "__cxa_thread_atexit_impl") == 0);
}

bool memoryFails(const void* caller)
{
    if (!ready || !memory || unwinding)
        return false;
    long call = calls.fetch_add(1) + 1;
    if (counting && !endsWithoutMemory(caller))   // deferred, it would be the same failure as at the next place
        notePlace(call);
    return call == failing && (!endsWithoutMemory(caller) || !failing.compare_exchange_strong(call, call + 1));
}

/// Whether a call of function `name`, for the file of a descriptor or path, is to fail, with `error`.
bool fails(const char* name, int file, const char* path, int error, bool always = true)
{
    if (!ready || memory || (function ? std::strcmp(function, name) != 0 : !always))
        return false;
    char of[4096] = "";
    if (function && !path)
    {
        char link[64];
        std::snprintf(link, sizeof link, "/proc/self/fd/%d", file);
        const ssize_t length = readlink(link, of, sizeof of - 1);
        of[length < 0 ? 0 : length] = 0;
        path = of;
    }
    if (function && !std::strstr(path, within))
        return false;
    const long call = calls.fetch_add(1) + 1;
    notePlace(call);
    if (failing < 1 || call < failing || call >= failing + times)
        return false;
    errno = reason ? reason : error;
    return true;
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

/// Initialisation of GDAL, when OpenCV first opens an image file.
void GDALAllRegister()
{
    inGdal = true;
    next<void (*)()>("GDALAllRegister")();
    inGdal = false;
}

void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

void* malloc(size_t size)
{
    if (!memoryFails(__builtin_return_address(0)))
        return __libc_malloc(size);
    errno = ENOMEM;
    return nullptr;
}

void* calloc(size_t count, size_t size)
{
    if (!memoryFails(__builtin_return_address(0)))
        return __libc_calloc(count, size);
    errno = ENOMEM;
    return nullptr;
}

void* realloc(void* old, size_t size)
{
    if (!memoryFails(__builtin_return_address(0)))
        return __libc_realloc(old, size);
    errno = ENOMEM;
    return nullptr;
}

int posix_memalign(void** out, size_t alignment, size_t size)
{
    if (memoryFails(__builtin_return_address(0)))
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
    return fails("open", -1, path, EIO) ? -1 : real(path, flags, mode);
}

// Runs of "system" do not test these one by one: there are many, and their failures are like those of the others.
int access(const char* path, int mode) noexcept
{
    static const auto real = next<int (*)(const char*, int)>("access");
    return fails("access", -1, path, EACCES, false) ? -1 : real(path, mode);
}

int close(int file)
{
    static const auto real = next<int (*)(int)>("close");
    const bool failed = fails("close", file, nullptr, EIO, false);
    const int error = errno, result = real(file);
    if (!failed)
        return result;
    errno = error;
    return -1;
}

ssize_t read(int file, void* data, size_t size)
{
    static const auto real = next<ssize_t (*)(int, void*, size_t)>("read");
    return fails("read", file, nullptr, EIO) ? -1 : real(file, data, size);
}

ssize_t pread(int file, void* data, size_t size, off_t offset)
{
    static const auto real = next<ssize_t (*)(int, void*, size_t, off_t)>("pread");
    return fails("pread", file, nullptr, EIO) ? -1 : real(file, data, size, offset);
}

ssize_t write(int file, const void* data, size_t size)
{
    static const auto real = next<ssize_t (*)(int, const void*, size_t)>("write");
    return fails("write", file, nullptr, ENOSPC) ? -1 : real(file, data, size);
}

int fsync(int file)
{
    static const auto real = next<int (*)(int)>("fsync");
    return fails("fsync", file, nullptr, EIO) ? -1 : real(file);
}

int rename(const char* from, const char* to) noexcept
{
    static const auto real = next<int (*)(const char*, const char*)>("rename");
    return fails("rename", -1, to, EACCES) ? -1 : real(from, to);
}

int linkat(int fromFolder, const char* from, int toFolder, const char* to, int flags) noexcept
{
    static const auto real = next<int (*)(int, const char*, int, const char*, int)>("linkat");
    return fails("linkat", -1, to, EACCES) ? -1 : real(fromFolder, from, toFolder, to, flags);
}

int flock(int file, int operation) noexcept
{
    static const auto real = next<int (*)(int, int)>("flock");
    return fails("flock", file, nullptr, ENOLCK, false) ? -1 : real(file, operation);
}

void* mmap(void* at, size_t size, int protection, int flags, int file, off_t offset) noexcept
{
    static const auto real = next<void* (*)(void*, size_t, int, int, int, off_t)>("mmap");
    return file >= 0 && fails("mmap", file, nullptr, ENOMEM) ? MAP_FAILED : real(at, size, protection, flags, file, offset);
}

}  // extern "C"
