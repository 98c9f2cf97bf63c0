// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Selects the kernel table: the widest that this processor supports, or the one that a test has requested.
#include "../ops.hpp"
#include "kernels.hpp"

#include <atomic>

namespace cv { namespace ltrp { namespace ops {

namespace {

bool processorHas(const std::string& name)
{
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    if (name == "avx512bf16")
        return processorHas("avx512") && __builtin_cpu_supports("avx512bf16");
    if (name == "avx512")
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("fma");
    if (name == "avx2")
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return name == "baseline";
}

const Kernels* tableNamed(const std::string& name)
{
#if defined(__x86_64__) && defined(__GNUC__)
    if (name == "avx512bf16")
        return &kernelsAvx512Bf16();
    if (name == "avx512")
        return &kernelsAvx512();
    if (name == "avx2")
        return &kernelsAvx2();
#endif
    return name == "baseline" ? &kernelsBaseline() : nullptr;
}

const Kernels* widest()
{
    for (const char* name : {"avx512bf16", "avx512", "avx2", "baseline"})
        if (processorHas(name))
            return tableNamed(name);
    return &kernelsBaseline();
}

std::atomic<const Kernels*>& current()
{
    static std::atomic<const Kernels*> table(widest());
    return table;
}

}  // namespace

const Kernels& kernels()
{
    return *current().load(std::memory_order_relaxed);
}

std::string kernelsInUse()
{
    return kernels().name;
}

void useKernels(const std::string& name)
{
    const Kernels* table = name == "auto" ? widest() : processorHas(name) ? tableNamed(name) : nullptr;
    LTRP_REQUIRE(table, Error::StsBadArg, "no kernels '" << name << "' for this processor; known: auto, avx512bf16, avx512, avx2, baseline");
    current() = table;
}

}}}  // namespace
