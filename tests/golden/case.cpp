// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"

#include "case.hpp"

#include "io/file_bytes.hpp"
#include "io/json_text.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

namespace fs = std::filesystem;

namespace golden
{

using cv::ltrp::io::DType;
using cv::ltrp::io::TensorFile;
using cv::ltrp::io::TensorView;

namespace
{

[[noreturn]] void malformed(const std::string& where, const std::string& what)
{
    throw std::runtime_error(where + ": " + what);
}

const Json& member(const Json& object, const char* key, const std::string& where)
{
    if (!object.is_object() || !object.contains(key))
        malformed(where, std::string("key '") + key + "' is missing");
    return object[key];
}

std::string text(const Json& object, const char* key, const std::string& where)
{
    const Json& value = member(object, key, where);
    if (!value.is_string() || value.get<std::string>().empty())
        malformed(where, std::string("'") + key + "' must be a non-empty string");
    return value.get<std::string>();
}

Entry readEntry(const Json& item, const std::string& where)
{
    Entry entry;
    entry.name = text(item, "name", where);
    const std::string at = where + " '" + entry.name + "'";
    entry.file = text(item, "file", at);
    entry.role = text(item, "role", at);
    const std::string dtype = text(item, "dtype", at);
    if (dtype != "float32" && dtype != "int64")
        malformed(at, "dtype '" + dtype + "', float32 or int64 expected");
    entry.integer = dtype == "int64";
    const Json& shape = member(item, "shape", at);
    if (!shape.is_array())
        malformed(at, "'shape' must be a list");
    double count = 1;
    for (const Json& length : shape)
    {
        if (!length.is_number_integer() || length.get<int64_t>() < 0 || length.get<int64_t>() > (int64_t(1) << 31))
            malformed(at, "'shape' must hold integers from 0 to 2^31");
        entry.shape.push_back(length.get<int64_t>());
        count *= static_cast<double>(entry.shape.back());
    }
    if (count > 4e9)
        malformed(at, "shape " + shapeText(entry.shape) + " is too large");
    if (entry.role == "output")
    {
        entry.tolerance = member(item, "tolerance", at);
        const bool exact = entry.tolerance == "exact";
        if (!exact && !entry.tolerance.is_object())
            malformed(at, "'tolerance' must be \"exact\" or an object with abs and rel");
        if (!exact)
        {
            toleranceNumber(entry, "abs");
            toleranceNumber(entry, "rel");
        }
    }
    else if (entry.role != "weight" && entry.role != "input" && entry.role != "recorded_random" &&
             entry.role != "recorded_order")
        malformed(at, "unknown role '" + entry.role + "'");
    if (item.contains("float64_deviation_max_abs") && item["float64_deviation_max_abs"].is_number())
        entry.float64Deviation = item["float64_deviation_max_abs"].get<double>();
    if (item.contains("note") && item["note"].is_string())
        entry.note = item["note"].get<std::string>();
    return entry;
}

std::string replaced(std::string text, const std::string& what, const std::string& by)
{
    for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
        text.replace(at, what.size(), by);
    return text;
}

}  // namespace

std::string shapeText(const Shape& shape)
{
    std::string result = "[";
    for (size_t i = 0; i < shape.size(); i++)
        result += (i ? "," : "") + std::to_string(shape[i]);
    return result + "]";
}

size_t shapeCount(const Shape& shape)
{
    size_t count = 1;
    for (int64_t length : shape)
        count *= static_cast<size_t>(length);
    return count;
}

std::vector<std::string> splitName(const std::string& name)
{
    std::vector<std::string> parts;
    size_t begin = 0;
    for (size_t dot = name.find('.'); dot != std::string::npos; begin = dot + 1, dot = name.find('.', begin))
        parts.push_back(name.substr(begin, dot - begin));
    parts.push_back(name.substr(begin));
    return parts;
}

std::string joinName(const std::vector<std::string>& parts, size_t first)
{
    std::string name;
    for (size_t i = first; i < parts.size(); i++)
        name += (i > first ? "." : "") + parts[i];
    return name;
}

int numberAfter(const std::string& text, const std::string& stem)
{
    const std::string digits = text.size() > stem.size() ? text.substr(stem.size()) : "";
    if (text.compare(0, stem.size(), stem) != 0 || digits.empty() || digits.size() > 6 ||
        digits.find_first_not_of("0123456789") != std::string::npos)
        return -1;
    return std::stoi(digits);
}

std::vector<int> Values::asInts(int64_t low, int64_t high, const std::string& what) const
{
    std::vector<int> result;
    for (int64_t value : ints)
    {
        if (value < low || value > high)
            throw std::runtime_error(what + ": value " + std::to_string(value) + " outside " + std::to_string(low) +
                                     " to " + std::to_string(high));
        result.push_back(static_cast<int>(value));
    }
    return result;
}

Values floatValues(const Shape& shape)
{
    Values values;
    values.shape = shape;
    values.floats.resize(shapeCount(shape));
    return values;
}

Values intValues(const Shape& shape, const std::vector<int>& ints)
{
    Values values;
    values.shape = shape;
    values.integer = true;
    values.ints.assign(ints.begin(), ints.end());
    return values;
}

double toleranceNumber(const Entry& entry, const char* key)
{
    if (!entry.tolerance.is_object() || !entry.tolerance.contains(key) || !entry.tolerance[key].is_number() ||
        entry.tolerance[key].get<double>() < 0)
        throw std::runtime_error("tensor '" + entry.name + "': tolerance has no number '" + key + "' of 0 or more");
    return entry.tolerance[key].get<double>();
}

Case::Case(const std::string& folder)
    : folder_(folder), where_((fs::path(folder) / "case.json").string())
{
    const std::shared_ptr<const cv::ltrp::io::FileBytes> file = cv::ltrp::io::FileBytes::map(where_);
    const std::string_view content(reinterpret_cast<const char*>(file->data()), file->size());
    if (cv::ltrp::io::nestedTooDeep(content))
        malformed(where_, "JSON nested too deep");
    try
    {
        json_ = Json::parse(content);
    }
    catch (const Json::exception& error)
    {
        malformed(where_, std::string("not valid JSON: ") + error.what());
    }
    kind_ = text(json_, "case", where_);
    if (!member(json_, "config", where_).is_object())
        malformed(where_, "'config' must be an object");
    const Json& tensors = member(json_, "tensors", where_);
    if (!tensors.is_array())
        malformed(where_, "'tensors' must be a list");
    for (const Json& item : tensors)
        entries_.push_back(readEntry(item, where_ + ": tensor " + std::to_string(entries_.size())));
}

const Entry* Case::find(const std::string& name) const
{
    for (const Entry& entry : entries_)
        if (entry.role != "weight" && entry.name == name)
            return &entry;
    return nullptr;
}

std::vector<std::string> Case::weightFiles() const
{
    std::vector<std::string> result;
    for (const Entry& entry : entries_)
        if (entry.role == "weight" && std::find(result.begin(), result.end(), entry.file) == result.end())
            result.push_back(entry.file);
    return result;
}

const Json& Case::config(const std::string& key) const
{
    const Json* place = &json_["config"];
    std::string at = "config";
    for (const std::string& part : splitName(key))
    {
        place = &member(*place, part.c_str(), where_ + ": " + at);
        at += "." + part;
    }
    return *place;
}

bool Case::hasConfig(const std::string& key) const
{
    const Json* place = &json_["config"];
    for (const std::string& part : splitName(key))
    {
        if (!place->is_object() || !place->contains(part))
            return false;
        place = &(*place)[part];
    }
    return true;
}

int Case::size(const std::string& key) const
{
    const Json& value = config(key);
    if (!value.is_number_integer() || value.get<int64_t>() < 1 || value.get<int64_t>() > (1 << 20))
        malformed(where_, "config." + key + " must be an integer from 1 to 1048576, found " + value.dump());
    return value.get<int>();
}

double Case::number(const std::string& key) const
{
    const Json& value = config(key);
    if (!value.is_number() || !std::isfinite(value.get<double>()))
        malformed(where_, "config." + key + " must be a number, found " + value.dump());
    return value.get<double>();
}

std::string Case::ratioKey(double ratio) const
{
    const Json& all = config("visible_per_ratio");
    std::ostringstream name;
    name << "m" << ratio * 100;
    if (all.is_object() && all.contains(name.str()))
        return name.str();
    const int wanted = cv::ltrp::vit::visibleCount(size("num_patches"), ratio);
    for (const auto& item : all.items())
        if (item.value() == wanted)
            return item.key();
    malformed(where_, "config.visible_per_ratio has no entry for mask ratio " + std::to_string(ratio));
}

int Case::visible(const std::string& ratio) const
{
    const int count = size("visible_per_ratio." + ratio);
    const Json& ratios = config("mask_ratios");
    if (!ratios.is_array())
        malformed(where_, "config.mask_ratios must be a list");
    for (const Json& value : ratios)
        if (value.is_number() && cv::ltrp::vit::visibleCount(size("num_patches"), value.get<double>()) == count)
            return count;
    malformed(where_, "config.visible_per_ratio." + ratio + " is " + std::to_string(count) +
              ", but no ratio of config.mask_ratios leaves that many of " + std::to_string(size("num_patches")));
}

Values Case::load(const Entry& entry) const
{
    return read(path(entry.file), entry.name, entry.shape, entry.integer);
}

Values Case::own(const std::string& name, const Shape& expected, bool integer) const
{
    const Entry* entry = find(name);
    if (!entry)
        malformed(where_, "tensor '" + name + "' is not listed");
    if (entry->shape != expected || entry->integer != integer)
        malformed(where_, "tensor '" + name + "' is " + (entry->integer ? "int64 " : "float32 ") +
                  shapeText(entry->shape) + ", expected " + (integer ? "int64 " : "float32 ") + shapeText(expected));
    return load(*entry);
}

std::string Case::inputText(const std::string& key, const std::string& ratio) const
{
    return replaced(text(member(json_, "inputs", where_), key.c_str(), where_ + ": inputs"), "<ratio>", ratio);
}

std::string Case::inputPath(const std::string& key, const std::string& ratio) const
{
    const std::string value = inputText(key, ratio);
    return path(value.substr(0, value.find(": ")));
}

Values Case::input(const std::string& key, const std::string& ratio, const std::string& tensor, const Shape& expected,
                   bool integer) const
{
    const std::string value = inputText(key, ratio);
    const size_t colon = value.find(": ");
    return read(path(value.substr(0, colon)), colon == std::string::npos ? tensor : value.substr(colon + 2), expected,
                integer);
}

std::string Case::path(const std::string& relative) const
{
    return (fs::path(folder_) / relative).lexically_normal().string();
}

Values Case::read(const std::string& file, const std::string& tensor, const Shape& expected, bool integer) const
{
    std::shared_ptr<const TensorFile>& open = files_[file];
    if (!open)
        open = TensorFile::open(file);
    const TensorView& view = open->at(tensor);
    const DType wanted = integer ? DType::I64 : DType::F32;
    if (view.shape != expected || view.dtype != wanted)
        malformed(file, "tensor '" + tensor + "' is " + cv::ltrp::io::dtypeName(view.dtype) + " " +
                  shapeText(view.shape) + ", expected " + cv::ltrp::io::dtypeName(wanted) + " " + shapeText(expected));
    Values values;
    values.shape = expected;
    values.integer = integer;
    if (integer)
    {
        values.ints.resize(view.count());
        toInt64(view, values.ints.data());
    }
    else
    {
        values.floats.resize(view.count());
        toFloat(view, values.floats.data());
    }
    return values;
}

namespace
{

void readColour(const Case& c, const std::string& key, double* out)
{
    const Json& list = c.config(key);
    if (!list.is_array() || list.size() != 3)
        malformed(c.folder(), "config." + key + " must be a list of 3 numbers");
    for (size_t i = 0; i < 3; i++)
    {
        if (!list[i].is_number())
            malformed(c.folder(), "config." + key + " must be a list of 3 numbers");
        out[i] = list[i].get<double>();
    }
}

void agree(const std::string& path, const char* what, double file, double config)
{
    if (std::abs(file - config) > 1e-6 * std::abs(config))
    {
        std::ostringstream message;
        message << path << ": " << what << " is " << file << ", case.json says " << config;
        throw std::runtime_error(message.str());
    }
}

void agreeInput(const Case& c, const std::string& path, const std::string& prefix, cv::ltrp::vit::InputConfig& input)
{
    agree(path, "image size", input.imageSize, c.size(prefix + "image_size"));
    agree(path, "patch size", input.patchSize, c.size(prefix + "patch_size"));
    agree(path, "number of patches", input.numPatches(), c.size(prefix + "num_patches"));
    readColour(c, prefix + "mean", input.mean);
    readColour(c, prefix + "std", input.std);
}

void agreeStack(const Case& c, const std::string& path, const std::string& prefix, double mlpRatio,
                const cv::ltrp::vit::StackConfig& stack)
{
    agree(path, "width", stack.dim, c.size(prefix + "dim"));
    agree(path, "depth", stack.depth, c.size(prefix + "depth"));
    agree(path, "number of heads", stack.heads, c.size(prefix + "heads"));
    agree(path, "MLP width", stack.hidden, static_cast<int>(stack.dim * mlpRatio));
}

}  // namespace

std::unique_ptr<cv::ltrp::io::Model> loadMae(const Case& c, const std::string& path)
{
    cv::ltrp::io::LoadHints hints;
    if (!fs::exists(fs::path(path).parent_path() / "config.json"))   // else config.json contains this
    {
        hints.heads = c.size("encoder.heads");
        hints.decoderHeads = c.size("decoder.heads");
        hints.layerNormEps = static_cast<float>(c.number("layer_norm_eps"));
        if (c.hasConfig("norm_pix_loss"))
            hints.normPixLoss = c.config("norm_pix_loss") == true ? 1 : 0;
    }
    std::unique_ptr<cv::ltrp::io::Model> model(
        new cv::ltrp::io::Model(cv::ltrp::io::loadModel(path, cv::ltrp::io::ModelKind::Mae, hints)));
    agreeInput(c, path, "", model->mae.input);
    agreeStack(c, path, "encoder.", c.number("mlp_ratio"), model->mae.encoder);
    agreeStack(c, path, "decoder.", c.number("mlp_ratio"), model->mae.decoder);
    agree(path, "layer norm epsilon", model->mae.layerNormEps, c.number("layer_norm_eps"));
    if (c.hasConfig("norm_pix_loss"))
        agree(path, "norm_pix_loss", model->mae.normPixLoss, c.config("norm_pix_loss") == true);
    return model;
}

std::unique_ptr<cv::ltrp::io::Model> loadRanker(const Case& c, const std::string& path, const std::string& prefix)
{
    cv::ltrp::io::LoadHints hints;
    hints.heads = c.size(prefix + "heads");
    hints.layerNormEps = static_cast<float>(c.number(prefix + "layer_norm_eps"));
    std::unique_ptr<cv::ltrp::io::Model> model(
        new cv::ltrp::io::Model(cv::ltrp::io::loadModel(path, cv::ltrp::io::ModelKind::Ranker, hints)));
    agreeInput(c, path, prefix, model->ranker.input);
    agreeStack(c, path, prefix, c.number(prefix + "mlp_ratio"), model->ranker.encoder);
    agree(path, "layer norm epsilon", model->ranker.layerNormEps, c.number(prefix + "layer_norm_eps"));
    return model;
}

cv::ltrp::vit::ParamArena cloneArena(const cv::ltrp::vit::ParamArena& arena)
{
    cv::ltrp::vit::ParamArena copy(arena.layout);
    std::copy(arena.data(), arena.data() + arena.layout.total(), copy.data());
    return copy;
}

}  // namespace
