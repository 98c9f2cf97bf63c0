// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// `ltrp golden`: passes on the recorded cases and on cases of another geometry, fails on every deviation. ctest also
// runs the folders of tests/data/golden and of the complete set one by one (golden.*, golden_complete.*).

#include "golden_folders.hpp"
#include "reference_vit.hpp"
#include "io/tensor_file.hpp"
#include "tool_fixture.hpp"

#include <boost/test/unit_test.hpp>

#include <cstring>
#include <sstream>

namespace fs = std::filesystem;
using testing_tools::Outcome;
using Json = ToolFixture::Json;

namespace
{

std::string dataFolder()
{
    return std::string(LTRP_SOURCE_DIR) + "/tests/data/golden";
}

/// State and rest of the line of this check; "" if there is none.
std::string lineOf(const std::string& output, const std::string& name)
{
    std::istringstream lines(output);
    for (std::string line; std::getline(lines, line);)
        for (const char* state : {"  ok   ", "  FAIL "})
            if (line.compare(0, 7, state) == 0 && line.compare(7, name.size() + 1, name + " ") == 0)
                return line.substr(2);
    return "";
}

size_t countOf(const std::string& text, const std::string& part)
{
    size_t count = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
        count++;
    return count;
}

Json readJson(const fs::path& path)
{
    return Json::parse(testing_tools::readText(path.string()));
}

void writeJson(const fs::path& path, const Json& json)
{
    testing_tools::writeText(path.string(), json.dump());
}

/// Copies of the recorded cases, to be changed. For pseudo-scores only one mask ratio and no SSIM, which takes long.
void copyCases(const fs::path& to)
{
    fs::copy(dataFolder(), to, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    Json json = readJson(to / "pseudo_scores/case.json"), kept = Json::array();
    for (const Json& tensor : json.at("tensors"))
    {
        const std::string name = tensor.at("name");
        if (name.compare(0, 4, "m90.") == 0 && name.find("ssim") == std::string::npos)
            kept.push_back(tensor);
    }
    json["tensors"] = kept;
    writeJson(to / "pseudo_scores/case.json", json);
}

/// Adds to one float32, or one int64, of a safetensors file.
void change(const fs::path& path, const std::string& tensor, size_t index, double by)
{
    std::string bytes = testing_tools::readText(path.string());
    uint64_t header = 0;
    std::memcpy(&header, bytes.data(), 8);
    const Json info = Json::parse(bytes.substr(8, header)).at(tensor);
    char* data = &bytes[8 + header + info.at("data_offsets")[0].get<size_t>()];
    if (info.at("dtype") == "F32")
    {
        float value = 0;
        std::memcpy(&value, data + index * 4, 4);
        value += static_cast<float>(by);
        std::memcpy(data + index * 4, &value, 4);
    }
    else
    {
        int64_t value = 0;
        std::memcpy(&value, data + index * 8, 8);
        value += static_cast<int64_t>(by);
        std::memcpy(data + index * 8, &value, 8);
    }
    testing_tools::writeText(path.string(), bytes);
}

/// Writes a case in the recorded format, computed by the reference networks of reference_vit.hpp.
class CaseWriter
{
public:
    CaseWriter(const fs::path& folder, const std::string& kind, const Json& config) : folder_(folder)
    {
        fs::create_directories(folder);
        json_ = {{"case", kind}, {"config", config}, {"tensors", Json::array()}};
    }
    Json& json() { return json_; }

    void add(const std::string& file, const std::string& name, const std::vector<int64_t>& shape,
             const std::vector<double>& values, const std::string& role)
    {
        Tensor tensor{name, shape, std::vector<float>(values.begin(), values.end()), {}};
        list(file, name, shape, "float32", role);
        files_[file].push_back(tensor);
    }

    void add(const std::string& file, const std::string& name, const std::vector<int64_t>& shape,
             const std::vector<int>& values, const std::string& role)
    {
        Tensor tensor{name, shape, {}, std::vector<int64_t>(values.begin(), values.end())};
        list(file, name, shape, "int64", role);
        files_[file].push_back(tensor);
    }

    void addWeights(const std::string& file, const cv::ltrp::vit::ParamArena& arena)
    {
        for (const cv::ltrp::vit::ParamInfo& info : arena.layout.tensors())
            add(file, info.name, std::vector<int64_t>(info.shape.begin(), info.shape.end()),
                std::vector<double>(arena.data() + info.offset, arena.data() + info.offset + info.count), "weight");
    }

    void write() const
    {
        using namespace cv::ltrp::io;
        for (const auto& file : files_)
        {
            std::vector<TensorOut> out;
            for (const Tensor& t : file.second)
                out.push_back({t.name, t.ints.empty() ? DType::F32 : DType::I64, t.shape,
                               t.ints.empty() ? static_cast<const void*>(t.floats.data()) : t.ints.data()});
            writeSafetensors((folder_ / file.first).string(), out, {});
        }
        writeJson(folder_ / "case.json", json_);
    }

private:
    struct Tensor
    {
        std::string name;
        std::vector<int64_t> shape;
        std::vector<float> floats;
        std::vector<int64_t> ints;
    };

    void list(const std::string& file, const std::string& name, const std::vector<int64_t>& shape,
              const std::string& dtype, const std::string& role)
    {
        Json item = {{"file", file}, {"name", name}, {"shape", shape}, {"dtype", dtype}, {"role", role}};
        if (role == "output")
            item["tolerance"] = dtype == "int64" ? Json("exact") : Json({{"abs", 1e-4}, {"rel", 1e-4}});
        json_["tensors"].push_back(item);
    }

    fs::path folder_;
    Json json_;
    std::map<std::string, std::vector<Tensor>> files_;
};

void append(std::vector<double>& list, const reference::Matrix& rows)
{
    for (const reference::Vector& row : rows)
        list.insert(list.end(), row.begin(), row.end());
}

/// A masked autoencoder of 30 x 30 pixels in patches of 6, three images, 40 % visible, and a ranker of another width.
void writeOtherGeometry(const fs::path& folder)
{
    namespace vit = cv::ltrp::vit;
    const int side = 30, size = 6, patches = 25, batch = 3, visible = 10, values = 3 * size * size;
    const Json base = {{"image_size", side}, {"patch_size", size}, {"grid", 5}, {"num_patches", patches},
                       {"batch", batch}, {"mean", {0.5, 0.5, 0.5}}, {"std", {0.25, 0.25, 0.25}}, {"mlp_ratio", 2}};
    vit::MaeConfig mae;
    mae.input.imageSize = side;
    mae.input.patchSize = size;
    mae.encoder = {20, 1, 5, 40};
    mae.decoder = {12, 2, 3, 24};
    mae.layerNormEps = 1e-5f;
    vit::ParamArena weights(vit::maeLayout(mae));
    reference::randomise(weights, 5);
    const reference::Params params = reference::toDouble(weights);
    const size_t image = static_cast<size_t>(3) * side * side;
    const std::vector<float> pixels = reference::randomPixels(batch * image, 6);
    const std::vector<float> noise = reference::randomPixels(static_cast<size_t>(batch) * patches, 7);
    std::vector<int> keep;
    for (int b = 0; b < batch; b++)
    {
        std::vector<int> order(patches);
        for (int i = 0; i < patches; i++)
            order[i] = i;
        const float* row = &noise[static_cast<size_t>(b) * patches];
        std::sort(order.begin(), order.end(), [row](int i, int j) { return row[i] < row[j]; });
        std::sort(order.begin(), order.begin() + visible);
        keep.insert(keep.end(), order.begin(), order.begin() + visible);
    }

    Json config = base;
    config["encoder"] = {{"dim", 20}, {"depth", 1}, {"heads", 5}};
    config["decoder"] = {{"dim", 12}, {"depth", 2}, {"heads", 3}};
    config["layer_norm_eps"] = 1e-5;
    config["norm_pix_loss"] = true;
    config["mask_ratios"] = {0.6};
    config["visible_per_ratio"] = {{"m60", visible}};
    CaseWriter maeCase(folder / "mae_other", "mae_other", config);
    CaseWriter scoreCase(folder / "scores_other", "pseudo_scores", config);
    scoreCase.json()["inputs"] = {{"images", "../mae_other/input.safetensors: pixel_values"},
                                  {"masks", "../mae_other/mask_<ratio>.safetensors"},
                                  {"weights", "../mae_other/mae.safetensors"}};
    std::vector<double> latents, preds, decoderScores, encoderScores;
    double loss = 0;
    for (int b = 0; b < batch; b++)
    {
        const float* picture = &pixels[b * image];
        const std::vector<int> ids = reference::row(keep, b, visible);
        const reference::Matrix latent = reference::encode(mae, params, picture, ids, -1);
        const reference::Matrix anchor = reference::decode(mae, params, latent, ids, -1);
        append(latents, latent);
        append(preds, anchor);
        loss += reference::maeLoss(mae, picture, ids, anchor) / batch;
        for (int i = 0; i < visible; i++)
        {
            const reference::Matrix decoder = reference::decode(mae, params, latent, ids, 1 + ids[i]);
            const reference::Matrix encoder =
                reference::decode(mae, params, reference::encode(mae, params, picture, ids, 1 + i), ids, -1);
            double d = 0, e = 0;
            for (int id = 0; id < patches; id++)
                for (int k = 0; k < values && !reference::contains(ids, id); k++)
                {
                    d += std::abs(decoder[id][k] - anchor[id][k]) / values / (patches - visible);
                    e += std::abs(encoder[id][k] - anchor[id][k]) / values / (patches - visible);
                }
            decoderScores.push_back(d);
            encoderScores.push_back(e);
        }
    }
    maeCase.addWeights("mae.safetensors", weights);
    maeCase.add("input.safetensors", "pixel_values", {batch, 3, side, side},
                std::vector<double>(pixels.begin(), pixels.end()), "input");
    maeCase.add("mask_m60.safetensors", "m60.noise", {batch, patches}, std::vector<double>(noise.begin(), noise.end()),
                "recorded_random");
    maeCase.add("mask_m60.safetensors", "m60.ids_keep", {batch, visible}, keep, "output");
    maeCase.add("out.safetensors", "m60.latent", {batch, 1 + visible, 20}, latents, "output");
    maeCase.add("out.safetensors", "m60.pred", {batch, patches, values}, preds, "output");
    maeCase.add("out.safetensors", "m60.loss", {1}, std::vector<double>{loss}, "output");
    maeCase.write();
    scoreCase.add("scores.safetensors", "m60.decoder.l1", {batch, visible}, decoderScores, "output");
    scoreCase.add("scores.safetensors", "m60.mask_all.l1", {batch, visible}, encoderScores, "output");
    scoreCase.write();

    vit::RankerConfig ranker;
    ranker.input = mae.input;
    ranker.encoder = {36, 1, 3, 72};
    ranker.layerNormEps = 1e-4f;
    vit::ParamArena rankerWeights(vit::rankerLayout(ranker));
    reference::randomise(rankerWeights, 8);
    std::vector<int> all(patches);
    for (int i = 0; i < patches; i++)
        all[i] = i;
    std::vector<double> scores;
    for (int b = 0; b < batch; b++)
        append(scores, {reference::rankerScores(ranker, reference::toDouble(rankerWeights), &pixels[b * image], all)});
    Json rankerConfig = base;
    rankerConfig.update({{"dim", 36}, {"depth", 1}, {"heads", 3}, {"layer_norm_eps", 1e-4}, {"num_outputs", patches},
                         {"list_mle_k", 20}});
    CaseWriter rankerCase(folder / "ranker_other", "ranker_other", rankerConfig);
    rankerCase.json()["inputs"] = {{"images", "../mae_other/input.safetensors: pixel_values"}};
    rankerCase.addWeights("ranker.safetensors", rankerWeights);
    rankerCase.add("out.safetensors", "scores_full", {batch, patches}, scores, "output");
    rankerCase.write();
}

/// Runs a changed copy of a recorded case: expects exit status 1 and `parts` in the output, without a crash.
void expectFailure(const fs::path& folder, const std::vector<std::string>& parts)
{
    const Outcome outcome = ToolFixture::tool({"golden", folder.string()});
    BOOST_TEST_CONTEXT(folder.filename().string() << ", expecting '" << parts[0] << "'")
    {
        BOOST_TEST(outcome.status == 1);
        for (const std::string& part : parts)
            BOOST_TEST((outcome.out + outcome.err).find(part) != std::string::npos,
                       "'" << part << "' is not in: " << outcome.out << outcome.err);
    }
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(golden, ToolFixture)

BOOST_AUTO_TEST_CASE(every_recorded_output_is_compared_and_right)
{
    for (const std::string& cases : goldenFolders())
    {
        const Outcome outcome = tool({"golden", cases});
        BOOST_TEST(outcome.status == 0, outcome.out << outcome.err);
        BOOST_TEST(countOf(outcome.out, "  FAIL ") == 0u);
        size_t outputs = 0;
        for (const auto& entry : fs::directory_iterator(cases))
        {
            if (!fs::exists(entry.path() / "case.json"))
                continue;
            const Json recorded = readJson(entry.path() / "case.json");   // must outlive the loop below
            for (const Json& tensor : recorded.at("tensors"))
                if (tensor.at("role") == "output")
                {
                    outputs++;
                    BOOST_TEST(lineOf(outcome.out, tensor.at("name")).compare(0, 3, "ok ") == 0,
                               entry.path() << " has no line for " << tensor.at("name"));
                }
        }
        BOOST_TEST(outputs > 300u);
        BOOST_TEST(countOf(outcome.out, "  ok   ") >= outputs);
    }
}

BOOST_AUTO_TEST_CASE(another_geometry)
{
    writeOtherGeometry(folder.path());
    const Outcome outcome = tool({"golden", folder.path().string()});
    BOOST_TEST(outcome.status == 0, outcome.out << outcome.err);
    BOOST_TEST(outcome.out.find("11 checks passed, 0 failed") != std::string::npos, outcome.out);

    change(folder.path() / "scores_other/scores.safetensors", "m60.decoder.l1", 7, 0.05);
    const Outcome off = tool({"golden", (folder.path() / "scores_other").string()});
    BOOST_TEST(off.status == 1);
    BOOST_TEST(lineOf(off.out, "m60.decoder.l1").compare(0, 4, "FAIL") == 0);
    BOOST_TEST(lineOf(off.out, "m60.decoder.l1 (token dropped)").compare(0, 4, "FAIL") == 0);
    BOOST_TEST(lineOf(off.out, "m60.mask_all.l1").compare(0, 2, "ok") == 0);
}

BOOST_AUTO_TEST_CASE(one_value_off_is_found)
{
    copyCases(folder.path());
    struct Change
    {
        const char *file, *tensor;
        size_t index;
        double by;
    };
    const Change changes[] = {
        {"losses/losses.safetensors", "typical.list_mle.value", 0, 0.02},
        {"losses/losses.safetensors", "overflow.list_net.grad", 20, 1e-4},
        {"mae_tiny/sincos.safetensors", "sincos.decoder", 500, 1e-5},
        {"mae_tiny/mask_m90.safetensors", "m90.ids_restore", 3, 1},
        {"mae_tiny/out_m90.safetensors", "m90.loss", 0, 1e-3},
        {"pseudo_scores/scores_m90.safetensors", "m90.mask_all.psnr", 11, 1e-3},
        {"ranker_tiny/train_m90.safetensors", "m90.grad.head.bias", 100, 1e-3},
        {"selection/topk.safetensors", "topk_sorted.k49", 9, 1},
        {"train_step/ltrp_step3.safetensors", "ltrp.step3.head.bias", 0, 1e-4},
        {"train_step/mae_step3.safetensors", "mae.step3.mask_token", 5, 1e-4}};
    for (const Change& c : changes)
        change(folder.path() / c.file, c.tensor, c.index, c.by);
    const Outcome outcome = tool({"golden", folder.path().string()});
    BOOST_TEST(outcome.status == 1);
    for (const Change& c : changes)
        BOOST_TEST(lineOf(outcome.out, c.tensor).compare(0, 4, "FAIL") == 0,
                   c.tensor << ": " << lineOf(outcome.out, c.tensor));
    BOOST_TEST(countOf(outcome.out, "  FAIL ") == std::size(changes), outcome.out);
    BOOST_TEST(outcome.out.find(std::to_string(std::size(changes)) + " failed") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(wrong_hyper_parameters_are_found)
{
    copyCases(folder.path());
    const auto edit = [&](const std::string& name, const Json& patch)
    {
        Json json = readJson(folder.path() / name / "case.json");
        json.merge_patch(patch);
        writeJson(folder.path() / name / "case.json", json);
    };
    edit("train_step", {{"config", {{"ltrp", {{"weight_decay", 0.05}}}}}});
    expectFailure(folder.path() / "train_step", {"FAIL ltrp.step3.head.weight", "ok   mae.step3.mask_token"});
    edit("ranker_tiny", {{"config", {{"layer_norm_eps", 1e-3}}}});
    expectFailure(folder.path() / "ranker_tiny", {"FAIL scores_full ", "ok   scores_full_eps1e-6"});
    edit("losses", {{"config", {{"rank_net", {{"sigma", 2}}}}}});
    expectFailure(folder.path() / "losses", {"FAIL typical.rank_net.value", "ok   typical.focused_rank.value"});
    edit("mae_tiny", {{"config", {{"encoder", {{"heads", 4}}}}}});
    expectFailure(folder.path() / "mae_tiny", {"FAIL m90.latent", "ok   m90.mask "});
}

BOOST_AUTO_TEST_CASE(outputs_that_nothing_computes_fail)
{
    copyCases(folder.path());
    for (const char* kind : {"losses", "mae_tiny", "pseudo_scores", "ranker_tiny", "selection", "train_step",
                             "preprocess"})
    {
        const fs::path path = folder.path() / kind / "case.json";
        Json json = readJson(path);
        // Names of the right form but without a meaning, with or without a file.
        for (const char* name : {"m90.nonsense", "typical.nonsense.value", "ltrp.step1.nonsense", "dpc.k49.nonsense",
                                 "photo_0.nonsense", "nonsense"})
            json["tensors"].push_back({{"file", "none.safetensors"}, {"name", name}, {"shape", {1}},
                                       {"dtype", "float32"}, {"role", "output"},
                                       {"tolerance", {{"abs", 1}, {"rel", 1}}}});
        writeJson(path, json);
        const Outcome outcome = tool({"golden", path.parent_path().string()});
        BOOST_TEST(outcome.status == 1, kind);
        BOOST_TEST(countOf(outcome.out, "  FAIL ") == 6u, kind << outcome.out);
    }
}

BOOST_AUTO_TEST_CASE(malformed_cases)
{
    copyCases(folder.path());
    const fs::path path = folder.path() / "losses" / "case.json";
    const Json good = readJson(path);
    const auto broken = [&](const Json& patch, const std::vector<std::string>& parts)
    {
        Json json = good;
        json.merge_patch(patch);
        writeJson(path, json);
        expectFailure(folder.path() / "losses", parts);
    };
    testing_tools::writeText(path.string(), "{\"case\": \"losses\", ");
    expectFailure(folder.path() / "losses", {"case.json", "not valid JSON"});
    testing_tools::writeText(path.string(), "[]");
    expectFailure(folder.path() / "losses", {"case.json", "'case' is missing"});
    broken({{"case", nullptr}}, {"'case' is missing"});
    broken({{"case", "telepathy"}}, {"unknown kind", "telepathy"});
    broken({{"config", nullptr}}, {"'config' is missing"});
    broken({{"config", 5}}, {"'config' must be an object"});
    broken({{"config", {{"list_mleEx_k", nullptr}}}}, {"'list_mleEx_k' is missing"});
    broken({{"config", {{"list_mleEx_k", -3}}}}, {"list_mleEx_k", "-3"});
    broken({{"config", {{"list_mle_k", 7}}}}, {"typical.list_mle_k.columns", "[20]", "[7]"});
    broken({{"tensors", "many"}}, {"'tensors' must be a list"});
    broken({{"tensors", Json::array()}}, {"nothing in it to check"});

    Json json = good;
    json["tensors"][0]["shape"] = {4, 20};   // the file contains [4, 19]
    writeJson(path, json);
    expectFailure(folder.path() / "losses", {"typical.y_pred", "[4,20]", "[4,19]"});
    for (const Json& shape : {Json({-1}), Json({1.5}), Json("wide"), Json({1000000000, 1000000000}), Json()})
    {
        json = good;
        json["tensors"][0]["shape"] = shape;
        writeJson(path, json);
        expectFailure(folder.path() / "losses", {"shape"});
    }
    for (const char* key : {"file", "name", "shape", "dtype", "role"})
    {
        json = good;
        json["tensors"][0].erase(key);
        writeJson(path, json);
        expectFailure(folder.path() / "losses", {std::string("'") + key + "' is missing"});
    }
    json = good;
    for (Json& tensor : json["tensors"])
        if (tensor["role"] == "output")
            tensor["tolerance"].erase("rel");
    writeJson(path, json);
    expectFailure(folder.path() / "losses", {"tolerance", "'rel'"});

    writeJson(path, good);
    fs::resize_file(folder.path() / "losses/losses.safetensors", 5000);
    expectFailure(folder.path() / "losses", {"losses.safetensors"});
    fs::remove(folder.path() / "losses/losses.safetensors");
    expectFailure(folder.path() / "losses", {"losses.safetensors"});
    fs::remove_all(folder.path() / "mae_tiny");   // the others read images and weights from there
    expectFailure(folder.path() / "pseudo_scores", {"mae_fb.safetensors"});
    expectFailure(folder.path() / "ranker_tiny", {"input.safetensors"});
}

BOOST_AUTO_TEST_CASE(folders_without_a_case)
{
    expectError({"golden", folder.path().string()}, 1, {"case.json"});
    expectError({"golden", folder.file("absent")}, 1, {"absent", "not a folder"});
    expectError({"golden"}, 2, {"DIR"});
}

BOOST_AUTO_TEST_SUITE_END()
