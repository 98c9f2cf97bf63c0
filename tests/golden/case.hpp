// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TEST_GOLDEN_CASE_HPP
#define LTRP_TEST_GOLDEN_CASE_HPP

#include "golden.hpp"

#include "io/model_file.hpp"
#include "vit/transformer.hpp"

#include <nlohmann/json.hpp>

#include <functional>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

namespace golden
{

using Json = nlohmann::json;
using Shape = std::vector<int64_t>;

std::string shapeText(const Shape& shape);
size_t shapeCount(const Shape& shape);
std::vector<std::string> splitName(const std::string& name);   ///< splits at the dots
std::string joinName(const std::vector<std::string>& parts, size_t first);
/// "pasted_denorm0", "pasted_denorm" -> 0; -1 if `text` is not `stem` followed by a number.
int numberAfter(const std::string& text, const std::string& stem);

/// A tensor's shape and values: floats, or integers if the case lists int64.
struct Values
{
    Shape shape;
    bool integer = false;
    std::vector<float> floats;
    std::vector<int64_t> ints;

    size_t count() const { return integer ? ints.size() : floats.size(); }
    std::vector<int> asInts(int64_t low, int64_t high, const std::string& what) const;   ///< checks each value
};
Values floatValues(const Shape& shape);                              ///< zeros
Values intValues(const Shape& shape, const std::vector<int>& values);

/// One line of the `tensors` list.
struct Entry
{
    std::string file, name, role;
    Shape shape;
    bool integer = false;
    Json tolerance;               ///< {"abs", "rel"} or "exact" for outputs
    double float64Deviation = 0;  ///< deviation of the recorded values from a 64-bit computation
    std::string note;
};

/// A case folder's description and files. The content of case.json is validated when it is used: missing keys, sizes
/// out of range, and tensors whose shape or type differs from the listed one throw with the file and the key.
class Case
{
public:
    explicit Case(const std::string& folder);

    const std::string& folder() const { return folder_; }
    const std::string& kind() const { return kind_; }
    const std::vector<Entry>& entries() const { return entries_; }
    const Json& json() const { return json_; }
    const Entry* find(const std::string& name) const;   ///< null when not listed (weights are not searched)
    std::vector<std::string> weightFiles() const;       ///< files of the weights, relative, in the order listed

    /// Values at "a.b.c" below config; the functions check type and range.
    const Json& config(const std::string& key) const;
    bool hasConfig(const std::string& key) const;
    int size(const std::string& key) const;        ///< 1 to 2^20
    double number(const std::string& key) const;   ///< finite
    std::string ratioKey(double ratio) const;      ///< "m90" among config.visible_per_ratio
    int visible(const std::string& ratio) const;   ///< visible patches, checked against config.mask_ratios' rule

    Values load(const Entry& entry) const;                                    ///< as listed
    Values own(const std::string& name, const Shape& expected, bool integer) const;
    /// A tensor of a neighbouring folder: `inputs[key]` is "path" or "path: tensor"; <ratio> in it is replaced.
    Values input(const std::string& key, const std::string& ratio, const std::string& tensor, const Shape& expected,
                 bool integer) const;
    std::string inputPath(const std::string& key, const std::string& ratio = std::string()) const;
    std::string path(const std::string& relative) const;

private:
    Values read(const std::string& file, const std::string& tensor, const Shape& expected, bool integer) const;
    std::string inputText(const std::string& key, const std::string& ratio) const;

    std::string folder_, where_, kind_;
    Json json_;
    std::vector<Entry> entries_;
    mutable std::map<std::string, std::shared_ptr<const cv::ltrp::io::TensorFile>> files_;
};

/// Weights named in a case with the geometry in its config at `prefix` ("" or "ranker."); the two are checked against
/// each other.
std::unique_ptr<cv::ltrp::io::Model> loadMae(const Case& c, const std::string& path);
std::unique_ptr<cv::ltrp::io::Model> loadRanker(const Case& c, const std::string& path, const std::string& prefix);
cv::ltrp::vit::ParamArena cloneArena(const cv::ltrp::vit::ParamArena& arena);

/// The networks' memory and operations, on the requested device. in() uploads values; at() and back() return results.
class OnDevice
{
public:
    OnDevice(const Device& device, bool frozen);

    cv::ltrp::vit::Workspace& ws() { return *ws_; }
    const float* in(const std::string& name, const Values& values);
    const int* in(const std::string& name, const std::vector<int>& values);
    /// Destination of an operation's result, which back() copies into `values`.
    float* at(const std::string& name, Values& values);
    void back(const float* from, Values& values);
    /// Runs a pass that adds gradients to zeroed device memory; the result is copied to the host.
    void gradients(cv::ltrp::vit::ParamArena& grads, const std::function<void(float* grads)>& pass);

private:
    std::unique_ptr<cv::ltrp::vit::Workspace> ws_;
};

/// Counts and prints checks.
class Report
{
public:
    Report(std::ostream& out, const Device& device) : out_(out), device_(device) {}

    const Device& device() const { return device_; }
    /// Prints which parts of a case are computed on the CPU although another device was requested.
    void onCpu(const std::string& what);

    /// Checks |got - want| <= allowed(i) for each element; elements with a negative allowance are skipped and counted
    /// in the line. Recorded values that are not finite are also skipped, but ours must be finite there.
    void compare(const std::string& name, const Values& want, const Values& got,
                 const std::function<double(size_t)>& allowed, const std::string& tolerance);
    /// Tolerance as listed: abs + rel * |want|, or "exact".
    void compare(const Entry& entry, const Values& want, const Values& got);
    void passed(const std::string& name, const std::string& what);
    void failed(const std::string& name, const std::string& why);
    void note(const std::string& text);

    const Totals& totals() const { return totals_; }

private:
    void line(bool ok, const std::string& name, const std::string& text);

    std::ostream& out_;
    const Device& device_;
    Totals totals_;
};
double toleranceNumber(const Entry& entry, const char* key);

/// Computes a case's outputs with the project's own code.
class Runner
{
public:
    Runner(const Case& c, Report& report) : case_(c), report_(report) {}
    virtual ~Runner() = default;
    /// Throws std::runtime_error for a tensor that no rule computes: such an output is a failure, never skipped.
    virtual Values compute(const Entry& entry) = 0;
    virtual void compare(const Entry& entry, const Values& want, const Values& got)
    {
        report_.compare(entry, want, got);
    }
    virtual void further() {}   ///< checks of the case beyond its tensors

protected:
    [[noreturn]] void unknown(const Entry& entry) const;
    const Case& case_;
    Report& report_;
};

std::unique_ptr<Runner> makeMaeRunner(const Case& c, Report& report);
std::unique_ptr<Runner> makePseudoScoreRunner(const Case& c, Report& report);
std::unique_ptr<Runner> makeRankerRunner(const Case& c, Report& report);
std::unique_ptr<Runner> makeLossRunner(const Case& c, Report& report);
std::unique_ptr<Runner> makeSelectionRunner(const Case& c, Report& report);
std::unique_ptr<Runner> makeTrainStepRunner(const Case& c, Report& report);
std::unique_ptr<Runner> makePreprocessRunner(const Case& c, Report& report);

}  // namespace

#endif
