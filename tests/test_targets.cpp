// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Score maps computed once and stored for a training, and trainings that start from given weights.

#include "model_fixture.hpp"
#include "train_fixture.hpp"
#include "train/initial_weights.hpp"
#include "train/targets.hpp"

#include <boost/test/unit_test.hpp>

#include <cstring>
#include <functional>

using namespace cv;
using namespace cv::ltrp;
namespace fs = std::filesystem;

namespace {

struct TargetFixture : TrainFixture
{
    train::Dataset dataset() const { return train::listImages({root.file("images")}); }

    train::TargetDescription description(const char* teacher = "centre") const
    {
        train::TargetDescription result;
        result.teacher = {{"teacher", teacher}};
        result.input.imageSize = 24;
        result.input.patchSize = 8;
        result.data = train::datasetText(dataset());
        return result;
    }

    /// The left column of every map is the best, then the middle one.
    static Mat map()
    {
        return (Mat_<float>(3, 3) << 9, 5, 1, 8, 4, 0, 7, 3, -1);
    }

    std::string write(const std::string& name, int unreadable = -1) const
    {
        const train::TargetWriter writer(file(name), dataset(), description());
        std::vector<Mat> maps(dataset().paths.size(), map());
        if (unreadable >= 0)
            maps[static_cast<size_t>(unreadable)] = Mat();
        writer.write(0, maps);
        return file(name);
    }

    RankerTrainParams onTargets(const std::string& out, const std::string& targets) const
    {
        RankerTrainParams p = ranker(out, "");
        p.targets = targets;
        p.seesAll = true;
        p.loss = "list-mle";
        return p;
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(targets, TargetFixture)

BOOST_AUTO_TEST_CASE(maps_come_back_and_crops_of_them_are_interpolated)
{
    const train::TargetStore store(write("t", 3));
    store.requireData(dataset());
    BOOST_TEST(store.description().input.patchSize == 8);
    float whole[9], mirrored[9], quarter[9];
    store.crop(0, Rect2d(0, 0, 1, 1), false, whole);
    store.crop(0, Rect2d(0, 0, 1, 1), true, mirrored);
    const Mat expected = map();
    for (int i = 0; i < 9; ++i)
    {
        BOOST_TEST(whole[i] == expected.ptr<float>()[i], boost::test_tools::tolerance(1e-5f));
        BOOST_TEST(mirrored[i] == expected.ptr<float>()[i / 3 * 3 + 2 - i % 3], boost::test_tools::tolerance(1e-5f));
    }
    // The map is linear in x and y between the outermost centres, and so is its crop.
    store.crop(0, Rect2d(1 / 6., 1 / 6., 2 / 3., 2 / 3.), false, quarter);
    for (int i = 0; i < 9; ++i)
    {
        const double x = (i % 3 + 0.5) / 3 * 2, y = (i / 3 + 0.5) / 3 * 2;   // in patches from the first centre
        BOOST_TEST(quarter[i] == 9 - 4 * x - y, boost::test_tools::tolerance(1e-5));
    }
    checkMentions(messageOf([&] { store.crop(3, Rect2d(0, 0, 1, 1), false, whole); }), {"image number 3"});
}

BOOST_AUTO_TEST_CASE(damaged_missing_and_other_targets_are_refused)
{
    const std::string folder = write("t"), path = folder + "/targets-00000.safetensors";
    checkMentions(messageOf([&] { train::TargetWriter(folder, dataset(), description("features")); }),
                  {path, "teacher is", "centre", "features", "another folder"});
    const std::string bytes = testing_tools::readText(path);
    for (size_t at = bytes.size() - 40; at < bytes.size(); at += 7)
    {
        std::string damaged = bytes;
        damaged[at] = static_cast<char>(damaged[at] ^ 1);
        testing_tools::writeText(path, damaged);
        checkMentions(messageOf([&] { train::TargetStore store(folder); }), {path, "damaged"});
        checkMentions(messageOf([&] { train::TargetWriter(folder, dataset(), description()); }), {path, "damaged"});
    }
    testing_tools::writeText(path, bytes.substr(0, bytes.size() - 5));
    checkMentions(messageOf([&] { train::TargetStore store(folder); }), {path});
    testing_tools::writeText(path, bytes);
    imwrite(root.file("images/one-more.png"), picture(20));
    checkMentions(messageOf([&] { train::TargetStore(folder).requireData(dataset()); }), {folder, "12 images", "13 images"});
    checkMentions(messageOf([&] { train::TargetStore(file("nothing")); }), {"nothing", "ltrp score --targets"});
    // Metadata written by other programs.
    const auto refused = [&](const std::string& from, const std::string& to, const std::string& reason)
    {
        TensorBag bag(path);
        std::string& text = bag.metadata["ltrp.targets"];
        BOOST_REQUIRE(text.find(from) != std::string::npos);
        text.replace(text.find(from), from.empty() ? text.size() : from.size(), to);
        bag.save(path);
        checkMentions(messageOf([&] { train::TargetStore store(folder); }), {path, reason});
        testing_tools::writeText(path, bytes);
    };
    for (const std::string text : {"", "[", "[]", "{\"a\":"})
        refused("", text, "not a JSON object");
    refused("", "{\"a\":" + std::string(100000, '['), "at most 64 levels");
    refused("", "{}", "'format' is missing");
    refused("\"format\":1", "\"format\":2", "targets of format 2, expected 1");
    refused("\"format\":1", "\"format\":1.5", "'format' is 1.5");
    refused("\"images\":12", "\"images\":0", "'images' is 0, expected a whole number from 1");
    refused("\"images\":12", "\"images\":1e300", "'images' is 1e+300");
    refused("\"patch_size\":8", "\"patch_size\":0", "patch");
    refused("\"mean\":[", "\"mean\":[7,", "expected three numbers");
    refused("\"teacher\":{", "\"teacher\":[],\"x\":{", "'teacher' is not a JSON object");
    refused("\"centre\"", "7", "'teacher' is 7, expected a text");
    // Tensors of another type or shape, and no checksum.
    const auto broken = [&](const std::function<void(TensorBag&)>& change, const std::string& reason)
    {
        TensorBag bag(path);
        change(bag);
        bag.save(path);
        checkMentions(messageOf([&] { train::TargetStore store(folder); }), {path, reason});
        testing_tools::writeText(path, bytes);
    };
    broken([](TensorBag& bag) { bag.metadata.erase("ltrp.targets"); }, "the metadata entry 'ltrp.targets' is missing");
    broken([](TensorBag& bag) { bag.metadata.erase("ltrp.crc32"); }, "expected one in the metadata");
    broken([](TensorBag& bag) { bag.metadata["ltrp.crc32"] = "cafe\xc3\xa9"; }, "expected 'cafe\\xc3\\xa9'");
}

BOOST_AUTO_TEST_CASE(tensors_of_another_type_or_shape_are_refused)
{
    const std::string folder = write("t"), path = folder + "/targets-00000.safetensors";
    const std::shared_ptr<const io::TensorFile> sound = io::TensorFile::open(path);
    const auto metadata = sound->metadata();
    const std::vector<float> scores(12 * 9, 0.f);
    const std::vector<int64_t> right{12, 3, 3};
    for (const auto& form : std::vector<std::pair<std::vector<io::TensorOut>, std::string>>{
             {{{"scores", io::DType::I32, right, scores.data()}, {"readable", io::DType::U8, {12}, scores.data()}}, "'scores' has another type"},
             {{{"scores", io::DType::F32, {12, 9}, scores.data()}, {"readable", io::DType::U8, {12}, scores.data()}}, "'scores' has another type"},
             {{{"scores", io::DType::F32, right, scores.data()}, {"readable", io::DType::I8, {12}, scores.data()}}, "'readable' has another type"},
             {{{"scores", io::DType::F32, right, scores.data()}, {"readable", io::DType::U8, {11}, scores.data()}}, "'readable' has another type"},
             {{{"readable", io::DType::U8, {12}, scores.data()}}, "has no tensor 'scores'"}})
    {
        io::writeSafetensors(file("other.safetensors"), form.first, metadata);
        fs::copy_file(file("other.safetensors"), path, fs::copy_options::overwrite_existing);
        checkMentions(messageOf([&] { train::TargetStore store(folder); }), {path, form.second});
    }
}

BOOST_AUTO_TEST_CASE(targets_of_many_images_are_complete_and_of_one_kind)
{
    train::Dataset many;
    many.paths.assign(600, "photo.jpg");
    train::TargetDescription one = description(), other = description("features");
    one.data = other.data = train::datasetText(many);
    const std::vector<Mat> first(512, map()), second(88, map());
    const std::string folder = file("many"), path = folder + "/targets-00001.safetensors";
    const train::TargetWriter writer(folder, many, one);
    BOOST_TEST(writer.files() == 2);
    writer.write(0, first);
    BOOST_TEST(writer.has(0));
    BOOST_TEST(!writer.has(1));
    checkMentions(messageOf([&] { train::TargetStore store(folder); }), {path, "512 of 600 images", "run the same ltrp score --targets again"});
    train::TargetWriter(file("others"), many, other).write(1, second);
    fs::copy_file(file("others/targets-00001.safetensors"), path);
    checkMentions(messageOf([&] { train::TargetStore store(folder); }),
                  {path, "other targets than the files before it", "teacher is \"features\", expected \"centre\""});
    writer.write(1, second);
    train::TargetStore(folder).requireData(many);
    testing_tools::writeText(file("file"), "");
    checkMentions(messageOf([&] { train::TargetWriter(file("file"), many, one); }), {file("file"), "cannot make the folder"});
}

BOOST_AUTO_TEST_CASE(a_folder_that_an_older_version_began_is_refused_with_the_remedy)
{
    // Versions before --norm-pix-loss did not store it.
    const std::string folder = write("t"), path = folder + "/targets-00000.safetensors", bytes = testing_tools::readText(path);
    train::TargetDescription newer = description();
    newer.teacher.emplace(newer.teacher.begin(), "norm-pix-loss", "1");
    checkMentions(messageOf([&] { train::TargetWriter(folder, dataset(), newer); }),
                  {path, "of another version: norm-pix-loss is not stored, expected \"1\"; name another folder"});
    BOOST_TEST((testing_tools::readText(path) == bytes));
    const train::TargetWriter writer(file("newer"), dataset(), newer);
    writer.write(0, std::vector<Mat>(12, map()));
    checkMentions(messageOf([&] { train::TargetWriter(file("newer"), dataset(), description()); }),
                  {"of another version: norm-pix-loss is \"1\", expected not stored; name another folder"});
    train::TargetDescription larger = description();
    larger.input.imageSize = 32;
    checkMentions(messageOf([&] { train::TargetWriter(folder, dataset(), larger); }), {path, "image_size is 24, expected 32"});
    TensorBag bag(path);
    bag.metadata["ltrp.targets"] += " ";
    bag.save(path);
    checkMentions(messageOf([&] { train::TargetWriter(folder, dataset(), description()); }), {path, "their descriptions are written otherwise"});
}

BOOST_AUTO_TEST_CASE(a_ranker_learns_the_order_of_its_targets)
{
    RankerTrainParams p = onTargets("run", write("t"));
    p.epochs = 60;
    p.learningRate = 5e-3;
    p.flip = 0;
    BOOST_TEST(make(p)->run());
    const std::vector<nlohmann::json> lines = log("run");
    double first = 0, last = 0;
    for (const nlohmann::json& line : lines)
        if (line["event"] == "step")
        {
            last = line["loss"].get<double>();
            if (first == 0)
                first = last;
        }
    BOOST_TEST(last < 0.5 * first);   // the order of columns is the same in every image, whatever its content
    const io::Model model = io::loadModel(file("run/final.safetensors"), io::ModelKind::Ranker);
    BOOST_TEST(model.provenance.at("targets").find("centre") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_stopped_training_on_targets_ends_with_the_same_bytes)
{
    const std::string folder = write("t");
    RankerTrainParams p = onTargets("whole", folder);
    BOOST_TEST(make(p)->run());
    p.out = file("parts");
    Ptr<Trainer> trainer = make(p);
    trainer->setProgress([](const TrainProgress& state) { return state.step != 5; });
    BOOST_TEST(!trainer->run());
    p.resume = true;
    p.workers = 0;
    BOOST_TEST(make(p)->run());
    BOOST_TEST((bytes("whole/final.safetensors") == bytes("parts/final.safetensors")));
}

BOOST_AUTO_TEST_CASE(visible_patches_alone_can_be_compared_with_targets_too)
{
    RankerTrainParams p = onTargets("run", write("t"));
    p.seesAll = false;
    BOOST_TEST(make(p)->run());
    p.mae = "m.safetensors";
    checkMentions(messageOf([&] { Trainer::createRanker(p); }), {"mae, targets", "both"});
    p.mae = p.targets = "";
    checkMentions(messageOf([&] { Trainer::createRanker(p); }), {"mae, targets", "neither"});
}

BOOST_AUTO_TEST_CASE(trainings_start_from_given_weights)
{
    MaePretrainParams first = pretrain("first");
    first.depth = 2;
    BOOST_TEST(make(first)->run());
    const std::string start = file("first/final.safetensors");
    const io::Model mae = io::loadModel(start);

    // With so small a rate nothing moves far: the result is still the start.
    MaePretrainParams second = pretrain("second");
    second.depth = 2;
    second.init = start;
    second.learningRate = 1e-9;
    BOOST_TEST(make(second)->run());
    const io::Model same = io::loadModel(file("second/final.safetensors"));
    BOOST_TEST(norm(same.params.values, mae.params.values, NORM_INF) < 1e-6);

    RankerTrainParams p = onTargets("ranker", write("t"));
    p.init = start;
    p.learningRate = 1e-9;
    BOOST_TEST(make(p)->run());
    const io::Model trained = io::loadModel(file("ranker/final.safetensors"));
    for (const char* name : {"blocks.0.mlp.fc1.weight", "patch_embed.proj.weight", "cls_token"})
    {
        const size_t count = trained.params.layout.at(name).count;
        BOOST_TEST(count == mae.params.layout.at(name).count);
        for (size_t i = 0; i < count; ++i)
            BOOST_REQUIRE_SMALL(trained.params.at(name)[i] - mae.params.at(name)[i], 1e-6f);
    }
    p.out = file("deeper");
    p.depth = 3;
    checkMentions(messageOf([&] { Trainer::createRanker(p); }), {start, "2 blocks", "3"});
    p.depth = 1;
    p.heads = 4;
    checkMentions(messageOf([&] { Trainer::createRanker(p); }), {start, "heads", "2", "4"});
    second.init = file("ranker/final.safetensors");
    checkMentions(messageOf([&] { Trainer::createPretrain(second); }), {"ranker", "autoencoder"});
    second.init = file("absent.safetensors");
    checkMentions(messageOf([&] { Trainer::createPretrain(second); }), {"absent.safetensors"});
    // A resumed run needs the same initial weights.
    second.init = "";
    second.resume = true;
    checkMentions(messageOf([&] { make(second)->run(); }), {"init"});
}

BOOST_AUTO_TEST_SUITE_END()
