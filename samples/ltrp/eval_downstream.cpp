// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "claims.hpp"
#include "classifier_run.hpp"
#include "commands.hpp"
#include "finetune.hpp"
#include "predict_output.hpp"
#include "selector_options.hpp"

#include "../../modules/ltrp/src/image/photo_file.hpp"
#include "../../modules/ltrp/src/io/file_bytes.hpp"
#include "../../modules/ltrp/src/io/json_text.hpp"
#include "../../modules/ltrp/src/train/initial_weights.hpp"
#include "../../modules/ltrp/src/train/targets.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <thread>

namespace tool
{

namespace fs = std::filesystem;

namespace
{

const HelpText HELP = {
    "ltrp eval downstream CONFIG [options]",
    "Measures what kept patches are worth: for every selector, share of patches and seed (a cell) a network is trained\n"
    "and tested on the patches that the selector keeps. A cell is the two commands 'ltrp finetune' and 'ltrp predict',\n"
    "which its file OUT/cells/SELECTOR-KEEP-SEED.json names beside the measures. Cells that are there are not computed\n"
    "again, and a training that was stopped goes on. With train-selector one network per share and seed is trained, on\n"
    "patches by these selectors, and tested with each; with train-keep one network for all shares. The same command may\n"
    "run several times at once: the processes share out the networks.\n"
    "CONFIG holds the options, one \"name = value\" per line. In finetune and predict {seed} is the seed of the cell.\n"
    "The table has the measures of the task (finetune = --task ...): mean over seeds with its standard error.\n"
    "With train-selector, 'merge' may stand among the selectors: in its cells the network sees all patches and merges\n"
    "their tokens to the share ('ltrp predict --merge').\n",
    "Example of CONFIG:\n"
    "  train = caltech101/train\n"
    "  test = caltech101/val\n"
    "  selector = ranker,random,centre\n"
    "  keep = 0.25,0.5\n"
    "  seed = 0,1,2\n"
    "  finetune = --epochs 20 --batch 64\n"
    "  out = runs/grid\n"};

/// Stands among the selectors for 'ltrp predict --merge'.
const char* const MERGE = "merge";

struct Cell
{
    std::string selector, keep, seed;
    std::string name() const { return selector + "-" + keep + "-" + seed; }
};

std::vector<std::string> split(const std::string& text, char at)
{
    std::vector<std::string> parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, at);)
        if (!part.empty())
            parts.push_back(part);
    return parts;
}

std::vector<std::string> listOption(const po::variables_map& values, const char* option)
{
    const std::vector<std::string> list = split(values[option].as<std::string>(), ',');
    if (list.empty())
        throw UsageError(std::string("--") + option + ": the list is empty");
    if (std::set<std::string>(list.begin(), list.end()).size() != list.size())
        throw UsageError(std::string("--") + option + ": " + values[option].as<std::string>() + " names something twice");
    return list;
}

/// The lists hold what ends up in names of files.
void checkNumbers(const std::vector<std::string>& list, const char* option, bool whole)
{
    for (const std::string& text : list)
    {
        size_t end = 0;
        double value = -1;
        if (text.size() <= 20 && text.find_first_not_of(whole ? "0123456789" : "0123456789.") == std::string::npos)
            try
            {
                value = whole ? static_cast<double>(std::stoll(text, &end)) : std::stod(text, &end);
            }
            catch (const std::exception&)
            {
            }
        if (end != text.size() || value < 0 || (!whole && !(value > 0 && value <= 1)))
            throw UsageError(std::string("--") + option + ": '" + text.substr(0, 40) + "' is no " +
                             (whole ? "whole number up to 9223372036854775807" : "share above 0 and up to 1"));
    }
}

/// Null where there is no file.
Json readJson(const std::string& file)
{
    std::error_code error;
    if (!fs::exists(file, error))
        return nullptr;
    const std::shared_ptr<const cv::ltrp::io::FileBytes> bytes = cv::ltrp::io::FileBytes::map(file);
    return cv::ltrp::io::parseJsonText<Json>({reinterpret_cast<const char*>(bytes->data()), bytes->size()});
}

/// The JSON of a finished cell; null where there is none.
Json finished(const std::string& file, cv::ltrp::vit::Task task)
{
    const Json cell = readJson(file);
    if (cell.is_null())
        return cell;
    const auto need = [&](const char* key, bool found)
    {
        if (!found)
            throw std::runtime_error(file + ": is no cell of this command ('" + key + "' is missing); remove it to compute it again");
    };
    for (const Measure& measure : measuresOf(task))
        need(measure.name, cell.is_object() && cell.contains(measure.name) && cell[measure.name].is_number());
    need("failed", cell.contains("failed") && cell["failed"].is_number());
    need("commands", cell.contains("commands"));
    need("inputs", cell.contains("inputs") && cell["inputs"].is_object());
    return cell;
}

double seconds(std::chrono::steady_clock::time_point since)
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
}

/// Mean and standard error over seeds; one seed has no error.
std::string meanText(const std::vector<double>& values)
{
    double mean = 0, squares = 0;
    const double n = static_cast<double>(values.size());
    for (const double value : values)
        mean += value / n;
    for (const double value : values)
        squares += (value - mean) * (value - mean);
    char text[64];
    if (values.size() > 1)
        std::snprintf(text, sizeof text, "%.4f +- %.4f", mean, std::sqrt(squares / (n - 1) / n));
    else
        std::snprintf(text, sizeof text, "%.4f          ", mean);
    return text;
}

class Grid
{
public:
    explicit Grid(const po::variables_map& values)
        : train_(values["train"].as<std::string>()), test_(values["test"].as<std::string>()), out_(values["out"].as<std::string>()),
          keeps_(listOption(values, "keep")), seeds_(listOption(values, "seed")),
          threads_(cv::getNumThreads()), pixels_(cv::ltrp::image::maxPixels()),
          finetune_(split(values["finetune"].as<std::string>(), ' ')), predict_(split(values["predict"].as<std::string>(), ' '))
    {
        if (values.count("train-selector"))
            shared_ = values["train-selector"].as<std::string>();
        if (values.count("train-keep"))
            trainKeep_ = values["train-keep"].as<std::string>();
        checkNumbers(keeps_, "keep", false);
        checkNumbers(seeds_, "seed", true);
        double least = 1;
        for (const std::string& keep : keeps_)
            least = std::min(least, std::stod(keep));
        selectors_ = selectorNames(values, least, MERGE);
        if (shared_.empty() && std::find(selectors_.begin(), selectors_.end(), MERGE) != selectors_.end())
            throw UsageError("--selector: merge is no selector to train with; it needs --train-selector");
    }

    /// The commands that make a cell, each without "ltrp".
    std::vector<std::vector<std::string>> commands(const Cell& cell) const
    {
        const std::string run = runOf(cell);
        std::vector<std::string> train = {"finetune", train_, "--out", run, "--keep", trainKeep(cell), "--selector",
                                          shared_.empty() ? cell.selector : shared_, "--seed", cell.seed, "--resume"};
        std::vector<std::string> test = {"predict", run + "/final.safetensors", test_, "--labels"};
        if (cell.selector == MERGE)
            test.insert(test.end(), {"--merge", cell.keep});
        else
            test.insert(test.end(), {"--keep", cell.keep, "--selector", cell.selector});
        test.insert(test.end(), {"--seed", cell.seed, "--jsonl", fileOf(cell, ".images.jsonl"), "--report",
                                 fileOf(cell, ".accuracy.json")});
        const std::vector<std::string> trainMore = optionsFor(shared_.empty() ? cell.selector : shared_, cell.seed, finetune_),
                                       testMore = optionsFor(cell.selector, cell.seed, predict_);
        train.insert(train.end(), trainMore.begin(), trainMore.end());
        test.insert(test.end(), testMore.begin(), testMore.end());
        return {train, test};
    }

    int run()
    {
        fs::create_directories(fs::path(out_) / "cells");
        const std::vector<std::vector<std::string>> first = commands({selectors_[0], keeps_[0], seeds_[0]});
        const cv::ltrp::train::ClassifierTrainParams params = trainingOf(first);
        task_ = params.task;
        const cv::ltrp::train::Dataset trained = cv::ltrp::train::listLabelled({train_, task_, params.images});
        trainData_ = cv::ltrp::train::datasetText(trained);
        const po::variables_map tested = testOptions(first);
        const std::string images = tested.count("images") ? tested["images"].as<std::string>() : std::string();
        testData_ = cv::ltrp::train::datasetText(cv::ltrp::train::listLabelled({test_, task_, images}, trained.classes));
        checkMerging(params);
        std::deque<Cell> cells;
        for (const std::string& keep : keeps_)
            for (const std::string& selector : selectors_)
                for (const std::string& seed : seeds_)
                    cells.push_back({selector, keep, seed});
        const int status = compute(std::move(cells));
        print();
        return status;
    }

private:
    std::string runOf(const Cell& cell) const
    {
        const Cell trained = {shared_.empty() ? cell.selector : "shared", trainKeep(cell), cell.seed};
        return (fs::path(out_) / "runs" / trained.name()).string();
    }
    const std::string& trainKeep(const Cell& cell) const { return trainKeep_.empty() ? cell.keep : trainKeep_; }
    std::string fileOf(const Cell& cell, const char* end) const { return (fs::path(out_) / "cells" / (cell.name() + end)).string(); }

    /// Without --classifier where no selector of the cell uses it: such a command refuses it, and a grid with other
    /// selectors could not name one. selectors: separated by commas
    static std::vector<std::string> optionsFor(const std::string& selectors, const std::string& seed,
                                               std::vector<std::string> words)
    {
        for (std::string& word : words)
            for (size_t at; (at = word.find("{seed}")) != std::string::npos;)
                word.replace(at, 6, seed);
        for (const std::string& name : split(selectors, ','))
            if (cv::ltrp::select::selectorModel(name) == "classifier")
                return words;
        std::vector<std::string> kept;
        for (size_t i = 0; i < words.size(); ++i)
            if (words[i] == "--classifier")
                ++i;
            else if (words[i].compare(0, 13, "--classifier=") != 0)
                kept.push_back(words[i]);
        return kept;
    }

    /// As they are written, so that they can be compared with what was read.
    static Json wordsOf(const std::vector<std::vector<std::string>>& both)
    {
        Json all = Json::array();
        for (const std::vector<std::string>& command : both)
        {
            all.push_back(Json::array());
            for (const std::string& word : command)
                all.back().push_back(nameJson(word));
        }
        return all;
    }

    static std::vector<std::string> arguments(const std::vector<std::string>& command) { return {command.begin() + 1, command.end()}; }

    static cv::ltrp::train::ClassifierTrainParams trainingOf(const std::vector<std::vector<std::string>>& both)
    {
        cv::ltrp::train::ClassifierTrainParams params;
        if (!parseFinetune(arguments(both[0]), params))
            throw UsageError("--finetune: asks for the help");
        return params;
    }

    /// Options of the test that say what it reads.
    static po::variables_map testOptions(const std::vector<std::vector<std::string>>& both)
    {
        po::options_description options;
        addSelectorOptions(options);
        options.add_options()("images", po::value<std::string>());
        po::variables_map values;
        try
        {
            po::store(po::command_line_parser(arguments(both[1])).options(options).allow_unregistered()
                          .style(po::command_line_style::unix_style & ~po::command_line_style::allow_guessing).run(), values);
        }
        catch (const po::error& error)
        {
            throw UsageError("--predict: " + oneLine(error.what()));
        }
        return values;
    }

    /// What a cell depends on beside the words of its commands.
    Json inputsOf(const Cell& cell, const std::vector<std::vector<std::string>>& both)
    {
        using namespace cv::ltrp;
        const train::ClassifierTrainParams params = trainingOf(both);
        const po::variables_map values = testOptions(both);
        std::string selectors;
        for (const std::string& name : params.selectors)
            selectors += (selectors.empty() ? "" : ", ") + selectorText(name, params.selectorModels);
        return {{"train", trainData_}, {"init", initText(params.init)}, {"train_selector", selectors}, {"test", testData_},
                {"selector", selectorText(cell.selector, selectorModels(values, {cell.selector}, cv::ltrp::TARGET_CPU))}};
    }

    /// Weights are read once for all cells.
    std::string selectorText(const std::string& name, const cv::ltrp::select::SelectorModels& models)
    {
        const std::string kind = cv::ltrp::select::selectorModel(name);
        std::string& text = texts_[name + "\n" + (kind.empty() ? "" : models.file(kind))];
        if (text.empty())
            text = cv::ltrp::select::selectorText(name, models);
        return text;
    }
    std::string initText(const std::string& file)
    {
        std::string& text = texts_["\n" + file];
        if (text.empty())
            text = cv::ltrp::train::InitialWeights(file).text();
        return text;
    }

    void requireSame(const Cell& cell, const std::string& key, const Json& found, const Json& expected) const
    {
        if (found == expected)
            return;
        const bool tested = key == "test" || key == "selector";   // what is trained is the same then
        const std::string file = fileOf(cell, ".json");
        throw std::runtime_error(file + ": cell " + cell.name() + ": '" + key + "' is " + jsonLine(found) +
                                 ", expected " + jsonLine(expected) + " as the files are now; to compute it again, remove " + file +
                                 (tested ? "" : " and " + runOf(cell)) + ", or choose another --out");
    }

    /// Before anything is trained.
    void checkMerging(const cv::ltrp::train::ClassifierTrainParams& params) const
    {
        if (std::find(selectors_.begin(), selectors_.end(), MERGE) == selectors_.end())
            return;
        int patches = (params.imageSize / params.patchSize) * (params.imageSize / params.patchSize), depth = params.depth;
        if (!params.init.empty())
        {
            const cv::ltrp::train::InitialWeights start(params.init);
            patches = start.model().input().numPatches();
            depth = start.model().encoder().depth;
        }
        for (const std::string& keep : keeps_)
            checkMergedShare(task_, patches, depth, std::stod(keep), "selector merge");
    }

    /// The exit status of the commands of all cells. Cells whose network another process trains or tests come later.
    int compute(std::deque<Cell> cells)
    {
        Claims claims(out_);
        int status = 0;
        for (size_t taken = 0; !cells.empty();)   // taken: cells in a row that others compute
        {
            checkInterrupt();
            const Cell cell = cells.front();
            cells.pop_front();
            const std::string run = runOf(cell);
            const bool known = fs::exists(fileOf(cell, ".json"));
            if (known || claims.take(run))
            {
                taken = 0;
                status = std::max(status, compute(cell));
                if (!known)
                    claims.release(run);
                continue;
            }
            cells.push_back(cell);
            if (++taken < cells.size())
                continue;
            if (taken == cells.size())
                complain("waiting for other processes, which compute the other " + std::to_string(taken) + " cells");
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
        }
        return status;
    }

    /// The exit status of the commands.
    int compute(const Cell& cell)
    {
        const std::string file = fileOf(cell, ".json");
        const std::vector<std::vector<std::string>> both = commands(cell);
        const Json words = wordsOf(both), inputs = inputsOf(cell, both);
        Json entry = finished(file, task_);
        if (!entry.is_null())
        {
            if (entry["commands"] != words)
                throw std::runtime_error(file + ": was made by other commands than those of this configuration (see its 'commands'); "
                                                "choose another --out, or remove it");
            for (const auto& input : inputs.items())
            {
                const Json& found = entry["inputs"];
                requireSame(cell, input.key(), found.contains(input.key()) ? found[input.key()] : Json(), input.value());
            }
            cells_[cell.name()] = entry;
            if (entry["failed"] == 0)
                return 0;
            complain("cell " + cell.name() + ": failed images: " + entry["failed"].dump() +
                     "; the measures are those of the others. To test again: remove " + file);
            return 1;
        }
        complain("cell " + cell.name());
        entry = {{"selector", cell.selector}, {"keep", std::stod(cell.keep)}, {"seed", std::stoull(cell.seed)}, {"commands", words},
                 {"inputs", inputs}};
        const auto begin = std::chrono::steady_clock::now();
        if (trained_.insert(runOf(cell)).second)
        {
            const bool whole = !fs::exists(runOf(cell)) || cv::ltrp::train::listCheckpoints(runOf(cell)).empty();
            forgetOptions();
            const int status = runFinetune(arguments(both[0]));
            if (status != 0)
                return status;
            if (whole)   // else a part of the time is not known
                entry["train_seconds"] = seconds(begin);
        }
        const auto tested = std::chrono::steady_clock::now();
        fs::remove(fileOf(cell, ".accuracy.json"));    // of a test that was stopped
        forgetOptions();
        const int status = runPredict(arguments(both[1]));   // 1: some images failed; the file says how many
        entry["test_seconds"] = seconds(tested);
        const Json accuracy = readJson(fileOf(cell, ".accuracy.json"));
        if (!accuracy.is_object())   // no image could be read
            throw std::runtime_error(fileOf(cell, ".accuracy.json") + ": 'ltrp predict' has written no measures");
        for (const auto& item : accuracy.items())
            entry[item.key()] = item.value();
        writeJson(file, entry);
        fs::remove(fileOf(cell, ".accuracy.json"));
        cells_[cell.name()] = entry;
        return status;
    }

    /// What the options of a command before have set for the whole process.
    void forgetOptions() const
    {
        cv::setNumThreads(threads_);
        cv::ltrp::image::setMaxPixels(pixels_);
        forgetInputs();   // a network of the grid may be the classifier of selectors
    }

    void print() const
    {
        const std::vector<Measure>& measures = measuresOf(task_);
        std::printf("%-20s %6s %6s", "selector", "keep", "seeds");
        for (const Measure& measure : measures)
            std::printf("   %-18s", measure.title);
        std::printf("\n");
        for (const std::string& keep : keeps_)
            for (const std::string& selector : selectors_)
            {
                std::vector<std::vector<double>> columns(measures.size());
                for (const std::string& seed : seeds_)
                {
                    const auto found = cells_.find(Cell{selector, keep, seed}.name());
                    if (found == cells_.end())
                        continue;
                    for (size_t i = 0; i < measures.size(); ++i)
                        columns[i].push_back(found->second[measures[i].name]);
                }
                if (columns[0].empty())
                    continue;
                std::printf("%-20s %6s %6zu", selector.c_str(), keep.c_str(), columns[0].size());
                for (const std::vector<double>& column : columns)
                    std::printf("   %-18s", meanText(column).c_str());
                std::printf("\n");
            }
        std::fflush(stdout);
    }

    std::string train_, test_, out_, shared_, trainKeep_;
    std::vector<std::string> keeps_, seeds_, selectors_;
    std::string trainData_, testData_;           ///< "12 images, fingerprint 01234567"
    std::map<std::string, std::string> texts_;   ///< of selectors and initial weights, by name and file
    const int threads_;        ///< as they were before the first command
    const int64_t pixels_;
    std::vector<std::string> finetune_, predict_;
    cv::ltrp::vit::Task task_ = cv::ltrp::vit::Task::Classify;
    std::map<std::string, Json> cells_;
    std::set<std::string> trained_;   ///< runs that this process has trained or found complete
};

}  // namespace

int runDownstream(std::vector<std::string> args)
{
    if (!args.empty() && args[0].compare(0, 1, "-") != 0)
        args.insert(args.begin(), "--config");
    po::options_description options("Options");
    // clang-format off
    options.add_options()
        ("config", po::value<std::string>()->value_name("FILE")->required(), "CONFIG; the command line goes first")
        ("train", po::value<std::string>()->value_name("DATA")->required(), "labelled data to train on, as for 'ltrp finetune'")
        ("test", po::value<std::string>()->value_name("DATA")->required(), "labelled data to test on")
        ("selector", po::value<std::string>()->value_name("NAMES")->required(), "selectors, with commas between them; "
            "also merge, with --train-selector")
        ("keep", po::value<std::string>()->value_name("SHARES")->default_value("0.1,0.25,0.5,0.75"), "shares of patches to keep")
        ("seed", po::value<std::string>()->value_name("SEEDS")->default_value("0,1,2"), "seeds of training and selection")
        ("train-selector", po::value<std::string>()->value_name("NAMES"), "train one network per share and seed on patches by these "
            "selectors, and test it with each of --selector (default: a network for each cell)")
        ("train-keep", po::value<std::string>()->value_name("X|A..B"), "train one network for all shares, as --keep of 'ltrp finetune' "
            "(default: a network for each share)")
        ("finetune", po::value<std::string>()->value_name("OPTIONS")->default_value(""), "further options of 'ltrp finetune'")
        ("predict", po::value<std::string>()->value_name("OPTIONS")->default_value(""), "further options of 'ltrp predict'")
        ("out", po::value<std::string>()->value_name("DIR")->required(), "folder of cells and runs; made if absent");
    // clang-format on
    po::variables_map values;
    if (!parseArguments(args, HELP, options, nullptr, 0, values))
        return 0;
    return Grid(values).run();
}

}  // namespace tool
