// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "common.hpp"

#include "../../modules/ltrp/src/io/file_bytes.hpp"

#include <filesystem>
#include <iostream>
#include <set>
#include <sstream>

#include <sys/stat.h>

namespace tool
{

namespace fs = std::filesystem;

namespace
{

/// Files that this command reads.
std::set<std::pair<dev_t, ino_t>>& inputs()
{
    static std::set<std::pair<dev_t, ino_t>> all;
    return all;
}

void rememberArguments(const po::variables_map& values, const char* positional, const HelpText& help)
{
    for (const auto& entry : values)
    {
        static const std::set<std::string> outputs = {"out", "json", "jsonl", "overlay", "report", "masks"};
        if (outputs.count(entry.first) || entry.second.defaulted())
            continue;
        std::vector<std::string> names;
        if (const auto* one = boost::any_cast<std::string>(&entry.second.value()))
            names.push_back(*one);
        else if (const auto* many = boost::any_cast<std::vector<std::string>>(&entry.second.value()))
            names = *many;
        const bool plainArgument = positional && entry.first == positional;
        if (plainArgument && help.lastIsOutput && names.size() > 1)
            names.resize(1);
        for (const std::string& name : names)
        {
            std::error_code error;
            if (!plainArgument || help.lastIsOutput || !fs::is_directory(name, error))   // folders are listed later
                rememberInput(name);
        }
    }
}

std::string trimmed(const std::string& text)
{
    const size_t first = text.find_first_not_of(" \t\r");
    return first == std::string::npos ? std::string() : text.substr(first, text.find_last_not_of(" \t\r") + 1 - first);
}

/// Maps former names of options to the present ones: old names are still accepted, on the command line and in config
/// files.
std::string presentName(const std::string& name)
{
    return name == "sees" ? "ranker-input" : name;
}

std::vector<std::string> presentNames(std::vector<std::string> args)
{
    for (std::string& arg : args)
    {
        if (arg == "--")
            break;
        const size_t end = std::min(arg.find('='), arg.size());
        if (arg.compare(0, 2, "--") == 0)
            arg = "--" + presentName(arg.substr(2, end - 2)) + arg.substr(end);
    }
    return args;
}

/// Parses lines "name = value", or the name of a switch. A # at the beginning of a line makes it a comment. Quotes
/// around a value are removed, so that it may contain anything; without them a # after a blank is ambiguous and an
/// error.
po::parsed_options parseConfig(const std::string& path, const po::options_description& options)
{
    std::shared_ptr<const cv::ltrp::io::FileBytes> bytes;
    std::error_code error;
    if (!fs::is_regular_file(path, error) || fs::file_size(path, error) > 0)   // an empty file cannot be mapped
        bytes = cv::ltrp::io::FileBytes::map(path);
    std::istringstream lines(bytes ? std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size()) : std::string());
    po::parsed_options parsed(&options);
    int number = 0;
    for (std::string line; std::getline(lines, line);)
    {
        const std::string where = "line " + std::to_string(++number) + ": ";
        if (number == 1 && line.compare(0, 3, "\xef\xbb\xbf") == 0)
            line.erase(0, 3);
        if (line.find('\0') != std::string::npos)
            throw po::error(where + "is no text");
        line = trimmed(line);
        if (line.empty() || line[0] == '#')
            continue;
        const size_t equals = line.find('=');
        const std::string name = presentName(trimmed(line.substr(0, equals)));
        std::string value = equals == std::string::npos ? std::string() : trimmed(line.substr(equals + 1));
        const po::option_description* known = options.find_nothrow(name, false);
        if (!known)
            throw po::error(where + "unrecognised option '" + name + "'");
        const bool quoted = value.size() > 1 && (value[0] == '"' || value[0] == '\'') && value.back() == value[0];
        if (quoted)
            value = value.substr(1, value.size() - 2);
        else if (value.find(" #") != std::string::npos || value.find("\t#") != std::string::npos)
            throw po::error(where + "is # a part of the value of '" + name + "' or the beginning of a comment? Put the value into "
                            "quotes, or the comment on a line of its own");
        if (equals == std::string::npos && known->semantic()->max_tokens() > 0 && known->semantic()->min_tokens() > 0)
            throw po::error(where + "expected '" + name + " = value'");
        po::option option(name, std::vector<std::string>(value.empty() && equals == std::string::npos ? 0 : 1, value));
        option.original_tokens = {name, value};
        parsed.options.push_back(option);
    }
    return parsed;
}

}  // namespace

bool parseArguments(const std::vector<std::string>& args, const HelpText& help, const po::options_description& options,
                    const char* positional, int maxPositional, po::variables_map& values)
{
    po::options_description general("Help");
    general.add_options()("help,h", "print this help");
    po::options_description accepted;
    accepted.add(options).add(general);
    po::positional_options_description places;
    if (positional)
    {
        accepted.add_options()(positional, po::value<std::vector<std::string>>());
        places.add(positional, maxPositional);
    }
    try
    {
        // No abbreviated names: a new option must not change the meaning of an old command line.
        const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
        po::store(po::command_line_parser(presentNames(args)).options(accepted).positional(places).style(style).run(), values);
        if (values.count("help"))
        {
            std::cout << "Usage: " << help.usage << "\n\n"
                      << help.about << "\n"
                      << options << "\n"
                      << general << "\n"
                      << help.examples;
            return false;
        }
        if (options.find_nothrow("config", false) && values.count("config"))
        {
            const std::string path = values["config"].as<std::string>();
            try
            {
                po::store(parseConfig(path, options), values);
            }
            catch (const po::error& error)
            {
                throw UsageError("--config: " + path + ": " + oneLine(error.what()));
            }
            catch (const cv::Exception& error)
            {
                throw UsageError("--config: " + error.err);
            }
        }
        po::notify(values);
        rememberArguments(values, positional, help);
    }
    catch (const po::error& error)
    {
        throw UsageError(oneLine(error.what()));
    }
    return true;
}

void rememberInput(const std::string& path)
{
    struct stat info;
    if (::stat(path.c_str(), &info) != 0)
        return;
    if (S_ISREG(info.st_mode))
        inputs().emplace(info.st_dev, info.st_ino);
    std::error_code error;
    if (S_ISDIR(info.st_mode))   // weights together with the files next to them
        for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error))
            if (!it->is_directory(error))
                rememberInput(it->path().string());
}

void forgetInputs() { inputs().clear(); }

void refuseInput(const std::string& path)
{
    struct stat info;
    if (::stat(path.c_str(), &info) == 0 && inputs().count({info.st_dev, info.st_ino}))
        throw std::runtime_error(path + ": is an input and would be overwritten");
}

}  // namespace tool
