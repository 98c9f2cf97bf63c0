// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "selector_options.hpp"

#include <algorithm>
#include <sstream>

namespace tool
{

using namespace cv::ltrp;

namespace
{

/// The selectors that need such weights.
std::string namesOf(const std::string& kind)
{
    std::string text;
    for (const std::string& name : select::selectorNames())
        if (select::selectorModel(name) == kind)
            text += (text.empty() ? "" : ", ") + name;
    return text;
}

}  // namespace

void addSelectorOptions(po::options_description& options)
{
    const std::string help = "which patches are kept: " + select::knownSelectors() + " (default: all where --keep is 1, else ranker)";
    // clang-format off
    options.add_options()
        ("selector", po::value<std::string>()->value_name("NAME"), help.c_str())
        ("ranker", po::value<std::string>()->value_name("FILE"), ("of the selectors " + namesOf("rank")
            + ": weight file (default: the installed one)").c_str())
        ("mae", po::value<std::string>()->value_name("FILE"), ("of the selectors " + namesOf("mae")
            + ": the autoencoder's weight file (default: the installed one)").c_str())
        ("classifier", po::value<std::string>()->value_name("FILE"), ("of the selectors " + namesOf("classifier")
            + ": weight file of 'ltrp finetune'").c_str());
    // clang-format on
}

std::vector<std::string> selectorNames(const po::variables_map& values, double keep, const std::string& more)
{
    if (!values.count("selector"))
        return {keep == 1 ? "all" : "ranker"};
    std::vector<std::string> names;
    std::istringstream list(values["selector"].as<std::string>() + ",");
    const std::vector<std::string>& known = select::selectorNames();
    for (std::string name; std::getline(list, name, ',');)
    {
        if (std::find(known.begin(), known.end(), name) == known.end() && name != more)
            throw UsageError("--selector: '" + name.substr(0, 64) + "' is none of " + select::knownSelectors() +
                             (more.empty() ? "" : ", " + more));
        if (std::find(names.begin(), names.end(), name) != names.end())
            throw UsageError("--selector: " + name + " is named twice");
        if (name == "all" && keep < 1)
            throw UsageError("--selector: all keeps every patch and goes with --keep 1, not " + plain(keep));
        names.push_back(name);
    }
    return names;
}

UsageError needsClassifier(const std::string& selector)
{
    return UsageError("--selector: " + selector + " needs --classifier FILE, a network that 'ltrp finetune' trained");
}

select::SelectorModels selectorModels(const po::variables_map& values, const std::vector<std::string>& names, int target)
{
    select::SelectorModels models;
    models.target = target;
    const auto find = [&](const char* kind, const char* option, std::string& file)
    {
        const auto user = std::find_if(names.begin(), names.end(), [&](const std::string& name)
                                       { return select::selectorModel(name) == kind; });
        const std::string given = values.count(option) ? values[option].as<std::string>() : std::string();
        if (user != names.end() && given.empty() && kind == std::string("classifier"))
            throw needsClassifier(*user);
        if (user != names.end())
            file = findModel(given, kind, std::string("--") + option);
        else if (values.count(option))
            throw UsageError(std::string("--") + option + ": no selector of this command uses it");
    };
    find("rank", "ranker", models.ranker);
    find("mae", "mae", models.mae);
    find("classifier", "classifier", models.classifier);
    return models;
}

}  // namespace tool
