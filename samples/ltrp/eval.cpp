// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "commands.hpp"
#include "eval_coverage.hpp"
#include "eval_points.hpp"
#include "score_options.hpp"

namespace tool
{

namespace
{

const HelpText HELP = {
    "ltrp eval coverage|points DIR... [options]; ltrp eval downstream CONFIG (its own help: --help)",
    "Measures how much of the foreground the best patches cover. Each DIR holds images/ and foreground/: for every\n"
    "image a mask of the same size and relative path (images/a/1.jpg: foreground/a/1.png). For 10, 25, 50 and 75 %\n"
    "of the patches kept, the share of foreground pixels kept (mean over the images) is printed for every model,\n"
    "named by its file's stem, and for\n"
    "  random               a random order, mean of 20 seeds\n"
    "  uniform              patches spread evenly\n"
    "  centre               nearness to the centre\n"
    "  gradient             energy of the image gradient; gradient_smooth: smoothed over neighbouring patches\n"
    "  barrier              difference in colour on every path to the image's border; barrier_smooth: smoothed\n"
    "  fine_grained         OpenCV's fine-grained saliency\n"
    "  spectral_residual    OpenCV's spectral-residual saliency; spectral_smooth: smoothed over neighbouring patches\n"
    "  spectral_centre_W    rank in spectral_smooth + W x rank in centre\n"
    "  perfect              the patches with most foreground: what no ranking can exceed\n"
    "Several DIR are printed side by side, followed by a block for all their images (with equal weight). Intervals\n"
    "are 95 % intervals by bootstrap: images resampled within each DIR, 10,000 times, with a fixed seed. Models may\n"
    "be chosen by one fixed half of the images (--half select) and reported by the other (--half report).\n"
    "What is foreground in a mask (--foreground) is one rule for all masks of a DIR, printed with the table:\n"
    "  auto      the one of the following that fits the masks; an error if none clearly does\n"
    "  nonzero   every pixel but 0 (black); used if all masks together have 0 and one other value or colour\n"
    "  bright    above half of white; used if nearly all pixels are 0 or 255 and edges have all shades between\n"
    "  alpha     opacity above one half; used if masks (or cut-out photos) have transparent pixels\n"
    "  labels    class labels: every value but 0 and void (255 or 65535; in colour white and RGB 224,224,192)\n",
    "points: how many foreground instances --count points hit, as 'ltrp points' puts them on the score maps of every\n"
    "model, of centre, gradient_smooth and spectral_centre_0.6, and those of a uniform grid and of random points\n"
    "(mean of 20 seeds). An instance is a connected part of the mask of 0.1 % of the image or more.\n"
    "JSON: {\"keep\": [0.1, 0.25, 0.5, 0.75], \"methods\": {NAME: [share per keep], ...},\n"
    "\"intervals\": {NAME: [[low, high] per keep], ...}, \"against\": {MODEL: {BASELINE: [{\"wins\", \"ties\",\n"
    "\"losses\", \"difference\", \"interval\"} per keep], ...}, ...}, \"sets\": [the same of each DIR, and\n"
    "\"per_image\": [{\"image\", \"shares\": {NAME: [share per keep], ...}}, ...]]}\n"
    "\n"
    "Examples:\n"
    "  ltrp eval coverage coco128\n"
    "  ltrp eval points coco128 --count 16 --count 64\n"
    "  ltrp eval coverage coco128 osie --model old.safetensors --model new.safetensors --report coverage.html\n"
    "  ltrp eval coverage coco128 --mae my-mae.safetensors --masks 64 --space pixel --average rank\n"};

}  // namespace

int runEval(const std::vector<std::string>& args)
{
    if (!args.empty() && args[0] == "downstream")
        return runDownstream({args.begin() + 1, args.end()});
    po::options_description options("Options");
    std::vector<std::string> models, autoencoders, selectors;
    std::string json, half, foreground, report;
    // clang-format off
    options.add_options()
        ("model", po::value(&models)->composing()->value_name("FILE"),
            "a ranker's weight file (default: the installed one); may be given several times")
        ("mae", po::value(&autoencoders)->composing()->value_name("FILE"),
            "an autoencoder, measured by its score maps; may be given several times, and beside --model")
        ("selector", po::value(&selectors)->composing()->value_name("NAME"), "coverage: a selector of 'ltrp finetune' that "
            "is no simple ranking (see its help; ranker_sample: one draw), with the first --mae or --model, else the "
            "installed one; may be given several times")
        ("classifier", po::value<std::string>()->value_name("FILE"), "coverage: weight file of 'ltrp finetune', for the "
            "selectors that need one")
        ("size", po::value<std::string>()->value_name("WxH"), "pixels that rankers resize images to, multiples of the patch size "
            "(default: the square of the training; other sizes need a token head)")
        ("half", po::value(&half)->value_name("NAME")->default_value("all"),
            "images: all, or by a checksum of the file's name one half (select) or the other (report)")
        ("foreground", po::value(&foreground)->value_name("RULE")->default_value("auto"),
            "what is foreground in the masks: auto, nonzero, bright, labels or alpha")
        ("json", po::value(&json)->value_name("FILE"), "write all figures, also per image; - is stdout")
        ("report", po::value(&report)->value_name("FILE.html"),
            "write an HTML report: tables, curves, the first model's best and worst images with all methods")
        ("count", po::value<std::vector<int>>()->composing()->value_name("K"),
            "points: how many, 1 to 1024; may be given several times (default: 16, 32 and 64)")
        ("spread", po::value<double>()->value_name("S"), "points: as in 'ltrp points', 0 to 1 (default: 0.5)")
        ("threads", po::value<int>()->value_name("N"), "compute threads (default: all cores)");
    // clang-format on
    addPrecision(options);
    po::options_description scoring("Score maps (with --mae)");
    addScoreOptions(scoring);
    options.add(scoring);
    po::variables_map values;
    if (!parseArguments(args, HELP, options, "what", -1, values))
        return 0;
    const std::vector<std::string> words = positionals(values, "what", 1, "what to evaluate: coverage, points or downstream");
    const bool ofPoints = words[0] == "points";
    if (words[0] != "coverage" && !ofPoints)
        throw UsageError("'" + words[0].substr(0, 64) + "' cannot be evaluated: only coverage, points and downstream can");
    for (const char* option : {"count", "spread"})
        if (!ofPoints && values.count(option))
            throw UsageError(std::string("--") + option + " goes with 'ltrp eval points'");
    for (const char* option : {"selector", "classifier", "report"})
        if (ofPoints && values.count(option))
            throw UsageError(std::string("--") + option + " goes with 'ltrp eval coverage'");
    if (values.count("size") && !(autoencoders.empty() && selectors.empty()))
        throw UsageError("--size is of rankers: leave out --mae and --selector, whose grid is that of the training");
    const std::vector<int> counts =
        values.count("count") ? values["count"].as<std::vector<int>>() : std::vector<int>{16, 32, 64};
    for (int count : counts)
        if (count < 1 || count > 1024)
            throw UsageError("--count: " + std::to_string(count) + " is outside 1 to 1024");
    const double spread = values.count("spread") ? values["spread"].as<double>() : 0.5;
    if (!(spread >= 0 && spread <= 1))
        throw UsageError("--spread: " + plain(spread) + " is outside [0, 1]");
    if (words.size() < 2)
        throw UsageError("missing DIR with images/ and foreground/ (see 'ltrp help eval')");
    const std::vector<std::string> folders(words.begin() + 1, words.end()), names = shortNames(folders, false, {"all"});
    const Half images = halfNamed(half);
    const cv::ltrp::eval::MaskRule rule = maskRuleNamed(foreground);
    applyThreads(values);
    size_t failed = 0;
    std::vector<ImageSet> sets;
    std::vector<std::string> inputs = models;
    inputs.insert(inputs.end(), autoencoders.begin(), autoencoders.end());
    if (values.count("classifier"))
        inputs.push_back(values["classifier"].as<std::string>());
    for (size_t i = 0; i < folders.size(); ++i)
    {
        sets.push_back(openSet(folders[i], names[i], rule, failed));
        for (const ImagePair& pair : sets.back().pairs)
            inputs.insert(inputs.end(), {pair.image, pair.mask});
        keepHalf(sets.back(), images);
    }
    if (values.count("json"))
        checkTextOutput(json, "--json", inputs);
    if (values.count("report"))
        checkTextOutput(report, "--report", inputs);
    if (json == report && !json.empty())
        throw UsageError("--json, --report: both name " + json);

    if (ofPoints)
    {
        PointsEvaluation evaluation(makeJudges(models, autoencoders, {}, values), counts, spread);
        for (const ImageSet& set : sets)
            evaluation.measure(set, failed);
        if (!isStandardOutput(json))
            evaluation.print();
        if (!json.empty())
            writeJson(json, evaluation.json());
        if (failed > 0)
            complain(std::to_string(failed) + " files failed; the means are over the " +
                     std::to_string(evaluation.images()) + " others");
        return failed > 0 ? 1 : 0;
    }
    const Methods methods = makeMethods(makeJudges(models, autoencoders, selectors, values));
    std::vector<SetResult> results;
    for (const ImageSet& set : sets)
        results.push_back(measureSet(set, methods, failed));
    const SetResult all = SetResult::pooled(results);
    if (!isStandardOutput(json) && !isStandardOutput(report))
        printTables(results, all, methods);
    if (!json.empty())
        writeJson(json, toJson(results, all, methods, half));
    if (!report.empty())
        writeText(report, htmlReport(results, all, methods, half));
    if (failed > 0)
        complain(std::to_string(failed) + " files failed; the means are over the " +
                 std::to_string(all.images.size()) + " others");
    return failed > 0 ? 1 : 0;
}

}  // namespace tool
