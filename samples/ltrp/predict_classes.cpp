// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// What 'ltrp predict' says of one class, or several, for each image.
#include "../../modules/ltrp/src/precomp.hpp"

#include "predict_output.hpp"

#include "../eval/accuracy.hpp"
#include "../eval/ranking.hpp"
#include "../../modules/ltrp/src/io/file_bytes.hpp"
#include "../../modules/ltrp/src/select/top_k.hpp"

#include <algorithm>
#include <cstdio>
#include <iostream>

namespace tool
{

using namespace cv::ltrp;

namespace
{

/// "dark 0.9876, light 0.0124"
std::string namesText(const std::vector<std::string>& classes, const std::vector<int>& numbers, const float* values)
{
    std::string text;
    for (const int number : numbers)
    {
        char value[32];
        std::snprintf(value, sizeof value, " %.4f", static_cast<double>(values[number]));
        text += (text.empty() ? "" : ", ") + io::harmless(classes[static_cast<size_t>(number)]) + value;
    }
    return text;
}

Json namesJson(const std::vector<std::string>& classes, const std::vector<int>& numbers, const float* values)
{
    Json list = Json::array();
    for (const int number : numbers)
        list.push_back({{"class", classes[static_cast<size_t>(number)]}, {"probability", shortNumber(values[number])}});
    return list;
}

class ClassOutput : public PredictOutput
{
public:
    explicit ClassOutput(const PredictSetup& setup) : setup_(setup) {}

    void add(const Answer& answer) override
    {
        const std::vector<std::string>& classes = setup_.run.classes();
        const float* values = answer.values.ptr<float>();
        const std::vector<int> best = select::topK(values, classes.size(), std::min(std::max<size_t>(setup_.top, 1), classes.size()));
        const int label = setup_.labelled ? setup_.data.labels[answer.index] : -1;
        const auto name = [&](int number) -> const std::string& { return classes[static_cast<size_t>(number)]; };
        if (label >= 0)
        {
            labels_.push_back(label);
            answers_.push_back(best[0]);
        }
        if (!setup_.json.wanted())
        {
            std::cout << io::harmless(answer.path) << ": " << namesText(classes, best, values);
            if (label >= 0)
                std::cout << (label == best[0] ? "  (right)" : "  (is " + io::harmless(name(label)) + ")");
            std::cout << '\n';
            return;
        }
        Json entry = imageJson(answer);
        entry["class"] = name(best[0]);
        entry["probability"] = shortNumber(values[best[0]]);
        entry["top"] = namesJson(classes, best, values);
        if (label >= 0)
            entry["label"] = name(label);
        addKept(entry, answer, setup_.run.grid());
        setup_.json.add(entry);
    }

    size_t measured() const override { return labels_.size(); }

    void addMeasures(Json& report) const override
    {
        const eval::Accuracy accuracy = accuracyOf();
        report["accuracy"] = accuracy.overall;
        report["accuracy_error"] = accuracy.overallError;
        report["class_mean"] = accuracy.classMean;
        report["class_mean_error"] = accuracy.classMeanError;
        report["classes"] = Json::array();
        for (size_t i = 0; i < accuracy.classes.size(); ++i)
            report["classes"].push_back({{"class", setup_.run.classes()[i]}, {"images", accuracy.classes[i].images},
                                         {"right", accuracy.classes[i].right}});
    }

    std::string text() const override
    {
        const eval::Accuracy accuracy = accuracyOf();
        char text[256];
        std::snprintf(text, sizeof text, "accuracy %.4f +- %.4f (%d of %d images), mean of classes %.4f +- %.4f", accuracy.overall,
                      accuracy.overallError, accuracy.right, accuracy.images, accuracy.classMean, accuracy.classMeanError);
        return text;
    }

private:
    eval::Accuracy accuracyOf() const
    {
        return eval::accuracyOf(labels_, answers_, static_cast<int>(setup_.run.classes().size()));
    }

    const PredictSetup setup_;
    std::vector<int> labels_, answers_;
};

class LabelsOutput : public PredictOutput
{
public:
    explicit LabelsOutput(const PredictSetup& setup) : setup_(setup), ranking_(setup.run.classes().size()) {}

    void add(const Answer& answer) override
    {
        const std::vector<std::string>& classes = setup_.run.classes();
        const float* values = answer.values.ptr<float>();
        std::vector<int> best = select::topK(values, classes.size(), setup_.top > 0 ? std::min(setup_.top, classes.size()) : classes.size());
        if (setup_.top == 0)   // what is more likely than not
            best.erase(std::find_if(best.begin(), best.end(), [&](int number) { return values[number] < 0.5f; }), best.end());
        std::vector<std::string> labels;
        if (setup_.labelled)
        {
            const std::vector<int>& own = setup_.data.labelSets[answer.index];
            ranking_.add(values, own);
            for (const int number : own)
                labels.push_back(classes[static_cast<size_t>(number)]);
        }
        if (!setup_.json.wanted())
        {
            const std::string text = namesText(classes, best, values);
            std::cout << io::harmless(answer.path) << ": " << (text.empty() ? "none" : text);
            std::string own;
            for (const std::string& label : labels)
                own += (own.empty() ? "" : ", ") + io::harmless(label);
            if (setup_.labelled)
                std::cout << "  (is " << (own.empty() ? "none" : own) << ")";
            std::cout << '\n';
            return;
        }
        Json entry = imageJson(answer);
        entry["classes"] = namesJson(classes, best, values);
        if (setup_.labelled)
            entry["labels"] = labels;
        addKept(entry, answer, setup_.run.grid());
        setup_.json.add(entry);
    }

    size_t measured() const override { return ranking_.images(); }

    void addMeasures(Json& report) const override
    {
        report["map"] = ranking_.meanPrecision();
        report["map_error"] = ranking_.error();
        report["classes"] = Json::array();
        const std::vector<eval::Ranking::OfClass> each = ranking_.classes();
        for (size_t i = 0; i < each.size(); ++i)
        {
            report["classes"].push_back({{"class", setup_.run.classes()[i]}, {"images", each[i].images}});
            if (each[i].images > 0)
                report["classes"].back()["average_precision"] = each[i].precision;
        }
    }

    std::string text() const override
    {
        size_t used = 0;
        for (const eval::Ranking::OfClass& one : ranking_.classes())
            used += one.images > 0;
        char text[256];
        std::snprintf(text, sizeof text, "mAP %.4f +- %.4f (%zu images, %zu of %zu classes label one)", ranking_.meanPrecision(),
                      ranking_.error(), ranking_.images(), used, setup_.run.classes().size());
        return text;
    }

private:
    const PredictSetup setup_;
    eval::Ranking ranking_;
};

}  // namespace

std::unique_ptr<PredictOutput> classOutput(const PredictSetup& setup)
{
    return std::unique_ptr<PredictOutput>(new ClassOutput(setup));
}

std::unique_ptr<PredictOutput> labelsOutput(const PredictSetup& setup)
{
    return std::unique_ptr<PredictOutput>(new LabelsOutput(setup));
}

}  // namespace tool
