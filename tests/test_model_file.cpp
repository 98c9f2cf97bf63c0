// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"
#include "io/model_file.hpp"
#include "checkpoint_builder.hpp"
#include "model_fixture.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>

using namespace cv::ltrp;
using namespace model_fixture;
using testing_tools::TemporaryFolder;
using testing_tools::writeText;

namespace
{

std::string ownMetadata(const std::string& path)
{
    return io::TensorFile::open(path)->metadata().at("ltrp");
}

/// A checkpoint of MAE's pretraining script: {"model": the golden network, "args": Namespace(norm_pix_loss=...)}.
std::string pretrainingCheckpoint(const std::string& normPixLoss)
{
    using namespace checkpoints;
    pickle::Items weights;
    std::vector<std::string> storages;
    for (const TensorBag::Item& item : TensorBag(golden + "mae_tiny/mae_fb.safetensors").items)
    {
        weights.emplace_back(item.name, pickle::floats(std::to_string(storages.size()), item.shape));
        storages.emplace_back(item.bytes.begin(), item.bytes.end());
    }
    const std::string args = pickle::global("argparse", "Namespace") + ")\x81"
        + pickle::dict({{"mask_ratio", "K\x01"}, {"norm_pix_loss", normPixLoss}}) + "b";
    return checkpoint(pickle::program(pickle::dict({{"model", pickle::dict(weights)}, {"args", args}})), storages);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(model_file)

BOOST_AUTO_TEST_CASE(facebook_checkpoints_say_what_the_decoder_predicts)
{
    const TemporaryFolder folder;
    const std::string path = folder.file("checkpoint-799.pth");
    const auto load = [&](const std::string& normPixLoss, const io::LoadHints& hints)
    {
        writeText(path, pretrainingCheckpoint(normPixLoss));
        return io::loadModel(path, io::ModelKind::Mae, hints);
    };
    const std::string yes = "\x88", no = "\x89";
    BOOST_TEST(load(yes, tinyHeads()).mae.normPixLoss);
    BOOST_TEST(!load(no, tinyHeads()).mae.normPixLoss);
    BOOST_TEST(!load("K" + std::string(1, '\0'), tinyHeads()).mae.normPixLoss);
    BOOST_TEST(load("N", tinyHeads()).mae.normPixLoss);   // None: as without the entry
    io::LoadHints hints = tinyHeads();
    hints.normPixLoss = 1;   // an explicit option takes precedence
    BOOST_TEST(load(no, hints).mae.normPixLoss);
    BOOST_CHECK_EXCEPTION(load(checkpoints::pickle::text("maybe"), tinyHeads()), cv::Exception,
                          [&](const cv::Exception& e)
                          {
                              return e.code == cv::Error::StsParseError && e.err.find(path) != std::string::npos
                                  && e.err.find("args.norm_pix_loss") != std::string::npos
                                  && e.err.find("maybe") != std::string::npos;
                          });
}

BOOST_AUTO_TEST_CASE(facebook_formats_agree)
{
    const io::Model a = io::loadModel(golden + "mae_tiny/mae_fb.safetensors", io::ModelKind::Mae, tinyHeads());
    const io::Model b = io::loadModel(golden + "mae_tiny/mae_fb.pth", io::ModelKind::Mae, tinyHeads());
    BOOST_TEST(sameArena(a.params, b.params));
    BOOST_TEST(a.format == "facebook-mae");
    BOOST_TEST(b.format == "facebook-mae");
    BOOST_TEST(a.storage == "F32");
    BOOST_TEST(a.mae.input.imageSize == 224);
    BOOST_TEST(a.mae.input.patchSize == 16);
    BOOST_TEST(a.mae.encoder.dim == 48);
    BOOST_TEST(a.mae.encoder.depth == 3);
    BOOST_TEST(a.mae.encoder.heads == 3);
    BOOST_TEST(a.mae.encoder.hidden == 192);
    BOOST_TEST(a.mae.decoder.dim == 32);
    BOOST_TEST(a.mae.decoder.depth == 2);
    BOOST_TEST(a.mae.decoder.heads == 4);
    BOOST_TEST(a.mae.decoder.hidden == 128);
    BOOST_TEST(a.mae.layerNormEps == 1e-6f);

    // The arena contains the file's values, tensor by tensor.
    TensorBag bag(golden + "mae_tiny/mae_fb.safetensors");
    BOOST_TEST(bag.items.size() == a.params.layout.tensors().size());
    for (const vit::ParamInfo& info : a.params.layout.tensors())
        BOOST_TEST(std::memcmp(a.params.at(info.name), bag.at(info.name).bytes.data(), 4 * info.count) == 0, info.name);
}

BOOST_AUTO_TEST_CASE(hugging_face_fuses_query_key_value_and_reads_its_config)
{
    const TemporaryFolder folder;
    huggingFaceBag().save(folder.file("model.safetensors"));
    writeText(folder.file("config.json"), tinyConfig);
    const io::Model reference = io::loadModel(golden + "mae_tiny/mae_fb.safetensors", tinyHeads());
    for (const std::string& path : {folder.path().string(), folder.file("model.safetensors")})
    {
        const io::Model model = io::loadModel(path);
        BOOST_TEST(sameArena(model.params, reference.params));
        BOOST_TEST(model.format == "huggingface-mae");
        BOOST_TEST(model.mae.encoder.heads == 3);
        BOOST_TEST(model.mae.decoder.heads == 4);
        BOOST_TEST(model.mae.layerNormEps == 1e-7f);
        BOOST_TEST(model.mae.normPixLoss);
    }
    io::LoadHints hints;
    hints.layerNormEps = 1e-3f;
    hints.normPixLoss = 0;
    BOOST_TEST(io::loadModel(folder.path().string(), hints).mae.layerNormEps == 1e-3f);
    BOOST_TEST(!io::loadModel(folder.path().string(), hints).mae.normPixLoss);

    writeText(folder.file("preprocessor_config.json"),
              R"({"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.1]})");
    BOOST_TEST(io::loadModel(folder.path().string()).mae.input.mean[2] == 0.3);
    BOOST_TEST(io::loadModel(folder.path().string()).mae.input.std[2] == 0.1);
}

BOOST_AUTO_TEST_CASE(rankers_behind_prefixes)
{
    const TemporaryFolder folder;
    const std::string plain = golden + "ranker_tiny/ranker_timm.safetensors";
    const io::Model reference = io::loadModel(plain, io::ModelKind::Ranker, tinyHeads());
    BOOST_TEST(reference.format == "timm");
    BOOST_TEST(reference.ranker.layerNormEps == 1e-5f);
    for (const char* prefix : {"module.", "model.", "score_net.", "model/", "model/module."})
    {
        TensorBag bag(plain);
        bag.prefix(prefix);
        const io::Model model = io::loadModel(bag.save(folder.file("prefixed.safetensors")), tinyHeads());
        BOOST_TEST(sameArena(model.params, reference.params), prefix);
    }
    // Training state in a checkpoint is ignored, an unknown tensor of the network is not.
    TensorBag bag(plain);
    bag.prefix("model/");
    bag.add("optimizer/state/0/exp_avg", {4});
    bag.add("model_ema/cls_token", {1, 1, 48});
    bag.add("epoch", {1});
    bag.add("model/mask_token", {1, 1, 48});
    BOOST_TEST(sameArena(io::loadModel(bag.save(folder.file("a.safetensors")), tinyHeads()).params, reference.params));
    bag.add("surprise", {2});
    checkMentions(loadMessage(bag.save(folder.file("b.safetensors"))), {"b.safetensors", "unknown tensor 'surprise'"});
}

BOOST_AUTO_TEST_CASE(the_head_is_kept_and_must_fit)
{
    const TemporaryFolder folder;
    for (const vit::Head head : {vit::Head::Class, vit::Head::Token})
        for (const int side : {32, 8})   // with one patch both heads have the same shapes
        {
            io::Model model = smallModel(io::ModelKind::Ranker);
            model.ranker.head = head;
            model.ranker.input.imageSize = side;
            vit::initialiseParams(model.ranker, 5, model.params);
            const std::string path = folder.file("head.safetensors"), name = vit::headName(head);
            io::saveModel(path, model);
            const io::Model back = io::loadModel(path);
            BOOST_TEST(vit::headName(back.ranker.head) == name);
            BOOST_TEST(sameArena(back.params, model.params));
            BOOST_TEST(io::describeModel(back, false).find("head        " + name) != std::string::npos);

            TensorBag bag(path);
            bag.metadata.at("ltrp") = replaced(bag.metadata.at("ltrp"), "\"head\":\"" + name + "\",", "");
            const std::string old = bag.save(folder.file("old.safetensors"));
            if (head == vit::Head::Class || side == 8)
                BOOST_TEST(vit::headName(io::loadModel(old).ranker.head) == "class");
            else
                checkMentions(loadMessage(old), {"old.safetensors", "head.weight", "[1, 24]", "[16, 24]", "'class'"});
        }
    TensorBag bag(folder.file("head.safetensors"));
    const std::string text = bag.metadata.at("ltrp");
    for (const char* wrong : {"\"mean\"", "7", "null"})
    {
        bag.metadata.at("ltrp") = replaced(text, "\"head\":\"token\"", std::string("\"head\":") + wrong);
        checkMentions(loadMessage(bag.save(folder.file("wrong.safetensors"))), {"wrong.safetensors", "'head'", "token"});
    }
}

BOOST_AUTO_TEST_CASE(foreign_token_heads_need_a_word)
{
    const TemporaryFolder folder;
    TensorBag bag(golden + "ranker_tiny/ranker_timm.safetensors");
    io::LoadHints hints = tinyHeads();
    hints.head = "token";
    checkMentions(messageOf([&] { io::loadModel(bag.save(folder.file("class.safetensors")), hints); }),
                  {"class.safetensors", "head.weight", "has 1"});
    bag.reshape("head.weight", {1, 48});
    bag.reshape("head.bias", {1});
    const std::string path = bag.save(folder.file("token.safetensors"));
    checkMentions(loadMessage(path), {"token.safetensors", "head.weight", "1 outputs", "--head token"});
    BOOST_TEST(vit::headName(io::loadModel(path, hints).ranker.head) == "token");
    hints.head = "both";
    checkMentions(messageOf([&] { io::loadModel(path, hints); }), {"token.safetensors", "both"});
}

BOOST_AUTO_TEST_CASE(ranker_checkpoint_of_the_paper)
{
    // {"model": weights, "optimizer": ..., "epoch": 7}, as training scripts save it.
    const TensorBag bag(golden + "ranker_tiny/ranker_timm.safetensors");
    checkpoints::pickle::Items items;
    std::vector<std::string> storages;
    for (const TensorBag::Item& item : bag.items)
    {
        items.emplace_back(item.name, checkpoints::pickle::floats(std::to_string(storages.size()), item.shape));
        storages.emplace_back(item.bytes.begin(), item.bytes.end());
    }
    const std::string state = checkpoints::pickle::floats(std::to_string(storages.size()), {2});
    storages.emplace_back(8, '\0');
    using checkpoints::pickle::dict;
    const std::string pickle = checkpoints::pickle::program(dict({{"model", dict(items)},
                                                                  {"optimizer", dict({{"exp_avg", state}})},
                                                                  {"epoch", checkpoints::pickle::integer(7)}}));
    const TemporaryFolder folder;
    writeText(folder.file("ranker.pth"), checkpoints::checkpoint(pickle, storages));
    const io::Model model = io::loadModel(folder.file("ranker.pth"), io::ModelKind::Ranker, tinyHeads());
    BOOST_TEST(model.format == "ltrp-paper");
    BOOST_TEST(
        sameArena(model.params, io::loadModel(golden + "ranker_tiny/ranker_timm.safetensors", tinyHeads()).params));
}

BOOST_AUTO_TEST_CASE(a_file_with_both_networks_gives_the_one_asked_for)
{
    const TemporaryFolder folder;
    TensorBag ranker(golden + "ranker_tiny/ranker_timm.safetensors"), both(golden + "mae_tiny/mae_fb.safetensors");
    ranker.prefix("ranker.");
    both.prefix("mae.");
    both.items.insert(both.items.end(), ranker.items.begin(), ranker.items.end());
    const std::string path = both.save(folder.file("both.safetensors"));
    BOOST_TEST(sameArena(io::loadModel(path, io::ModelKind::Ranker, tinyHeads()).params,
                         io::loadModel(golden + "ranker_tiny/ranker_timm.safetensors", tinyHeads()).params));
    BOOST_TEST(sameArena(io::loadModel(path, io::ModelKind::Mae, tinyHeads()).params,
                         io::loadModel(golden + "mae_tiny/mae_fb.safetensors", tinyHeads()).params));
    checkMentions(loadMessage(path), {"several networks", "mae.", "ranker."});
}

BOOST_AUTO_TEST_CASE(published_widths_have_the_published_heads)
{
    const TemporaryFolder folder;
    const int widths[][2] = {{192, 3}, {384, 6}, {768, 12}, {1024, 16}, {1280, 16}};
    for (const auto& width : widths)
    {
        io::Model model = smallModel(io::ModelKind::Ranker);
        model.ranker.input.patchSize = 16;
        model.ranker.encoder = {width[0], 1, 1, 8};
        vit::initialiseParams(model.ranker, 1, model.params);
        io::saveModel(folder.file("w.safetensors"), model);
        TensorBag bag(folder.file("w.safetensors"));
        bag.metadata.clear();
        BOOST_TEST(io::loadModel(bag.save(folder.file("w.safetensors"))).ranker.encoder.heads == width[1]);
    }
    io::Model model = smallModel(io::ModelKind::Mae);
    model.mae.encoder = {64, 1, 1, 8};
    model.mae.decoder = {512, 1, 1, 8};
    vit::initialiseParams(model.mae, 1, model.params);
    io::saveModel(folder.file("d.safetensors"), model);
    TensorBag bag(folder.file("d.safetensors"));
    bag.metadata.clear();
    BOOST_TEST(io::loadModel(bag.save(folder.file("d.safetensors"))).mae.decoder.heads == 16);
}

BOOST_AUTO_TEST_CASE(own_format_returns_everything)
{
    const TemporaryFolder folder;
    for (const io::ModelKind kind : {io::ModelKind::Mae, io::ModelKind::Ranker})
    {
        const io::Model model = smallModel(kind);
        for (const io::DType storage : {io::DType::F32, io::DType::F16, io::DType::BF16})
        {
            const std::string path = folder.file("own.safetensors");
            io::saveModel(path, model, storage);
            const io::Model read = io::loadModel(path, kind);
            BOOST_TEST(read.format == "ltrp");
            BOOST_TEST(read.storage == io::dtypeName(storage));
            BOOST_TEST(read.path == path);
            BOOST_TEST(read.provenance == model.provenance);
            BOOST_TEST(io::modelMetadata(read) == io::modelMetadata(model));
            BOOST_TEST(ownMetadata(path) == io::modelMetadata(model));
            BOOST_TEST(read.input().imageSize == 32);
            BOOST_TEST(read.input().patchSize == 8);
            BOOST_TEST(read.input().mean[1] == 0.25);
            BOOST_TEST(read.input().std[2] == 0.75);
            if (kind == io::ModelKind::Mae)
            {
                BOOST_TEST(read.mae.layerNormEps == 3e-6f);
                BOOST_TEST(!read.mae.normPixLoss);
                BOOST_TEST(read.mae.encoder.heads == 3);
                BOOST_TEST(read.mae.decoder.heads == 2);
            }
            else
            {
                BOOST_TEST(read.ranker.layerNormEps == 2e-5f);
                BOOST_TEST(read.ranker.encoder.heads == 2);
            }
            if (storage == io::DType::F32)
                BOOST_TEST(sameArena(read.params, model.params));
            // 11 and 8 bits of mantissa: at most half a unit (and half of F16's smallest step of 2^-24).
            const double relative = storage == io::DType::F16 ? std::ldexp(1, -11) : std::ldexp(1, -8);
            for (const vit::ParamInfo& info : model.params.layout.tensors())
                for (size_t i = 0; i < info.count; i++)
                {
                    const double want = model.params.at(info.name)[i], got = read.params.at(info.name)[i];
                    BOOST_REQUIRE(std::abs(got - want) <= relative * std::abs(want) + std::ldexp(1, -25));
                }
            // Weights that were rounded once are stored exactly: a second round changes nothing.
            io::saveModel(folder.file("again.safetensors"), read, storage);
            BOOST_TEST(sameArena(io::loadModel(folder.file("again.safetensors")).params, read.params));
        }
    }
}

BOOST_AUTO_TEST_CASE(timm_config_gives_the_normalisation)
{
    const TemporaryFolder folder;
    TensorBag(golden + "ranker_tiny/ranker_timm.safetensors").save(folder.file("model.safetensors"));
    writeText(folder.file("config.json"),
              R"({"architecture": "vit", "pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.25]}})");
    const io::Model model = io::loadModel(folder.path().string(), tinyHeads());
    BOOST_TEST(model.ranker.input.mean[0] == 0.5);
    BOOST_TEST(model.ranker.input.std[2] == 0.25);
    writeText(folder.file("config.json"), R"({"pretrained_cfg": {"std": [0.5, 0, 0.25]}})");
    checkMentions(loadMessage(folder.path().string()), {"standard deviation"});
}

BOOST_AUTO_TEST_CASE(description_tells_what_a_person_needs)
{
    const std::string text = io::describeModel(smallModel(io::ModelKind::Mae), true);
    for (const char* part : {"masked autoencoder", "32 x 32", "4 x 4 patches of 8 x 8", "24 wide, 2 blocks, 3 heads",
                             "16 wide, 1 blocks, 2 heads", "training: none", "decoder_pred.weight [192, 16]"})
        BOOST_TEST(text.find(part) != std::string::npos, part);
    BOOST_TEST(io::describeModel(smallModel(io::ModelKind::Mae), false).find("decoder_pred") == std::string::npos);
    io::Model model = smallModel(io::ModelKind::Ranker);
    model.provenance["bell"] = "\a\x1b[31m";
    BOOST_TEST(io::describeModel(model, false).find('\x1b') == std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
