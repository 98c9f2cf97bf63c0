// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TESTS_MPI_TOOLS_HPP
#define LTRP_TESTS_MPI_TOOLS_HPP

#include <boost/test/unit_test.hpp>

#include "process.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstring>
#include <regex>
#include <sstream>

using testing_tools::Outcome;
using testing_tools::Process;
using testing_tools::readText;
using testing_tools::writeText;
using Json = nlohmann::json;
using testing_tools::Words;
using testing_tools::operator+;

/// Waiting threads leave the processors to other tests; no warnings if a container forbids reading another process.
const std::map<std::string, std::string> ENVIRONMENT = {{"OMP_WAIT_POLICY", "passive"},
                                                        {"OMPI_MCA_btl_vader_single_copy_mechanism", "none"}};

/// Programs that mpirun starts; several are separated by ":".
inline Words mpirun(const Words& what)
{
#ifdef LTRP_OPEN_MPI
    return Words{LTRP_MPIRUN, "--allow-run-as-root", "--oversubscribe"} + what;
#else
    return Words{LTRP_MPIRUN} + what;
#endif
}

inline Outcome run(const Words& command)
{
    return Process(command, ENVIRONMENT).wait(300);
}

/// All values of a weight file, which consists of a header's size, the header and the values.
inline std::vector<float> values(const std::string& path)
{
    const std::string bytes = readText(path);
    uint64_t header = 0;
    std::memcpy(&header, bytes.data(), sizeof header);
    std::vector<float> result((bytes.size() - 8 - header) / sizeof(float));
    std::memcpy(result.data(), bytes.data() + 8 + header, result.size() * sizeof(float));
    return result;
}

inline double distance(const std::vector<float>& a, const std::vector<float>& b)
{
    BOOST_REQUIRE(a.size() == b.size());
    double squares = 0;
    for (size_t i = 0; i < a.size(); i++)
        squares += std::pow(static_cast<double>(a[i]) - b[i], 2);
    return std::sqrt(squares);
}

/// Jobs of mpirun and the folder of their results.
struct JobFixture
{
    const std::string photos = std::string(LTRP_SOURCE_DIR) + "/samples/photos";
    testing_tools::TemporaryFolder folder;

    static std::string must(const Words& command)
    {
        const Outcome outcome = run(command);
        BOOST_REQUIRE_MESSAGE(outcome.status == 0, "status " << outcome.status << ": " << outcome.err);
        return outcome.err;
    }
    std::string result(const std::string& out) const { return readText(folder.file(out + "/final.safetensors")); }

    std::vector<Json> log(const std::string& out) const
    {
        std::vector<Json> lines;
        std::istringstream text(readText(folder.file(out + "/log.jsonl")));
        for (std::string line; std::getline(text, line);)
            lines.push_back(Json::parse(line));
        return lines;
    }
    /// [step, loss, gradient norm] of each update.
    std::vector<std::vector<double>> course(const std::string& out) const
    {
        std::vector<std::vector<double>> steps;
        for (const Json& line : log(out))
            if (line["event"] == "step")
                steps.push_back({line["step"].get<double>(), line["loss"].get<double>(), line["grad_norm"].get<double>()});
        return steps;
    }

    /// Waits until an update is logged; returns the processes of the workers named in the log's last start entry.
    std::vector<pid_t> processes(const std::string& out, Process& job) const
    {
        const std::string path = folder.file(out + "/log.jsonl");
        while (job.running() && !(std::filesystem::exists(path) && readText(path).find("\"loss\"") != std::string::npos))
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        std::vector<pid_t> found;
        static const std::regex process("process ([0-9]+)");
        std::istringstream text(readText(path));
        std::string line;
        std::getline(text, line);
        for (std::sregex_iterator it(line.begin(), line.end(), process), end; it != end; ++it)
            found.push_back(std::stoi((*it)[1]));
        return found;
    }
};

#endif
