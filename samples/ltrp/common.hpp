// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_COMMON_HPP
#define LTRP_TOOL_COMMON_HPP

#include <boost/program_options.hpp>

#include <chrono>
#include <cstddef>
#include <exception>
#include <stdexcept>
#include <mutex>
#include <string>
#include <vector>

namespace tool
{

namespace po = boost::program_options;

/// A mistake on the command line: runProgram() prints it as one line and exits with status 2.
class UsageError : public std::runtime_error
{
public:
    using std::runtime_error::runtime_error;
};

/// Thrown by checkInterrupt(): the program exits with status 128 + the signal's number.
class Interrupted : public std::exception
{
public:
    const char* what() const noexcept override { return "interrupted"; }
};

/// The first SIGINT, SIGTERM, SIGUSR1 or SIGHUP only sets a flag, so that what is being written gets finished or removed; the second
/// one ends the process. SIGHUP stays ignored where it was (nohup).
void catchSignals();
/// What the signal says on stderr when it comes; the text must live on.
void announceInterrupt(const char* text);
int interruptSignal();     ///< number of the signal that came, 0 if none
/// Throws Interrupted once a signal came, OutputError once nobody reads what the results are written into.
void checkInterrupt();

/// What `ltrp help COMMAND` prints around the table of options.
struct HelpText
{
    const char* usage;      ///< "ltrp rank PATH... [options]"
    const char* about;      ///< what the command does
    const char* examples;   ///< command lines with a word of explanation
    bool lastIsOutput = false;   ///< the second plain argument is written, not read
};

/// Parses a command's arguments and checks them (po::notify). `positional` names the option that takes the plain
/// arguments, at most `maxPositional` of them (-1: any number); it is declared here, as vector<string>.
/// Adds --help; an option "config" among `options`, when given, names a file of "name = value" lines whose values count where
/// the command line is silent. Files that options and plain arguments name are remembered as inputs (rememberInput), but those
/// of --out, --json, --jsonl, --overlay, --report and --masks.
/// @return false when the help was asked for and has been printed
bool parseArguments(const std::vector<std::string>& args, const HelpText& help, const po::options_description& options,
                    const char* positional, int maxPositional, po::variables_map& values);

/// Marks a file, or the files directly in a folder, as something that this command reads.
void rememberInput(const std::string& path);
/// Throws std::runtime_error where a file to be written is one that this command reads, by whatever name or link.
void refuseInput(const std::string& path);

/// A command's plain arguments; throws UsageError when there are fewer than `atLeast` (`what` names them).
std::vector<std::string> positionals(const po::variables_map& values, const char* name, size_t atLeast,
                                     const char* what);

/// Sets OpenCV's (and with it the module's) thread count from option "threads", where it was given.
void applyThreads(const po::variables_map& values);

/// Options "device" and "precision".
void addPrecision(po::options_description& options);
/// Their cv::ltrp::ComputeTarget; what this processor lacks is said on stderr, and it is fp32 then; a missing GPU is an error.
int targetOption(const po::variables_map& values);
/// The same, but what this processor lacks is an error.
int requiredTargetOption(const po::variables_map& values, const char* option = "precision");

/// An integer seed of option `name`, refused when negative.
unsigned long long seedOption(const po::variables_map& values, const char* name);

/// Number of an option's word in `words`, which stand in the order of an enumeration. @throws UsageError naming all of them
int wordOption(const po::variables_map& values, const char* option, const std::vector<const char*>& words);
template <size_t N> int wordOption(const po::variables_map& values, const char* option, const char* const (&words)[N])
{
    return wordOption(values, option, std::vector<const char*>(words, words + N));
}

/// A number as it would be typed: "0.25".
std::string plain(double value);

/// "448x336". @throws UsageError naming the option
cv::Size parseSize(const char* option, const std::string& text);

/// Everything on one line: OpenCV's checks write several.
std::string oneLine(const std::string& text);

/// Text of an exception without OpenCV's source position, on one line. `file`, where given, stands in front unless the
/// text names it already.
std::string reason(const std::exception& error, const std::string& file = std::string());
/// For messages of the running command: "ltrp rank: ".
void setCommandName(const std::string& name);
/// One line "ltrp COMMAND: text" on stderr, without what would steer a terminal (io::harmless); a progress bar gives way to it.
void complain(const std::string& text);

/// Weight file: the one given, else cv::ltrp::shippedModel(kind). `option` is how the user names one ("--model").
/// @throws std::runtime_error naming the folders searched and the option
std::string findModel(const std::string& given, const std::string& kind, const std::string& option);

/// Held by whoever writes to stderr, or has it turned away for a while, as a photo that is decoded does. One thread may lock it
/// again.
std::recursive_mutex& stderrMutex();

/// Progress of work counted in steps, on stderr: a bar on a terminal, a plain line now and then elsewhere; nothing for
/// work that takes less than two seconds.
class Progress
{
public:
    Progress(const std::string& label, size_t total);
    ~Progress();   ///< takes the bar away
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    void update(size_t done, const std::string& note = std::string());
    void hide();   ///< clears the line until the next update()

private:
    std::string label_;
    size_t total_;
    bool terminal_, shown_ = false;
    std::chrono::steady_clock::time_point start_, last_;
};

}  // namespace tool

#endif
