// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TESTS_PROCESS_HPP
#define LTRP_TESTS_PROCESS_HPP

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace testing_tools
{

using Words = std::vector<std::string>;   ///< words of a command line

inline Words operator+(Words a, const Words& b)
{
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

inline bool contains(const std::string& text, const std::string& part)
{
    return text.find(part) != std::string::npos;
}

/// A temporary folder, removed with the object.
class TemporaryFolder
{
public:
    TemporaryFolder()
    {
        std::string name = (std::filesystem::temp_directory_path() / "ltrp-test-XXXXXX").string();
        if (!mkdtemp(&name[0]))
            throw std::runtime_error("cannot make a temporary folder");
        path_ = name;
    }
    ~TemporaryFolder()
    {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    const std::filesystem::path& path() const { return path_; }
    std::string file(const std::string& name) const { return (path_ / name).string(); }

private:
    std::filesystem::path path_;
};

inline std::string readText(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    if (!file)
        throw std::runtime_error(path + ": cannot be opened");
    return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

inline void writeText(const std::string& path, const std::string& text)
{
    std::ofstream file(path, std::ios::binary);
    file << text;
    if (!file.flush())
        throw std::runtime_error(path + ": cannot be written");
}

/// Limits the size of files while it exists: writes fail midway, as on a full disk.
class SmallDisk
{
public:
    explicit SmallDisk(rlim_t bytes)
    {
        oldHandler_ = std::signal(SIGXFSZ, SIG_IGN);
        getrlimit(RLIMIT_FSIZE, &old_);
        rlimit limit = old_;
        limit.rlim_cur = bytes;
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
            throw std::runtime_error("setrlimit failed");
    }
    ~SmallDisk()
    {
        setrlimit(RLIMIT_FSIZE, &old_);
        std::signal(SIGXFSZ, oldHandler_);
    }

private:
    rlimit old_;
    void (*oldHandler_)(int);
};

struct Outcome
{
    int status = -1;   ///< exit status; 1000 + the signal's number if a signal ended the process
    std::string out, err;
};

/// The program for a command. tests/coverage replaces the tool by an instrumented one.
inline std::string programOf(const std::string& name)
{
#ifdef LTRP_TOOL
    const char* measured = std::getenv("LTRP_MEASURED_TOOL");
    if (measured && name == LTRP_TOOL)
        return measured;
#endif
    return name;
}

/// A running program with its stdout and stderr in files. No shell is involved.
class Process
{
public:
    Process(const std::vector<std::string>& command, const std::map<std::string, std::string>& environment = {})
    {
        std::vector<char*> argv;
        for (const std::string& word : command)
            name_ += (name_.empty() ? "" : " ") + word;
        for (const std::string& word : command)
            argv.push_back(const_cast<char*>(word.c_str()));
        argv.push_back(nullptr);
        const std::string out = folder_.file("out"), err = folder_.file("err"), program = programOf(command.at(0));
        pid_ = fork();
        if (pid_ < 0)
            throw std::runtime_error("fork failed");
        if (pid_ == 0)
        {
            const int outFile = open(out.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
            const int errFile = open(err.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
            const int nothing = open("/dev/null", O_RDONLY);
            if (outFile < 0 || errFile < 0 || nothing < 0)
                _exit(126);
            dup2(nothing, 0);
            dup2(outFile, 1);
            dup2(errFile, 2);
            for (const auto& variable : environment)
                setenv(variable.first.c_str(), variable.second.c_str(), 1);
            execv(program.c_str(), argv.data());
            _exit(127);
        }
    }
    ~Process()
    {
        if (pid_ > 0)
        {
            ::kill(pid_, SIGKILL);
            waitpid(pid_, nullptr, 0);
        }
    }
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    void signal(int number) const { ::kill(pid_, number); }

    /// True once the program has its own handler for the signal (until then the signal would end it).
    bool catches(int number) const
    {
        std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
        for (std::string line; std::getline(status, line);)
            if (line.compare(0, 7, "SigCgt:") == 0)
                return (std::stoull(line.substr(7), nullptr, 16) >> (number - 1) & 1) != 0;
        return false;
    }

    /// True while it runs; afterwards wait() returns the outcome at once.
    bool running()
    {
        if (pid_ > 0 && waitpid(pid_, &state_, WNOHANG) == pid_)
            pid_ = 0;
        return pid_ > 0;
    }

    /// @throws std::runtime_error after that many seconds: a hanging program fails its test with a message.
    Outcome wait(int seconds = 600)
    {
        using Clock = std::chrono::steady_clock;
        const Clock::time_point end = Clock::now() + std::chrono::seconds(seconds);
        for (auto pause = std::chrono::microseconds(100); running(); pause = std::min(2 * pause, std::chrono::microseconds(5000)))
        {
            if (Clock::now() > end)
                throw std::runtime_error(name_ + ": still runs after " + std::to_string(seconds) + " s; it said: " +
                                         readText(folder_.file("err")));
            std::this_thread::sleep_for(pause);
        }
        Outcome outcome;
        outcome.status = WIFEXITED(state_) ? WEXITSTATUS(state_) : 1000 + WTERMSIG(state_);
        outcome.out = readText(folder_.file("out"));
        outcome.err = readText(folder_.file("err"));
        return outcome;
    }

private:
    TemporaryFolder folder_;
    std::string name_;
    pid_t pid_ = -1;
    int state_ = 0;
};

inline Outcome runProcess(const std::vector<std::string>& command,
                          const std::map<std::string, std::string>& environment = {})
{
    return Process(command, environment).wait();
}

}  // namespace testing_tools

#endif
