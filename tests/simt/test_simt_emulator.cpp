// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// The emulation itself: correct kernels give correct results in every order of threads, and each fault is detected.

#include "faults.hpp"
#include "memory.hpp"
#include "simt.hpp"

#include <boost/test/unit_test.hpp>

#include <cmath>

using faults::Fault;
using simt::Buffer;

BOOST_AUTO_TEST_SUITE(simt_emulator)

namespace
{

const size_t count = 3 * 96 - 17;

std::vector<float> numbers(size_t n)
{
    std::vector<float> x(n);
    for (size_t i = 0; i < n; ++i)
        x[i] = static_cast<float>(static_cast<int>(i * 37 % 101) - 50);
    return x;
}

std::vector<float> blockSums(Fault fault)
{
    static const std::vector<float> host(1, 1.f);
    const Buffer<float> x(numbers(count), "x"), out(3 * 96, "out");
    faults::blockSums(fault, x, out, count, 3, host.data());
    return out.values();
}

/// The message of the failure, in every order of threads; empty if some order has none.
std::string failureOf(Fault fault)
{
    std::string message;
    for (uint64_t seed = 0; seed < 4; ++seed)
    {
        simt::setSchedule({seed > 0, seed});
        try
        {
            blockSums(fault);
            message.clear();
            break;
        }
        catch (const simt::Failure& failure)
        {
            message = failure.what();
        }
    }
    simt::setSchedule({});
    return message;
}

void checkFound(Fault fault, const std::vector<std::string>& words)
{
    const std::string message = failureOf(fault);
    BOOST_TEST_MESSAGE(message);
    for (const std::string& word : words)
        BOOST_CHECK_MESSAGE(message.find(word) != std::string::npos, "expected '" << word << "' in: " << message);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_correct_kernel_gives_the_same_in_every_order)
{
    const std::vector<float> x = numbers(count);
    for (uint64_t seed = 0; seed < 20; ++seed)
    {
        simt::setSchedule({seed > 0, seed});
        const uint64_t before = simt::accessesSeen();
        const std::vector<float> out = blockSums(Fault::None);
        BOOST_TEST(simt::accessesSeen() - before > 3 * 96 * 2);
        for (size_t i = 0; i < out.size(); ++i)
        {
            float want = 0;
            for (size_t k = i / 96 * 96; k < std::min(count, (i / 96 + 1) * 96); ++k)
                want += x[k];
            BOOST_REQUIRE_EQUAL(out[i], want);
        }
    }
    simt::setSchedule({});
}

BOOST_AUTO_TEST_CASE(missing_barriers_are_found)
{
    checkFound(Fault::MissingBarrier, {"blockSums", "'values'"});   // unordered, or uninitialised
    checkFound(Fault::MissingWarpBarrier, {"'values'", "with no barrier between"});
    checkFound(Fault::BlocksOverlap, {"'out'", "another block"});
}

BOOST_AUTO_TEST_CASE(barriers_that_not_all_threads_reach_are_found)
{
    checkFound(Fault::BarrierInBranch, {"'values'"});   // some threads run ahead
    checkFound(Fault::TwoBarriers, {"barrier __syncthreads at", "while thread"});
    checkFound(Fault::EarlyEnd, {"ended"});
}

BOOST_AUTO_TEST_CASE(accesses_outside_are_found)
{
    checkFound(Fault::ReadBeyond, {"reads 4 bytes at byte 1", "of 'x' (1084 bytes)", "out of bounds"});
    checkFound(Fault::WriteBefore, {"writes 4 bytes at byte -4 of 'out'", "out of bounds"});
    checkFound(Fault::SharedBeyond, {"at byte 384 of 'values' (384 bytes, shared)", "out of bounds"});
    checkFound(Fault::SharedTooLarge, {"bytes of shared memory with much"});
    checkFound(Fault::HostMemory, {"no device memory"});
}

BOOST_AUTO_TEST_CASE(uninitialised_reads_are_found)
{
    checkFound(Fault::SharedNeverWritten, {"'values'", "uninitialised read"});
    checkFound(Fault::GlobalNeverWritten, {"'out'", "uninitialised read"});
}

BOOST_AUTO_TEST_CASE(wrong_shuffles_and_vectors_are_found)
{
    checkFound(Fault::MaskWithoutCaller, {"mask"});
    checkFound(Fault::ShuffleFromOutside, {"lane 32"});
    checkFound(Fault::Misaligned, {"multiple of 8"});
    checkFound(Fault::SharedMisaligned, {"multiple of 16"});
}

BOOST_AUTO_TEST_CASE(atomics_need_no_barrier_but_only_among_themselves)
{
    const Buffer<int> flag(std::vector<int>(1, 0), "flag");
    faults::raiseFlags(Fault::None, flag);
    BOOST_CHECK_EQUAL(flag.values()[0], (1 << 20) - 1);
    BOOST_CHECK_THROW(faults::raiseFlags(Fault::PlainBesideAtomic, flag), simt::Failure);
}

BOOST_AUTO_TEST_CASE(released_memory_and_large_launches_are_refused)
{
    const Buffer<float> x(numbers(count)), out(3 * 96);
    float* gone;
    {
        const Buffer<float> brief(96);
        gone = brief;
    }
    BOOST_CHECK_THROW(faults::blockSums(Fault::None, x, gone, count, 1, nullptr), simt::Failure);
    BOOST_CHECK_THROW(faults::blockSums(Fault::None, x, out, count, 0, nullptr), simt::Failure);
    BOOST_CHECK_THROW(simt::upload(out.get() + 90, numbers(count).data(), count * sizeof(float)), simt::Failure);
}

BOOST_AUTO_TEST_CASE(fragments_multiply_as_the_instruction_does)
{
    const std::vector<float> a = numbers(256), b = numbers(128),
                             c = numbers(128);   // integers: exact in 16 bits too
    const Buffer<float> da(a, "a"), db(b, "b"), dc(c, "c"), dd(128, "d");
    for (const bool half : {false, true})
    {
        faults::multiplyTile(da, db, dc, dd, half);
        const std::vector<float> d = dd.values();
        for (size_t i = 0; i < 16; ++i)
            for (size_t j = 0; j < 8; ++j)
            {
                float want = c[i * 8 + j];
                for (size_t k = 0; k < 16; ++k)
                    want += a[i * 16 + k] * b[j * 16 + k];
                BOOST_REQUIRE_EQUAL(d[i * 8 + j], want);
            }
    }
}

BOOST_AUTO_TEST_SUITE_END()
