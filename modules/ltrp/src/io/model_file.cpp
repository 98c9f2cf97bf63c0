// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "checksum.hpp"
#include "file_bytes.hpp"
#include "model_metadata.hpp"
#include "onnx_file.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <unordered_set>

namespace cv { namespace ltrp { namespace io {

namespace
{

bool isFloating(DType type)
{
    return type == DType::F16 || type == DType::BF16 || type == DType::F32 || type == DType::F64;
}

/// Finds the tensors that form one parameter, and throws for unsuitable ones before any memory is allocated.
std::vector<const TensorView*> findSources(const TensorFile& file, const NetworkInFile& network,
                                           const vit::ParamInfo& info)
{
    const std::vector<std::string> names = sourceNames(network, info.name);
    std::vector<int64_t> shape(info.shape.begin(), info.shape.end());
    shape[0] /= static_cast<int64_t>(names.size());
    std::vector<const TensorView*> views;
    for (const std::string& name : names)
    {
        const TensorView* view = file.find(name);
        LTRP_REQUIRE(view, Error::StsObjectNotFound,
                     file.path() << ": tensor " << printable(name) << " is missing, expected shape "
                                 << shapeText(shape));
        LTRP_REQUIRE(view->shape == shape, Error::StsUnmatchedSizes,
                     file.path() << ": tensor " << printable(name) << " has shape " << shapeText(view->shape)
                                 << ", expected " << shapeText(shape));
        LTRP_REQUIRE(isFloating(view->dtype), Error::StsUnsupportedFormat,
                     file.path() << ": tensor " << printable(name) << " is " << dtypeName(view->dtype)
                                 << ", expected F16, BF16, F32 or F64");
        LTRP_REQUIRE(view->count() * names.size() == info.count, Error::StsUnmatchedSizes,
                     file.path() << ": tensor " << printable(name) << " has " << view->count() << " values, expected "
                                 << info.count / names.size());
        views.push_back(view);
    }
    return views;
}

void checkNoExtras(const TensorFile& file, const NetworkInFile& network, const std::unordered_set<std::string>& used,
                   bool own)
{
    size_t extras = 0;
    std::string first;
    for (const TensorView& view : file.tensors())
    {
        if (used.count(view.name) || (!own && isHarmlessExtra(network, view.name)))
            continue;
        if (extras++ == 0)
            first = view.name;
    }
    LTRP_REQUIRE(extras == 0, Error::StsBadArg,
                 file.path() << ": unknown tensor " << printable(first)
                             << (extras > 1 ? " and " + std::to_string(extras - 1) + " more" : std::string())
                             << ", which a " << modelKindName(network.kind) << " of this kind does not have");
}

void checkFinite(const float* values, size_t count, const std::string& path, const std::string& name)
{
    for (size_t i = 0; i < count; i++)
        LTRP_REQUIRE(std::isfinite(values[i]), Error::StsBadArg,
                     path << ": tensor " << printable(name) << " holds " << values[i] << " at element " << i);
}

void readParams(const TensorFile& file, const NetworkInFile& network, const vit::ParamLayout& layout, bool own,
                Model& model)
{
    std::vector<std::vector<const TensorView*>> sources;
    std::unordered_set<std::string> used;
    model.storage.clear();
    for (const vit::ParamInfo& info : layout.tensors())
    {
        sources.push_back(findSources(file, network, info));
        for (const TensorView* view : sources.back())
        {
            used.insert(view->name);
            if (model.storage.empty())
                model.storage = dtypeName(view->dtype);
            else if (model.storage != dtypeName(view->dtype))
                model.storage = "mixed";
        }
    }
    checkNoExtras(file, network, used, own);

    // Tensors of a pickle may share their bytes: such a file must not claim more weights than its size allows.
    const uint64_t bytes = file.fileBytes();
    LTRP_REQUIRE(layout.parameterCount() <= bytes / 2, Error::StsBadArg,
                 file.path() << ": " << bytes << " bytes cannot hold " << layout.parameterCount() << " weights");

    model.params = vit::ParamArena(layout);
    for (size_t i = 0; i < sources.size(); i++)
    {
        float* out = model.params.data() + layout.tensors()[i].offset;
        for (const TensorView* view : sources[i])
        {
            toFloat(*view, out);
            checkFinite(out, view->count(), file.path(), view->name);
            out += view->count();
        }
    }
}

/// Compares the declared head with the tensors, for a clearer message than one about shapes.
void checkHead(const TensorFile& file, const NetworkInFile& network, const vit::RankerConfig& config)
{
    const TensorView* head = file.find(sourceNames(network, "head.weight").front());
    LTRP_REQUIRE(!head || head->shape.empty() || head->shape[0] == config.headOutputs(), Error::StsUnmatchedSizes,
                 file.path() << ": tensor " << printable(head->name) << " has shape " << shapeText(head->shape)
                             << ", expected " << shapeText({config.headOutputs(), config.encoder.dim}) << ": the head is '"
                             << vit::headName(config.head)
                             << (config.head == vit::Head::Token ? "', which gives one score a token"
                                                                 : "', which gives one score a place of the grid"));
}

const std::string indexEnd = ".index.json";

/// The file that contains a folder's weights, or the index of the files that do.
std::string weightsPath(const std::string& path)
{
    std::error_code error;
    if (!std::filesystem::is_directory(path, error))
        return path;
    for (const char* name : {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"})
    {
        const std::filesystem::path inside = std::filesystem::path(path) / name;
        if (std::filesystem::exists(inside, error))
            return inside.string();
    }
    LTRP_ERROR(Error::StsObjectNotFound, path << ": the folder holds none of model.safetensors, model.safetensors.index.json, "
               "pytorch_model.bin and pytorch_model.bin.index.json; name the weight file itself");
}

std::shared_ptr<const TensorFile> openWeights(const std::string& path)
{
    const std::string file = weightsPath(path);
    if (file.size() <= indexEnd.size() || file.compare(file.size() - indexEnd.size(), indexEnd.size(), indexEnd) != 0)
        return TensorFile::open(file);
    std::vector<std::shared_ptr<const TensorFile>> parts;
    for (const std::string& name : indexedFiles(file))
        parts.push_back(TensorFile::open((std::filesystem::path(file).parent_path() / name).string()));
    return TensorFile::merge(file, parts);
}

void requireKind(const Model& model, ModelKind wanted)
{
    static const char* const what[] = {"a masked autoencoder", "a ranker", "a classifier"};
    LTRP_REQUIRE(model.kind == wanted, Error::StsBadArg,
                 model.path << ": this is " << what[static_cast<int>(model.kind)] << " (format " << model.format
                            << "), " << what[static_cast<int>(wanted)] << " is needed");
}

Model load(const std::string& path, const ModelKind* wanted, const LoadHints& hints)
{
    LTRP_REQUIRE(!isOnnx(path), Error::StsUnsupportedFormat,
                 path << ": is an ONNX file, whose weights have no names; weights are needed, such as the .safetensors "
                         "that it was made from (cv::ltrp::Ranker alone runs ONNX files, those of rankers)");
    const std::shared_ptr<const TensorFile> file = openWeights(path);
    Model model;
    model.path = file->path();
    NetworkInFile network;
    const auto metadata = file->metadata().find("ltrp");
    const bool own = metadata != file->metadata().end();
    if (own)
    {
        parseMetadata(metadata->second, file->path(), model);
        network.kind = model.kind;
        model.format = "ltrp";
    }
    else
    {
        network = identifyNetwork(*file, wanted);
        model.kind = network.kind;
        const bool mae = network.kind == ModelKind::Mae, pytorch = file->format() == "pytorch";
        model.format = network.style == NameStyle::HuggingFace ? "huggingface-mae"
                       : mae                                   ? "facebook-mae"
                       : pytorch                               ? "ltrp-paper"
                                                               : "timm";
    }
    if (wanted)
        requireKind(model, *wanted);
    if (!own)
    {
        if (model.kind == ModelKind::Mae)
            deduceGeometry(*file, network, model.mae);
        else
            deduceGeometry(*file, network, hints.head, model.ranker);
        completeConfig(*file, network, hints, model);
    }
    if (hints.normPixLoss >= 0)
        model.mae.normPixLoss = hints.normPixLoss != 0;
    if (model.kind == ModelKind::Mae)
    {
        vit::checkConfig(model.mae, file->path());
        readParams(*file, network, vit::maeLayout(model.mae), own, model);
        if (!own)
            guessTargets(*file, network, hints, model);
    }
    else if (model.kind == ModelKind::Ranker)
    {
        vit::checkConfig(model.ranker, file->path());
        checkHead(*file, network, model.ranker);
        readParams(*file, network, vit::rankerLayout(model.ranker), own, model);
    }
    else
    {
        vit::checkConfig(model.classifier, file->path());
        readParams(*file, network, vit::classifierLayout(model.classifier), own, model);
    }
    return model;
}

/// Throws if a finite weight becomes infinite when rounded to 16 bits: such a file could not be read again.
std::vector<uint16_t> narrow(const float* values, size_t count, DType storage, const std::string& path,
                             const std::string& name)
{
    std::vector<uint16_t> bits(count);
    const uint16_t exponent = storage == DType::F16 ? 0x7c00 : 0x7f80;
    for (size_t i = 0; i < count; i++)
    {
        bits[i] = storage == DType::F16 ? floatToHalf(values[i]) : floatToBfloat16(values[i]);
        LTRP_REQUIRE((bits[i] & exponent) != exponent, Error::StsOutOfRange,
                     path << ": tensor " << printable(name) << " holds " << values[i] << " at element " << i
                          << ", too large for " << dtypeName(storage));
    }
    return bits;
}

const char* headText(const vit::ClassifierConfig& config)
{
    if (config.task == vit::Task::Segment)
        return "linear, on each patch's token";
    if (config.task == vit::Task::Multilabel)
        return "a query for each class, cross-attention to the patches' tokens";
    return config.pooling == vit::Pooling::Mean ? "linear, on the mean of the patches' tokens" : "linear, on the class token";
}

void describeStack(std::ostream& out, const char* name, const vit::StackConfig& stack)
{
    out << name << stack.dim << " wide, " << stack.depth << " blocks, " << stack.heads << " heads, MLP " << stack.hidden
        << "\n";
}

}  // namespace

const char* modelKindName(ModelKind kind)
{
    return kind == ModelKind::Mae ? "mae" : kind == ModelKind::Ranker ? "ranker" : "classifier";
}

const vit::InputConfig& Model::input() const
{
    return kind == ModelKind::Mae ? mae.input : kind == ModelKind::Ranker ? ranker.input : classifier.input;
}

const vit::StackConfig& Model::encoder() const
{
    return kind == ModelKind::Mae ? mae.encoder : kind == ModelKind::Ranker ? ranker.encoder : classifier.encoder;
}

float Model::layerNormEps() const
{
    return kind == ModelKind::Mae ? mae.layerNormEps : kind == ModelKind::Ranker ? ranker.layerNormEps : classifier.layerNormEps;
}

vit::ParamLayout Model::layout() const
{
    return kind == ModelKind::Mae      ? vit::maeLayout(mae)
           : kind == ModelKind::Ranker ? vit::rankerLayout(ranker)
                                       : vit::classifierLayout(classifier);
}

std::string weightsText(const Model& model)
{
    Crc32 crc;
    crc.add(model.params.data(), model.params.layout.total() * sizeof(float));
    crc.add(&model.encoder().heads, sizeof(int));
    if (model.kind == ModelKind::Mae)
        crc.add(&model.mae.decoder.heads, sizeof(int));
    const float eps = model.layerNormEps();
    crc.add(&eps, sizeof(eps));
    return std::to_string(model.params.layout.parameterCount()) + " parameters, checksum " + crc.text();
}

void checkClasses(const std::vector<std::string>& names, const std::string& where)
{
    LTRP_REQUIRE(names.size() >= 2, Error::StsBadArg, where << ": " << names.size() << " class"
                 << (names.empty() ? "es" : " (" + printable(names[0]) + ")") << ", expected two or more");
    std::unordered_set<std::string> known;
    for (const std::string& name : names)
    {
        bool plain = true;
        for (size_t i = 0, length = 1; plain && i < name.size(); i += length)
        {
            length = utf8Length(std::string_view(name).substr(i));
            plain = length > 0 && static_cast<uchar>(name[i]) >= 32 && name[i] != 127;
        }
        LTRP_REQUIRE(!name.empty() && name.size() <= 255 && plain, Error::StsBadArg, where << ": class " << printable(name)
                     << " is no name, expected 1 to 255 bytes of UTF-8 without control characters");
        LTRP_REQUIRE(name.front() != ' ' && name.back() != ' ', Error::StsBadArg, where << ": class " << printable(name)
                     << " begins or ends with a blank, expected a name without");
        LTRP_REQUIRE(known.insert(name).second, Error::StsBadArg, where << ": class " << printable(name) << " occurs twice");
    }
}

Model loadModel(const std::string& path, const LoadHints& hints)
{
    return load(path, nullptr, hints);
}

Model loadModel(const std::string& path, ModelKind wanted, const LoadHints& hints)
{
    return load(path, &wanted, hints);
}

void saveModel(const std::string& path, const Model& model, DType storage)
{
    LTRP_REQUIRE(storage == DType::F32 || storage == DType::F16 || storage == DType::BF16, Error::StsBadArg,
                 path << ": weights cannot be stored as " << dtypeName(storage) << ", expected F32, F16 or BF16");
    const vit::ParamLayout layout = model.layout();
    LTRP_REQUIRE(
        !model.params.values.empty() && model.params.layout.total() == layout.total(), Error::StsUnmatchedSizes,
        path << ": the model has " << model.params.layout.total() << " values, its geometry needs " << layout.total());
    std::vector<TensorOut> tensors;
    std::vector<std::vector<uint16_t>> narrowed;
    for (const vit::ParamInfo& info : layout.tensors())
    {
        const float* values = model.params.data() + info.offset;
        checkFinite(values, info.count, path, info.name);
        TensorOut out;
        out.name = info.name;
        out.dtype = storage;
        out.shape.assign(info.shape.begin(), info.shape.end());
        out.data = values;
        if (storage != DType::F32)
        {
            narrowed.push_back(narrow(values, info.count, storage, path, info.name));
            out.data = narrowed.back().data();
        }
        tensors.push_back(std::move(out));
    }
    std::map<std::string, std::string> metadata{{"ltrp", modelMetadata(model)}};
    if (model.kind == ModelKind::Classifier && model.classifier.task == vit::Task::Classify)
        addClassifierMetadata(model, metadata);
    writeSafetensors(path, tensors, metadata);
}

std::string describeModel(const Model& model, bool tensors)
{
    const bool mae = model.kind == ModelKind::Mae;
    const vit::InputConfig& input = model.input();
    std::ostringstream out;
    out << "kind        " << (mae ? "mae (masked autoencoder)" : modelKindName(model.kind)) << "\n";
    out << "format      " << model.format << ", weights " << model.storage << "\n";
    out << "input       " << input.imageSize << " x " << input.imageSize << " pixels, " << input.grid() << " x "
        << input.grid() << " patches of " << input.patchSize << " x " << input.patchSize << "\n";
    out << "mean        " << input.mean[0] << " " << input.mean[1] << " " << input.mean[2] << "   std " << input.std[0]
        << " " << input.std[1] << " " << input.std[2] << "   (R, G, B)\n";
    describeStack(out, "encoder     ", model.encoder());
    if (mae)
    {
        describeStack(out, "decoder     ", model.mae.decoder);
        out << "targets     " << (model.mae.normPixLoss ? "normalised per patch" : "plain") << " pixels\n";
    }
    else if (model.kind == ModelKind::Classifier)
        out << "task        " << vit::taskName(model.classifier.task) << "\n"
            << "head        " << headText(model.classifier) << "\n"
            << "classes     " << model.classes.size() << ": " << harmless(model.classes.front()) << " ... "
            << harmless(model.classes.back()) << "\n";
    else
        out << "head        " << (model.ranker.head == vit::Head::Token ? "token: one score from each patch's token"
                                                                         : "class: all scores from the class token") << "\n";
    out << "norm eps    " << model.layerNormEps() << "\n";
    out << "parameters  " << model.params.layout.parameterCount() << " in " << model.params.layout.tensors().size()
        << " tensors\n";
    for (const auto& item : model.provenance)
        out << "provenance  " << harmless(item.first) << ": " << harmless(item.second) << "\n";
    if (tensors)
    {
        for (const vit::ParamInfo& info : model.params.layout.tensors())
            out << "tensor      " << info.name << " " << shapeText({info.shape.begin(), info.shape.end()}) << "\n";
    }
    return out.str();
}

}}}  // namespace
