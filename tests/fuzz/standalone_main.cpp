// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// A fuzzing driver for compilers without one: changes valid inputs at random, passes them to the target and prints how
// many it tried. The inputs depend only on the seed. Build with -fsanitize=address,undefined.
//
// fuzz_NAME [--seconds N] [--seed S] [FILE...]   N seconds (default 60); the files are additional valid inputs
// fuzz_NAME --replay FILE...                     each file once, unchanged
// fuzz_NAME --seeds FOLDER                       writes the valid inputs into the folder, as a corpus for libFuzzer
//
// An input that makes the target fail is saved in the current folder as fuzz_NAME-failure.bin.

#include "budget.hpp"
#include "fuzz.hpp"
#include "sanitizer.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>

#ifdef LTRP_FUZZ_ASAN
/// Inputs are small, so no large allocation is needed: one would be the result of an unchecked size.
extern "C" const char* __asan_default_options()
{
    return "max_allocation_size_mb=256:allocator_may_return_null=0:handle_abort=1";
}
#endif

namespace
{

using Random = std::mt19937_64;

std::string failureFile, currentInput;
uint64_t tried = 0;

size_t below(Random& random, size_t n) { return static_cast<size_t>(random() % n); }

void saveFailure()
{
    std::ofstream(failureFile, std::ios::binary) << currentInput;
    std::cerr << "input " << tried << " failed and is kept as " << failureFile << "\n";
}

uint64_t interestingNumber(Random& random)
{
    static const uint64_t numbers[] = {0, 1, 2, 3, 4, 7, 8, 16, 31, 32, 63, 64, 100, 127, 128, 255, 256, 0x7fff, 0x8000,
                                       0xffff, 0x10000, 0x7fffffff, 0x80000000u, 0xfffffffe, 0xffffffffu, 0x100000000u,
                                       uint64_t(1) << 62, uint64_t(1) << 63, ~uint64_t(0) - 7, ~uint64_t(0)};
    return numbers[below(random, sizeof(numbers) / sizeof(*numbers))];
}

void mutate(std::string& input, const std::string& other, Random& random)
{
    const size_t at = input.empty() ? 0 : below(random, input.size());
    const size_t room = input.size() - at;
    switch (below(random, 10))
    {
    case 0:
        if (room > 0)
            input[at] = static_cast<char>(input[at] ^ (1 << below(random, 8)));
        break;
    case 1:
        if (room > 0)
            input[at] = static_cast<char>(random());
        break;
    case 2:   // overwrites a number
    {
        const size_t bytes = std::min(room, size_t(1) << below(random, 4));
        const uint64_t number = interestingNumber(random);
        std::memcpy(&input[at], &number, bytes);
        break;
    }
    case 3:   // a number as text, for JSON
        input.insert(at, std::to_string(interestingNumber(random)));
        break;
    case 4: input.erase(at, 1 + below(random, 8)); break;
    case 5:   // repeats a part of itself
        input.insert(at, input.substr(input.empty() ? 0 : below(random, input.size()), 1 + below(random, 40)));
        break;
    case 6:   // inserts a part of another input
        if (!other.empty())
            input.insert(at, other.substr(below(random, other.size()), 1 + below(random, 60)));
        break;
    case 7:   // overwrites with a part of another input
        if (!other.empty())
        {
            const std::string piece = other.substr(below(random, other.size()), 1 + below(random, 60));
            input.replace(at, piece.size(), piece);
        }
        break;
    case 8:   // changes one byte by 1
        if (room > 0)
            input[at] = static_cast<char>(input[at] + (random() & 1u ? 1 : -1));
        break;
    default:
        if (below(random, 8) == 0)
            input.resize(at);
        else
            input.insert(at, 1 + below(random, 4), static_cast<char>(random()));
    }
}

std::string readFile(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    if (!file)
    {
        std::cerr << path << ": cannot be opened\n";
        std::exit(2);
    }
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// Returns true if the target accepted the input.
bool run(const std::string& input)
{
    currentInput = input;
    ++tried;
    const Budget budget;
    return LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size()) == 0;
}

int replay(const std::vector<std::string>& files)
{
    for (const std::string& file : files)
        std::cout << file << ": " << (run(readFile(file)) ? "read" : "refused") << "\n";
    return 0;
}

int fuzz(double seconds, uint64_t seed, const std::vector<std::string>& files)
{
    std::vector<std::string> pool = fuzzSeeds();
    for (const std::string& file : files)
        pool.push_back(readFile(file));
    for (size_t i = 0; i < pool.size(); ++i)
    {
        if (!run(pool[i]))
        {
            std::cerr << "sound input " << i << " was refused\n";
            saveFailure();
            return 1;
        }
    }
    const size_t seeds = pool.size(), most = seeds + 500;
    const size_t longest = 4096 + 2 * std::max_element(pool.begin(), pool.end(), [](const auto& a, const auto& b) {
                                          return a.size() < b.size();
                                      })->size();
    Random random(seed);
    uint64_t accepted = 0;
    using Clock = std::chrono::steady_clock;
    const auto end = Clock::now() + std::chrono::duration<double>(seconds);
    while (Clock::now() < end)
    {
        std::string input = pool[below(random, pool.size())];
        for (size_t changes = 1 + below(random, 4); changes > 0; --changes)
            mutate(input, pool[below(random, pool.size())], random);
        input.resize(std::min(input.size(), longest));
        if (!run(input))
            continue;
        ++accepted;
        if (pool.size() < most)   // accepted inputs are changed further; the first ones stay
            pool.push_back(input);
        else
            pool[seeds + below(random, most - seeds)] = input;
    }
    std::cout << tried << " inputs tried, " << accepted << " read, the others refused with an error; the most for one: "
              << Budget::mostSeconds() << " s, " << (Budget::mostBytes() >> 10) << " KiB\n";
    return 0;
}

int writeSeeds(const std::string& folder)
{
    size_t number = 0;
    for (const std::string& seed : fuzzSeeds())
        std::ofstream(folder + "/seed-" + std::to_string(number++), std::ios::binary) << seed;
    return 0;
}

}  // namespace

int main(int argc, char** argv)
{
    const std::string program = argv[0];
    failureFile = program.substr(program.rfind('/') + 1) + "-failure.bin";
    double seconds = 60;
    uint64_t seed = 1;
    bool replaying = false;
    std::vector<std::string> files;
    for (int i = 1; i < argc; ++i)
    {
        const std::string word = argv[i];
        if (word == "--replay")
            replaying = true;
        else if (word == "--seconds" && i + 1 < argc)
            seconds = std::atof(argv[++i]);
        else if (word == "--seeds" && i + 1 < argc)
            return writeSeeds(argv[++i]);
        else if (word == "--seed" && i + 1 < argc)
            seed = std::strtoull(argv[++i], nullptr, 10);
        else
            files.push_back(word);
    }
#ifdef LTRP_FUZZ_ASAN
    __sanitizer_set_death_callback(saveFailure);
#endif
    try
    {
        return replaying ? replay(files) : fuzz(seconds, seed, files);
    }
    catch (const std::exception& error)
    {
        std::cerr << "the target let an exception escape: " << error.what() << "\n";
        saveFailure();
        return 1;
    }
}
