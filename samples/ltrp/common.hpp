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

/// An error on the command line: runProgram() prints it as one line and exits with status 2.
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

/// Installs handlers: the first SIGINT, SIGTERM, SIGUSR1 or SIGHUP only sets a flag, so that files being written are
/// completed or removed; the second one ends the process. SIGHUP stays ignored if it was (nohup).
void catchSignals();
/// Sets the text that the handler writes to stderr; it must stay valid.
void announceInterrupt(const char* text);
int interruptSignal();     ///< number of the signal received, 0 if none
/// Throws Interrupted after a signal, OutputError if the reader of an output stream has gone.
void checkInterrupt();

/// Text that `ltrp help COMMAND` prints around the table of options.
struct HelpText
{
    const char* usage;      ///< "ltrp rank PATH... [options]"
    const char* about;      ///< what the command does
    const char* examples;   ///< command lines with explanations
    bool lastIsOutput = false;   ///< the second plain argument is an output
};

/// Parses a command's arguments and checks them (po::notify). `positional` names the option that takes the plain
/// arguments, at most `maxPositional` of them (-1: any number); it is declared here, as vector<string>.
/// Adds --help; an option "config" among `options`, when given, names a file of "name = value" lines whose values count where
/// the command line is silent. Files that options and plain arguments name are remembered as inputs (rememberInput), but those
/// of --out, --json, --jsonl, --overlay, --report and --masks.
/// @return false when the help was asked for and has been printed
bool parseArguments(const std::vector<std::string>& args, const HelpText& help, const po::options_description& options,
                    const char* positional, int maxPositional, po::variables_map& values);

/// Records a file, or the files directly in a folder, as inputs of this command.
void rememberInput(const std::string& path);
/// For a command that runs others: none of them reads what another one has read.
void forgetInputs();
/// Throws std::runtime_error if an output file is an input of this command, by any name or link.
void refuseInput(const std::string& path);

/// Returns a command's plain arguments; throws UsageError if there are fewer than `atLeast` (`what` names them).
std::vector<std::string> positionals(const po::variables_map& values, const char* name, size_t atLeast,
                                     const char* what);

/// Sets OpenCV's (and thereby the module's) thread count from option "threads", if given.
void applyThreads(const po::variables_map& values);

/// Options "device" and "precision".
void addPrecision(po::options_description& options);
/// Returns their cv::ltrp::ComputeTarget. If this processor lacks the precision, this is reported on stderr and fp32 is
/// used; a missing GPU is an error.
int targetOption(const po::variables_map& values);
/// The same, but a precision that this processor lacks is an error.
int requiredTargetOption(const po::variables_map& values, const char* option = "precision");

/// The integer seed in option `name`; throws UsageError if it is negative.
unsigned long long seedOption(const po::variables_map& values, const char* name);

/// Index of an option's word in `words`, which are in the order of an enumeration. @throws UsageError naming all of
/// them
int wordOption(const po::variables_map& values, const char* option, const std::vector<const char*>& words);
template <size_t N> int wordOption(const po::variables_map& values, const char* option, const char* const (&words)[N])
{
    return wordOption(values, option, std::vector<const char*>(words, words + N));
}

/// Formats a number as it would be typed: "0.25".
std::string plain(double value);

/// "448x336". @throws UsageError naming the option
cv::Size parseSize(const char* option, const std::string& text);

/// Joins lines: OpenCV's checks produce several.
std::string oneLine(const std::string& text);

/// Text of an exception without OpenCV's source position, on one line. `file`, if given, is prepended unless the text
/// already contains it.
std::string reason(const std::exception& error, const std::string& file = std::string());
/// For messages of the running command: "ltrp rank: ".
void setCommandName(const std::string& name);
/// Prints one line "ltrp COMMAND: text" on stderr, without terminal control characters (io::harmless); hides a progress
/// bar.
void complain(const std::string& text);

/// Weight file: `given`, or cv::ltrp::shippedModel(kind) if it is empty. `option` is the option that names one
/// ("--model"). @throws std::runtime_error naming the folders searched and the option
std::string findModel(const std::string& given, const std::string& kind, const std::string& option);

/// Locked while writing to stderr, or while it is redirected, for example when a photo is decoded. Recursive.
std::recursive_mutex& stderrMutex();

/// Progress of work counted in steps, on stderr: a bar on a terminal, otherwise occasional plain lines; nothing for
/// work of less than two seconds.
class Progress
{
public:
    Progress(const std::string& label, size_t total);
    ~Progress();   ///< removes the bar
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
