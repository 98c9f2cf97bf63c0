// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "run_folder.hpp"
#include "checkpoint.hpp"
#include "../io/atomic_file.hpp"
#include "../io/json_text.hpp"

#include <nlohmann/json.hpp>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <set>

#include <sys/stat.h>
#include <unistd.h>

namespace cv { namespace ltrp { namespace train {

namespace fs = std::filesystem;

namespace
{

const std::string& named(const std::string& path)
{
    LTRP_REQUIRE(!path.empty(), Error::StsBadArg, "out: no folder given");
    return path;
}

}  // namespace

RunFolder::RunFolder(const std::string& path, bool resume) : path_(named(path)), lock_(path, "trains into this folder")
{
    checkContents(resume);
    removeLeftovers();
}

void RunFolder::checkContents(bool resume) const
{
    const bool checkpoints = !listCheckpoints(path_).empty(), final = fs::exists(file("final.safetensors"));
    LTRP_REQUIRE(resume || (!checkpoints && !final), Error::StsBadArg, path_
                 << ": holds the files of another run; go on with it (resume) or choose another folder");
    LTRP_REQUIRE(checkpoints || !final, Error::StsBadArg, path_
                 << ": holds final.safetensors but no checkpoint to go on from; choose another folder");
}

/// Removes temporary files that io::AtomicFile leaves if its process is killed during a write.
void RunFolder::removeLeftovers() const
{
    for (const fs::directory_entry& entry : fs::directory_iterator(path_))
    {
        const std::string name = entry.path().filename().string();
        long process = 0;
        int counter = 0, length = 0;
        if (std::sscanf(name.c_str(), ".ltrp-%ld-%d.tmp%n", &process, &counter, &length) != 2 ||
            length != static_cast<int>(name.size()))
            continue;
        std::error_code ignored;
        if (process == ::getpid() || (::kill(static_cast<pid_t>(process), 0) != 0 && errno == ESRCH))
            fs::remove(entry.path(), ignored);
    }
}

void RunFolder::refuseInputs(const std::vector<std::string>& read) const
{
    std::set<std::pair<uint64_t, uint64_t>> own;
    struct stat info;
    for (const fs::directory_entry& entry : fs::directory_iterator(path_))
        if (::stat(entry.path().c_str(), &info) == 0 && S_ISREG(info.st_mode))
            own.emplace(info.st_dev, info.st_ino);
    if (own.empty())
        return;
    for (const std::string& input : read)
        LTRP_REQUIRE(::stat(input.c_str(), &info) != 0 || !own.count({info.st_dev, info.st_ino}), Error::StsBadArg,
                     input << ": lies in " << path_ << ", where the training writes; choose another folder");
}

std::string RunFolder::file(const std::string& name) const
{
    return (fs::path(path_) / name).string();
}

RunLog::RunLog(const std::string& path, int64_t keep) : path_(path)
{
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    LTRP_REQUIRE(!fs::exists(status) || fs::is_regular_file(status), Error::StsBadArg, path << ": is not a regular file");
    std::ifstream old(path);
    if (keep >= 0 && old.good())
    {
        io::AtomicFile kept(path);
        std::string line;
        while (std::getline(old, line))
        {
            const nlohmann::json json = io::parseJsonText<nlohmann::json>(line);
            if (json.is_object() && json.value("step", nlohmann::json()).is_number_integer() &&
                json["step"].get<double>() <= static_cast<double>(keep))   // double: may exceed int64
                kept.write(line + "\n");
        }
        kept.commit();
        out_.open(path, std::ios::app | std::ios::binary);
    }
    else
        out_.open(path, std::ios::trunc | std::ios::binary);
    LTRP_REQUIRE(out_.good(), Error::StsError, path << ": cannot be written: " << std::strerror(errno));
}

void RunLog::add(const std::string& json)
{
    std::lock_guard<std::mutex> lock(mutex_);
    errno = 0;
    out_ << json << '\n';
    out_.flush();
    LTRP_REQUIRE(out_.good(), Error::StsError, path_ << ": cannot be written: "
                 << (errno ? std::strerror(errno) : "write error"));
}

}}}  // namespace
