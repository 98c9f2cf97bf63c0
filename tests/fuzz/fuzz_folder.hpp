// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TESTS_FUZZ_FOLDER_HPP
#define LTRP_TESTS_FUZZ_FOLDER_HPP

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

/// A temporary folder, in memory if possible, removed at the end of the process.
class FuzzFolder
{
public:
    FuzzFolder()
    {
        std::error_code error;
        const std::filesystem::path memory = "/dev/shm";
        path_ = std::filesystem::is_directory(memory, error) ? memory : std::filesystem::temp_directory_path();
        std::string name = (path_ / "ltrp-fuzz-XXXXXX").string();
        if (!mkdtemp(&name[0]))
            throw std::runtime_error("cannot make a temporary folder");
        path_ = name;
    }
    ~FuzzFolder()
    {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    std::string file(const std::string& name) const { return (path_ / name).string(); }

private:
    std::filesystem::path path_;
};

inline const FuzzFolder& folder()
{
    static const FuzzFolder only;
    return only;
}

#endif
