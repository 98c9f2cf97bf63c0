// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "file_bytes.hpp"
#include "json_text.hpp"
#include "model_metadata.hpp"
#include "../core/decimal.hpp"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

namespace cv { namespace ltrp { namespace io {

namespace
{

using Json = nlohmann::json;

const int metadataVersion = 1;
const size_t maxConfigBytes = 1 << 20; // published config.json files have about 1 KB

int integer(const Json& object, const char* key, const std::string& where)
{
    return static_cast<int>(jsonInteger(object, key, where));
}

std::vector<std::string> texts(const Json& value, const char* key, const std::string& where)
{
    bool good = value.is_array();
    for (size_t i = 0; good && i < value.size(); i++)
        good = value[i].is_string();
    LTRP_REQUIRE(good, Error::StsParseError, where << ": '" << key << "' is " << value.dump(-1, ' ', false,
                 Json::error_handler_t::replace).substr(0, 40) << ", expected texts");
    return value.get<std::vector<std::string>>();
}

vit::StackConfig stack(const Json& object, const char* key, const std::string& where)
{
    const Json& value = jsonObject(object, key, where);
    const std::string inside = where + ": " + key;
    vit::StackConfig config;
    config.dim = integer(value, "dim", inside);
    config.depth = integer(value, "depth", inside);
    config.heads = integer(value, "heads", inside);
    config.hidden = integer(value, "hidden", inside);
    return config;
}

Json stackJson(const vit::StackConfig& config)
{
    return {{"dim", config.dim}, {"depth", config.depth}, {"heads", config.heads}, {"hidden", config.hidden}};
}

/// The shortest decimal that converts back to the same float: 1e-05, not 9.999999747378752e-06.
double shortestDecimal(float value)
{
    for (int digits = 1; digits < 9; digits++)
    {
        const double read = parseDecimal(decimal(value, digits));
        if (static_cast<float>(read) == value)
            return read;
    }
    return parseDecimal(decimal(value, 9));
}

std::string_view textOf(const FileBytes& bytes)
{
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// The JSON object in a file next to the weights; empty if there is no such file.
Json neighbour(const std::string& path, const char* name, std::string& where)
{
    const std::filesystem::path file = std::filesystem::path(path).parent_path() / name;
    where = file.string();
    std::error_code error;
    if (std::filesystem::symlink_status(file, error).type() == std::filesystem::file_type::not_found)
        return Json::object();
    const std::shared_ptr<const FileBytes> bytes = FileBytes::map(where);
    LTRP_REQUIRE(bytes->size() <= maxConfigBytes, Error::StsBadArg,
                 where << ": " << bytes->size() << " bytes, expected at most " << maxConfigBytes);
    return parseJsonObject<Json>(textOf(*bytes), where);
}

/// transformers writes only values that differ from its class defaults.
int integerOr(const Json& config, const char* key, int fallback, const std::string& where)
{
    return config.contains(key) ? integer(config, key, where) : fallback;
}

void checkAgainst(const Json& config, const char* key, int fallback, int found, const std::string& where,
                  const std::string& path)
{
    const int said = integerOr(config, key, fallback, where);
    LTRP_REQUIRE(said == found, Error::StsUnmatchedSizes,
                 where << ": '" << key << "' is " << said << ", the tensors of " << path << " have " << found);
}

void applyHuggingFaceConfig(const std::string& path, vit::MaeConfig& mae)
{
    std::string where;
    const Json config = neighbour(path, "config.json", where);
    if (!config.empty())
    {
        LTRP_REQUIRE(!config.contains("model_type") || config["model_type"] == "vit_mae", Error::StsBadArg,
                     where << ": 'model_type' is " << jsonExcerpt(config["model_type"])
                           << ", expected \"vit_mae\"");
        LTRP_REQUIRE(!config.contains("hidden_act") || config["hidden_act"] == "gelu", Error::StsBadArg,
                     where << ": 'hidden_act' is " << jsonExcerpt(config["hidden_act"])
                           << ", only \"gelu\" is supported");
        checkAgainst(config, "hidden_size", 768, mae.encoder.dim, where, path);
        checkAgainst(config, "num_hidden_layers", 12, mae.encoder.depth, where, path);
        checkAgainst(config, "intermediate_size", 3072, mae.encoder.hidden, where, path);
        checkAgainst(config, "decoder_hidden_size", 512, mae.decoder.dim, where, path);
        checkAgainst(config, "decoder_num_hidden_layers", 8, mae.decoder.depth, where, path);
        checkAgainst(config, "decoder_intermediate_size", 2048, mae.decoder.hidden, where, path);
        checkAgainst(config, "image_size", 224, mae.input.imageSize, where, path);
        checkAgainst(config, "patch_size", 16, mae.input.patchSize, where, path);
        checkAgainst(config, "num_channels", 3, 3, where, path);
        mae.encoder.heads = integerOr(config, "num_attention_heads", 12, where);
        mae.decoder.heads = integerOr(config, "decoder_num_attention_heads", 16, where);
        mae.layerNormEps =
            static_cast<float>(config.contains("layer_norm_eps") ? jsonNumber(config, "layer_norm_eps", where) : 1e-12);
        mae.normPixLoss = config.contains("norm_pix_loss") && jsonBoolean(config, "norm_pix_loss", where);
    }
    const Json preprocessor = neighbour(path, "preprocessor_config.json", where);
    if (preprocessor.contains("image_mean"))
        jsonTriple(preprocessor, "image_mean", where, mae.input.mean);
    if (preprocessor.contains("image_std"))
        jsonTriple(preprocessor, "image_std", where, mae.input.std);
}

/// timm's config.json contains the normalisation of images in training, and the class names of a classifier.
void applyTimmConfig(const std::string& path, bool mae, vit::InputConfig& input)
{
    std::string where;
    const Json config = neighbour(path, "config.json", where);
    const auto it = config.find("pretrained_cfg");
    const auto names = [](const Json& object)
    { return object.is_object() && (object.contains("label_names") || object.contains("label_descriptions")); };
    LTRP_REQUIRE(mae || !(names(config) || (it != config.end() && names(*it)) || config.contains("id2label")), Error::StsBadArg,
                 path << ": is a classifier: " << where << " beside it names its classes; a ranker has one output per patch");
    if (it == config.end() || !it->is_object())
        return;
    if (it->contains("mean"))
        jsonTriple(*it, "mean", where, input.mean);
    if (it->contains("std"))
        jsonTriple(*it, "std", where, input.std);
}

/// The options of the pretraining script, which its checkpoints contain; the released weights do not.
void applyFacebookArguments(const TensorFile& file, vit::MaeConfig& mae)
{
    const auto said = file.metadata().find("args.norm_pix_loss");
    if (said == file.metadata().end())
        return;
    const bool yes = said->second == "True" || said->second == "1", no = said->second == "False" || said->second == "0";
    LTRP_REQUIRE(yes || no, Error::StsParseError,
                 file.path() << ": 'args.norm_pix_loss' is " << printable(said->second) << ", expected True or False");
    mae.normPixLoss = yes;
}

int conventionalHeads(const vit::StackConfig& stack, bool decoder, const std::string& path)
{
    if (decoder && stack.dim == 512)
        return 16;
    if (!decoder && stack.dim == 1280)
        return 16; // ViT-H: 80 wide heads
    LTRP_REQUIRE(!decoder && stack.dim % 64 == 0, Error::StsBadArg,
                 path << ": the number of attention heads of the " << (decoder ? "decoder" : "encoder") << " ("
                      << stack.dim
                      << " wide) is not in the file and cannot be guessed; 'ltrp convert' stores it with "
                      << (decoder ? "--decoder-heads" : "--heads"));
    return stack.dim / 64;
}

void completeStack(vit::StackConfig& stack, int hint, bool decoder, const std::string& path)
{
    LTRP_REQUIRE(hint >= 0, Error::StsOutOfRange, path << ": " << hint << " attention heads were asked for");
    if (hint > 0)
        stack.heads = hint;
    else if (stack.heads == 0)
        stack.heads = conventionalHeads(stack, decoder, path);
}

}  // namespace

std::string modelMetadata(const Model& model)
{
    const bool mae = model.kind == ModelKind::Mae;
    const vit::InputConfig& input = model.input();
    Json json = Json::object();   // nlohmann-json 3.11.2 crashes if memory runs out on converting null to an object
    json["format"] = metadataVersion;
    json["kind"] = modelKindName(model.kind);
    json["image_size"] = input.imageSize;
    json["patch_size"] = input.patchSize;
    json["mean"] = {input.mean[0], input.mean[1], input.mean[2]};
    json["std"] = {input.std[0], input.std[1], input.std[2]};
    json["layer_norm_eps"] = shortestDecimal(model.layerNormEps());
    json["encoder"] = stackJson(model.encoder());
    if (mae)
    {
        json["decoder"] = stackJson(model.mae.decoder);
        json["norm_pix_loss"] = model.mae.normPixLoss;
    }
    else if (model.kind == ModelKind::Ranker)
        json["head"] = vit::headName(model.ranker.head);
    else
    {
        json["task"] = vit::taskName(model.classifier.task);
        // Without it older versions, which know no other task, refuse the file.
        if (model.classifier.task == vit::Task::Classify)
            json["pool"] = vit::poolingName(model.classifier.pooling);
        json["classes"] = model.classes;
    }
    if (!input.otherSize.empty())
        json["input_size"] = {input.otherSize.width, input.otherSize.height};
    json["provenance"] = model.provenance;
    // Provenance may contain file names, which need not be UTF-8.
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void addClassifierMetadata(const Model& model, std::map<std::string, std::string>& metadata)
{
    const vit::InputConfig& input = model.input();
    std::string& lines = metadata["classes"];
    for (const std::string& name : model.classes)
        lines += (lines.empty() ? "" : "\n") + name;
    metadata["heads"] = std::to_string(model.classifier.encoder.heads);
    metadata["mean"] = Json(input.mean).dump();
    metadata["std"] = Json(input.std).dump();
}

namespace
{

Json parseCommon(const std::string& text, const std::string& where, ModelKind& kindOut, vit::InputConfig& input)
{
    Json json = parseJsonObject<Json>(text, where);
    const int version = integer(json, "format", where);
    LTRP_REQUIRE(version == metadataVersion, Error::StsBadArg,
                 where << ": format version " << version << ", expected " << metadataVersion);
    const Json& kind = jsonMember(json, "kind", where);
    LTRP_REQUIRE(kind == "mae" || kind == "ranker" || kind == "classifier", Error::StsBadArg,
                 where << ": 'kind' is " << jsonExcerpt(kind) << ", expected \"mae\", \"ranker\" or \"classifier\"");
    kindOut = kind == "mae" ? ModelKind::Mae : kind == "ranker" ? ModelKind::Ranker : ModelKind::Classifier;
    input.imageSize = integer(json, "image_size", where);
    input.patchSize = integer(json, "patch_size", where);
    jsonTriple(json, "mean", where, input.mean);
    jsonTriple(json, "std", where, input.std);
    return json;
}

}  // namespace

void parseInputMetadata(const std::string& text, const std::string& path, ModelKind& kind, vit::InputConfig& input)
{
    const std::string where = path + ": metadata 'ltrp'";
    const Json json = parseCommon(text, where, kind, input);
    const auto size = json.find("input_size");
    if (size == json.end())
        return;
    LTRP_REQUIRE(size->is_array() && size->size() == 2, Error::StsParseError,
                 where << ": 'input_size' is " << jsonExcerpt(*size) << ", expected [width, height]");
    const Json sides = {{"width", (*size)[0]}, {"height", (*size)[1]}};
    input.otherSize = Size(integer(sides, "width", where), integer(sides, "height", where));
    LTRP_REQUIRE(!input.otherSize.empty(), Error::StsParseError, where << ": 'input_size' is " << jsonExcerpt(*size)
                 << ", expected sides of 1 pixel or more");
}

void parseMetadata(const std::string& text, const std::string& path, Model& model)
{
    const std::string where = path + ": metadata 'ltrp'";
    vit::InputConfig input;
    const Json json = parseCommon(text, where, model.kind, input);
    const float eps = static_cast<float>(jsonNumber(json, "layer_norm_eps", where));
    if (model.kind == ModelKind::Mae)
    {
        model.mae.input = input;
        model.mae.layerNormEps = eps;
        model.mae.encoder = stack(json, "encoder", where);
        model.mae.decoder = stack(json, "decoder", where);
        model.mae.normPixLoss = jsonBoolean(json, "norm_pix_loss", where);
    }
    else if (model.kind == ModelKind::Classifier)
    {
        model.classifier.input = input;
        model.classifier.layerNormEps = eps;
        model.classifier.encoder = stack(json, "encoder", where);
        if (json.contains("task"))   // older files are of the one task that there was
            model.classifier.task = vit::parseTask(texts(Json::array({json["task"]}), "task", where)[0], where);
        if (model.classifier.task == vit::Task::Classify)
            model.classifier.pooling = vit::parsePooling(texts(Json::array({jsonMember(json, "pool", where)}), "pool", where)[0], where);
        model.classes = texts(jsonMember(json, "classes", where), "classes", where);
        checkClasses(model.classes, where);
        model.classifier.classes = static_cast<int>(model.classes.size());
    }
    else
    {
        model.ranker.input = input;
        model.ranker.layerNormEps = eps;
        model.ranker.encoder = stack(json, "encoder", where);
        if (json.contains("head"))   // files from before the token head have no entry
        {
            LTRP_REQUIRE(json["head"].is_string(), Error::StsParseError, where << ": 'head' is "
                         << jsonExcerpt(json["head"]) << ", expected \"token\" or \"class\"");
            model.ranker.head = vit::parseHead(json["head"].get<std::string>(), where);
        }
    }
    if (json.contains("provenance"))
    {
        for (const auto& item : jsonObject(json, "provenance", where).items())
        {
            LTRP_REQUIRE(item.value().is_string(), Error::StsParseError,
                         where << ": provenance of " << printable(item.key()) << " is not a text");
            model.provenance[item.key()] = item.value().get<std::string>();
        }
    }
}

std::vector<std::string> indexedFiles(const std::string& path)
{
    const std::shared_ptr<const FileBytes> bytes = FileBytes::map(path);
    const Json index = parseJsonObject<Json>(textOf(*bytes), path);
    const Json& map = jsonMember(index, "weight_map", path);
    LTRP_REQUIRE(map.is_object() && !map.empty(), Error::StsParseError, path << ": 'weight_map' is not a JSON object with entries");
    std::set<std::string> names;
    for (const auto& entry : map.items())
    {
        LTRP_REQUIRE(entry.value().is_string(), Error::StsParseError, path << ": the file of tensor " << printable(entry.key())
                     << " is " << jsonExcerpt(entry.value()) << ", expected a text");
        const std::string name = entry.value().get<std::string>();
        LTRP_REQUIRE(!name.empty() && name[0] != '.' && name.find_first_of("/\\") == std::string::npos, Error::StsBadArg,
                     path << ": names the file " << printable(name) << ", expected one beside it");
        names.insert(name);
        LTRP_REQUIRE(names.size() <= 1000, Error::StsOutOfRange, path << ": names more than 1000 files");
    }
    return {names.begin(), names.end()};
}

void guessTargets(const TensorFile& file, const NetworkInFile& network, const LoadHints& hints, Model& model)
{
    if (hints.normPixLoss >= 0 || network.style == NameStyle::HuggingFace || file.metadata().count("args.norm_pix_loss"))
        return;
    // Normalised patches have zero mean, so nothing is learned for it; plain ones differ most in their mean. Computes
    // the share of the last layer's output that is common to all pixels of a patch:
    const vit::ParamInfo& info = model.params.layout.at("decoder_pred.weight");
    const size_t outputs = static_cast<size_t>(info.shape[0]), inputs = static_cast<size_t>(info.shape[1]);
    const float* weight = model.params.data() + info.offset;
    double common = 0, all = 0;
    for (size_t i = 0; i < inputs; i++)
    {
        double sum = 0;
        for (size_t o = 0; o < outputs; o++)
        {
            const double w = weight[o * inputs + i];
            sum += w;
            all += w * w;
        }
        common += sum * sum / static_cast<double>(outputs);
    }
    const bool named = std::filesystem::path(file.path()).filename().string().find("visualize") != std::string::npos;
    const bool byWeights = all > 0 && common > 0.25 * all;
    model.mae.normPixLoss = !named && !byWeights;
    model.warnings.push_back(file.path() + ": does not say whether it predicts pixels normalised per patch (norm_pix_loss); taken as " +
                             (model.mae.normPixLoss ? "yes" : "no") + (named ? ", by its name" : ", by its weights") +
                             "; --norm-pix-loss yes or no says it, and 'ltrp convert' stores it");
}

void completeConfig(const TensorFile& file, const NetworkInFile& network, const LoadHints& hints, Model& model)
{
    const std::string& path = file.path();
    const bool mae = network.kind == ModelKind::Mae;
    vit::StackConfig& encoder = mae ? model.mae.encoder : model.ranker.encoder;
    float& eps = mae ? model.mae.layerNormEps : model.ranker.layerNormEps;
    encoder.heads = 0;
    model.mae.decoder.heads = 0;
    eps = mae ? 1e-6f : 1e-5f;
    model.mae.normPixLoss = true;
    if (network.style == NameStyle::HuggingFace)
        applyHuggingFaceConfig(path, model.mae);
    else
    {
        if (mae)
            applyFacebookArguments(file, model.mae);
        applyTimmConfig(path, mae, mae ? model.mae.input : model.ranker.input);
    }

    completeStack(encoder, hints.heads, false, path);
    if (mae)
        completeStack(model.mae.decoder, hints.decoderHeads, true, path);
    if (hints.layerNormEps != 0)
        eps = hints.layerNormEps;
}

}}}  // namespace
