// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_COMMANDS_HPP
#define LTRP_TOOL_COMMANDS_HPP

#include <string>
#include <vector>

namespace tool
{

/// One function per subcommand. `args` are the arguments after the command's name; the result is the exit status: 0
/// done, 1 something failed (already reported on stderr). Other failures are thrown (UsageError -> 2, Interrupted ->
/// 130, any other exception -> 1) and printed by runProgram() as one line "ltrp COMMAND: reason".
int runRank(const std::vector<std::string>& args);
int runTokens(const std::vector<std::string>& args);
int runPoints(const std::vector<std::string>& args);
int runRegions(const std::vector<std::string>& args);
int runRoi(const std::vector<std::string>& args);
int runScore(const std::vector<std::string>& args);
int runPack(const std::vector<std::string>& args);
int runPretrain(const std::vector<std::string>& args);
int runTrain(const std::vector<std::string>& args);
int runFinetune(const std::vector<std::string>& args);
int runPredict(const std::vector<std::string>& args);
int runEval(const std::vector<std::string>& args);
int runPlot(const std::vector<std::string>& args);
int runConvert(const std::vector<std::string>& args);
int runInfo(const std::vector<std::string>& args);
int runGolden(const std::vector<std::string>& args);
/// `ltrp eval downstream`; args: what follows these words.
int runDownstream(std::vector<std::string> args);

/// Runs the tool's command line. failure: the line to pass to complain(); empty if everything has been reported @return
/// the exit status
int runProgram(int argc, char** argv, std::string& failure);

}  // namespace tool

#endif
