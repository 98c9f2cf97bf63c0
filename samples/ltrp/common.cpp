// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "common.hpp"
#include "streams.hpp"

#include "../../modules/ltrp/src/io/file_bytes.hpp"

#include <opencv2/ltrp/models.hpp>
#include <opencv2/ltrp/types.hpp>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <new>
#include <sstream>

#include <sys/ioctl.h>
#include <unistd.h>

namespace tool
{

namespace
{

volatile std::sig_atomic_t caughtSignal = 0, hangupIgnored = 0;
std::string commandName;
Progress* visibleProgress = nullptr;

const char* volatile interruptText = nullptr;

void rememberSignal(int number)
{
    caughtSignal = number;
    if (interruptText)
    {
        const int before = errno;
        if (write(STDERR_FILENO, interruptText, std::strlen(interruptText)) < 0)
            errno = before;
        errno = before;
    }
    // The next signal has its default effect. SIGUSR1 is only a request, and launchers deliver it more than once.
    for (const int one : {SIGINT, SIGTERM, SIGHUP})
        if (one != SIGHUP || !hangupIgnored)
            std::signal(one, SIG_DFL);
}

std::string duration(double seconds)
{
    const long total = std::lround(std::min(seconds, 359999.0));
    char text[32];
    if (total >= 3600)
        std::snprintf(text, sizeof text, "%ld:%02ld:%02ld", total / 3600, total / 60 % 60, total % 60);
    else
        std::snprintf(text, sizeof text, "%ld:%02ld", total / 60, total % 60);
    return text;
}

}  // namespace

std::string oneLine(const std::string& text)
{
    std::string line;
    for (char c : text)
    {
        const bool blank = c == '\n' || c == '\r' || c == '\t' || c == ' ';
        if (!blank)
            line += c;
        else if (!line.empty() && line.back() != ' ')
            line += ' ';
    }
    while (!line.empty() && line.back() == ' ')
        line.pop_back();
    return line;
}

void catchSignals()
{
    // A separate stack: generated matrix kernels may leave no room for a signal handler on their thread's stack.
    static char stack[65536];
    stack_t alternative = {};
    alternative.ss_sp = stack;
    alternative.ss_size = sizeof stack;
    sigaltstack(&alternative, nullptr);
    struct sigaction action = {};
    action.sa_handler = rememberSignal;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART | SA_ONSTACK;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    sigaction(SIGUSR1, &action, nullptr);   // Slurm and mpirun send it to request an early end
    struct sigaction before = {};
    sigaction(SIGHUP, nullptr, &before);
    hangupIgnored = before.sa_handler == SIG_IGN;
    if (!hangupIgnored)
        sigaction(SIGHUP, &action, nullptr);
    // A reader that has gone ("ltrp rank ... --json - | head") is reported as a write error instead of killing the
    // process.
    std::signal(SIGPIPE, SIG_IGN);
}

void announceInterrupt(const char* text)
{
    interruptText = text;
}

int interruptSignal()
{
    return caughtSignal;
}

void checkInterrupt()
{
    if (caughtSignal)
        throw Interrupted();
    requireReaders();
}

std::vector<std::string> positionals(const po::variables_map& values, const char* name, size_t atLeast,
                                     const char* what)
{
    std::vector<std::string> list;
    if (values.count(name))
        list = values[name].as<std::vector<std::string>>();
    if (list.size() < atLeast)
        throw UsageError(std::string("missing ") + what + " (see 'ltrp help " + commandName + "')");
    for (const std::string& entry : list)
        if (entry.empty())
            throw UsageError(std::string("empty ") + what);
    return list;
}

void applyThreads(const po::variables_map& values)
{
    if (!values.count("threads"))
        return;
    const int threads = values["threads"].as<int>();
    if (threads < 1 || threads > 4096)
        throw UsageError("--threads: " + std::to_string(threads) + " is outside 1 to 4096");
    cv::setNumThreads(threads);
}

void addPrecision(po::options_description& options)
{
    options.add_options()("precision", po::value<std::string>()->value_name("NAME")->default_value("fp32"),
                          "matrix products in fp32, bf16 or int8; fp32 with a warning if the processor lacks it. "
                          "On cuda: fp32, tf32, bf16 or fp16")
        ("device", po::value<std::string>()->value_name("NAME")->default_value("cpu"),
         "cpu, or cuda: an NVIDIA GPU; an error if there is none");
}

namespace
{

struct NamedTarget
{
    const char* name;
    int target;
};
const NamedTarget cpuTargets[] = {{"fp32", cv::ltrp::TARGET_CPU}, {"bf16", cv::ltrp::TARGET_CPU_BF16},
                                  {"int8", cv::ltrp::TARGET_CPU_INT8}};
const NamedTarget cudaTargets[] = {{"fp32", cv::ltrp::TARGET_CUDA}, {"tf32", cv::ltrp::TARGET_CUDA_TF32},
                                   {"bf16", cv::ltrp::TARGET_CUDA_BF16}, {"fp16", cv::ltrp::TARGET_CUDA_FP16}};

template <size_t count>
int targetNamed(const NamedTarget (&targets)[count], const std::string& name, const char* option)
{
    std::string known;
    for (const NamedTarget& target : targets)
    {
        if (name == target.name)
            return target.target;
        known += (known.empty() ? "" : ", ") + std::string(target.name);
    }
    throw UsageError(std::string("--") + option + ": '" + name + "' is none of " + known);
}

int wantedTarget(const po::variables_map& values, const char* option)
{
    return targetNamed(cpuTargets, values[option].as<std::string>(), option);
}

bool wantsCuda(const po::variables_map& values)
{
    const std::string device = values["device"].as<std::string>();
    if (device != "cpu" && device != "cuda")
        throw UsageError("--device: '" + device + "' is none of cpu, cuda");
    return device == "cuda";
}

int cudaTarget(const po::variables_map& values, const char* option)
{
    const int wanted = targetNamed(cudaTargets, values[option].as<std::string>(), option);
    const std::string why = cv::ltrp::missingForTarget(wanted);
    if (!why.empty())   // no fall-back: with a GPU requested, computing on the CPU would take too long
        throw UsageError("--device cuda: " + why);
    return wanted;
}

}  // namespace

int targetOption(const po::variables_map& values)
{
    if (wantsCuda(values))
        return cudaTarget(values, "precision");
    const int target = wantedTarget(values, "precision");
    const std::string missing = cv::ltrp::missingForTarget(target);
    if (missing.empty())
        return target;
    complain("--precision " + values["precision"].as<std::string>() + ": " + missing + "; computing in fp32");
    return cv::ltrp::TARGET_CPU;
}

int requiredTargetOption(const po::variables_map& values, const char* option)
{
    if (wantsCuda(values))
        return cudaTarget(values, option);
    const int target = wantedTarget(values, option);
    const std::string missing = cv::ltrp::missingForTarget(target);
    if (!missing.empty())   // no fall-back: the result depends on the precision
        throw UsageError(std::string("--") + option + " " + values[option].as<std::string>() + ": " + missing);
    return target;
}

unsigned long long seedOption(const po::variables_map& values, const char* name)
{
    const long long seed = values[name].as<long long>();
    if (seed < 0)
        throw UsageError(std::string("--") + name + ": " + std::to_string(seed) + " is negative");
    return static_cast<unsigned long long>(seed);
}

cv::Size parseSize(const char* option, const std::string& text)
{
    const size_t cross = text.find('x');
    const auto number = [&](const std::string& digits)
    {
        const bool good = !digits.empty() && digits.size() <= 6 && digits.find_first_not_of("0123456789") == std::string::npos;
        return good ? std::stoi(digits) : 0;
    };
    const cv::Size size(number(text.substr(0, cross)), cross == std::string::npos ? 0 : number(text.substr(cross + 1)));
    if (size.empty())
        throw UsageError(std::string(option) + ": '" + text + "' is no size in pixels as 448x336");
    return size;
}

int wordOption(const po::variables_map& values, const char* option, const std::vector<const char*>& words)
{
    const std::string word = values[option].as<std::string>();
    std::string all;
    for (size_t i = 0; i < words.size(); ++i)
    {
        if (word == words[i])
            return static_cast<int>(i);
        all += (i ? ", " : "") + std::string(words[i]);
    }
    throw UsageError(std::string("--") + option + ": '" + word + "' is none of " + all);
}

std::string plain(double value)
{
    std::ostringstream text;
    text << value;
    return text.str();
}

std::string reason(const std::exception& error, const std::string& file)
{
    std::string text;
    if (const auto* fromOpenCv = dynamic_cast<const cv::Exception*>(&error))
        text = fromOpenCv->code == cv::Error::StsNoMem ? "out of memory: " + fromOpenCv->err : fromOpenCv->err;
    else if (dynamic_cast<const std::bad_alloc*>(&error))
        text = "out of memory";
    else
        text = error.what();
    text = oneLine(text);
    if (!file.empty() && text.find(file) == std::string::npos)
        text = file + ": " + text;
    return text;
}

void setCommandName(const std::string& name)
{
    commandName = name;
}

std::recursive_mutex& stderrMutex()
{
    static std::recursive_mutex mutex;
    return mutex;
}

void complain(const std::string& text)
{
    const std::lock_guard<std::recursive_mutex> lock(stderrMutex());
    if (visibleProgress)
        visibleProgress->hide();
    // Written at once: mpirun inserts its own lines between writes.
    const std::string name = commandName.empty() ? "ltrp" : "ltrp " + commandName;
    std::cerr << name + ": " + cv::ltrp::io::harmless(text) + "\n" << std::flush;
}

std::string findModel(const std::string& given, const std::string& kind, const std::string& option)
{
    std::string path = given;
    try
    {
        if (path.empty())
            path = cv::ltrp::shippedModel(kind);
    }
    catch (const cv::Exception& error)
    {
        throw std::runtime_error(error.err + " with " + option);   // error.err ends with "name one"
    }
    rememberInput(path);
    return path;
}

Progress::Progress(const std::string& label, size_t total)
    : label_(label), total_(std::max<size_t>(total, 1)), terminal_(isatty(STDERR_FILENO) != 0),
      start_(std::chrono::steady_clock::now()), last_(start_)
{
    visibleProgress = this;
}

Progress::~Progress()
{
    const std::lock_guard<std::recursive_mutex> lock(stderrMutex());
    hide();
    visibleProgress = nullptr;
}

void Progress::update(size_t done, const std::string& note)
{
    using Seconds = std::chrono::duration<double>;
    const auto now = std::chrono::steady_clock::now();
    const double elapsed = Seconds(now - start_).count(), sinceLast = Seconds(now - last_).count();
    if (done >= total_ || elapsed < 2.0 || sinceLast < (terminal_ ? 0.1 : 10.0))
        return;
    last_ = now;
    const std::lock_guard<std::recursive_mutex> lock(stderrMutex());
    const double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total_));
    std::ostringstream text;
    text << label_ << ' ' << done << '/' << total_;
    if (done)
        text << ' ' << duration(elapsed / share - elapsed) << " left";
    text << (note.empty() ? "" : " ") << note;
    if (!terminal_)
    {
        std::cerr << text.str() << std::endl;
        return;
    }
    winsize window = {};
    const size_t columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 20 ? window.ws_col : 80;
    std::string bar(24, '-');
    std::fill_n(bar.begin(), static_cast<size_t>(share * 24), '#');
    std::cerr << "\r\033[K" << ('[' + bar + "] " + text.str()).substr(0, columns - 1) << std::flush;
    shown_ = true;
}

void Progress::hide()
{
    const std::lock_guard<std::recursive_mutex> lock(stderrMutex());
    if (shown_)
        std::cerr << "\r\033[K" << std::flush;
    shown_ = false;
}

}  // namespace tool
