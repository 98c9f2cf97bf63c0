// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../modules/ltrp/src/precomp.hpp"

#include "onnx_cases.hpp"
#include "tool_fixture.hpp"

#include "../modules/ltrp/src/image/jpeg_check.hpp"
#include "../modules/ltrp/src/image/photo_list.hpp"
#include "../modules/ltrp/src/io/model_file.hpp"

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include <sys/stat.h>

namespace
{

namespace fs = std::filesystem;
using testing_tools::Outcome;
using testing_tools::readText;
using testing_tools::writeText;

struct InputFixture : ToolFixture
{
    static std::string cases(const std::string& name) { return std::string(LTRP_SOURCE_DIR) + "/tests/data/cases/" + name; }

    std::vector<std::string> rank(const std::vector<std::string>& more) const
    {
        std::vector<std::string> args{"rank", "--model", models().ranker};
        args.insert(args.end(), more.begin(), more.end());
        return args;
    }

    /// The images in the JSON of a `rank` run.
    std::vector<std::string> ranked(const std::vector<std::string>& more, int status = 0) const
    {
        std::vector<std::string> args = rank(more);
        args.insert(args.end(), {"--json", "-"});
        const Outcome outcome = tool(args);
        BOOST_TEST(outcome.status == status, outcome.err);
        std::vector<std::string> names;
        for (const Json& entry : Json::parse(outcome.out))
            names.push_back(entry["image"].get<std::string>());
        return names;
    }

    Json scores(const std::string& image) const
    {
        return expectJson(rank({image, "--json", "-"}))[0];
    }

    std::string copyOfPhoto(const std::string& name) const
    {
        fs::create_directories(fs::path(folder.file(name)).parent_path());
        fs::copy_file(photos()[0], folder.file(name));
        return folder.file(name);
    }
};

const char* const tinyTraining[] = {"--size", "32", "--patch", "8", "--embed-dim", "24", "--depth", "1", "--heads", "2",
                                    "--decoder-embed-dim", "16", "--decoder-depth", "1", "--decoder-heads", "2", "--batch", "5",
                                    "--accumulate", "1", "--warmup-epochs", "0", "--threads", "1", "--epochs", "1"};

std::vector<std::string> pretrain(std::vector<std::string> args)
{
    args.insert(args.begin(), "pretrain");
    args.insert(args.end(), std::begin(tinyTraining), std::end(tinyTraining));
    return args;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(inputs, InputFixture)

BOOST_AUTO_TEST_CASE(an_output_never_takes_the_place_of_what_is_read)
{
    const std::string ranker = folder.file("r.safetensors"), photo = copyOfPhoto("photos/x.jpg");
    fs::copy_file(models().ranker, ranker);
    fs::create_symlink(ranker, folder.file("link.safetensors"));
    const std::string kept = readText(ranker);
    const std::vector<std::vector<std::string>> commands = {
        {"rank", photo, "--model", ranker, "--json", ranker},
        {"rank", photo, "--model", ranker, "--jsonl", ranker},
        {"rank", photo, "--model", ranker, "--json", folder.file("link.safetensors")},
        {"rank", photo, "--model", folder.file("link.safetensors"), "--json", ranker},
        {"rank", folder.file("photos"), "--model", ranker, "--json", photo},
        {"rank", photo, "--model", ranker, "--overlay", photo},
        {"convert", ranker, ranker},
        {"convert", ranker, folder.file("link.safetensors"), "--dtype", "f16"},
        {"score", photo, "--mae", models().mae, "--masks", "1", "--json", photo}};
    for (const auto& command : commands)
        expectError(command, 1, {"is an input and would be overwritten"});
    BOOST_TEST((readText(ranker) == kept));
    BOOST_TEST((readText(photo) == readText(photos()[0])));

    fs::copy(cases("weights/hf_new"), folder.file("hf"));
    expectError({"convert", folder.file("hf"), folder.file("hf/model.safetensors")}, 1, {"is an input"});
    writeText(folder.file("list"), photo + "\n");
    expectError({"rank", folder.file("list"), "--model", ranker, "--json", folder.file("list")}, 1, {"is an input"});

    // Trainings read lists and images, and write files of their own.
    fs::create_directories(folder.file("out"));
    fs::rename(folder.file("list"), folder.file("out/log.jsonl"));
    const Outcome outcome = tool(pretrain({folder.file("out/log.jsonl"), "--out", folder.file("out")}));
    BOOST_TEST(outcome.status == 1);
    BOOST_TEST(readText(folder.file("out/log.jsonl")) == photo + "\n");
}

BOOST_AUTO_TEST_CASE(floats_outside_the_range_are_refused)
{
    expectError(rank({cases("img/f32_255.tif")}), 1, {"f32_255.tif", "with values from ", " to 25", "expected 0 to 1", "divide"});
    BOOST_TEST(scores(cases("img/f32_unit.tif"))["scores"] == scores(cases("img/u8_same.png"))["scores"]);

    cv::Mat image = cv::imread(photos()[0]);
    image.convertTo(image, CV_32F, 1 / 255.0);
    cv::Mat normalised = (image - cv::Scalar(0.406, 0.456, 0.485)) / cv::Scalar(0.225, 0.224, 0.229);
    cv::imwrite(folder.file("normalised.tiff"), normalised);
    expectError(rank({folder.file("normalised.tiff")}), 1, {"undo the normalisation"});
    cv::imwrite(folder.file("bright.hdr"), image * 40);
    expectError(rank({folder.file("bright.hdr")}), 1, {"expected 0 to 1", "tone-map"});
    cv::imwrite(folder.file("ringing.tiff"), image * 1.1 - 0.05);
    expectOk(rank({folder.file("ringing.tiff")}));
}

BOOST_AUTO_TEST_CASE(hidden_colours_do_not_count)
{
    const Json zero = scores(cases("img/rgba_hid0.png")), photo = scores(cases("img/rgba_hidphoto.png"));
    BOOST_TEST(zero["scores"] == photo["scores"]);

    // The background is white at any depth.
    cv::Mat bgra = cv::imread(cases("img/rgba_hidphoto.png"), cv::IMREAD_UNCHANGED), white(bgra.size(), CV_8UC3, cv::Scalar::all(255));
    BOOST_REQUIRE(bgra.type() == CV_8UC4);
    for (int y = 0; y < bgra.rows; y++)
        for (int x = 0; x < bgra.cols; x++)
        {
            cv::Vec4b& from = bgra.at<cv::Vec4b>(y, x);
            from[3] = from[3] > 127 ? 255 : 0;
            if (from[3])
                white.at<cv::Vec3b>(y, x) = cv::Vec3b(from[0], from[1], from[2]);
        }
    cv::imwrite(folder.file("white.png"), white);
    cv::imwrite(folder.file("cut.png"), bgra);
    cv::Mat deep;
    bgra.convertTo(deep, CV_16U, 257);
    cv::imwrite(folder.file("deep.png"), deep);
    const Json expected = scores(folder.file("white.png"))["scores"];
    BOOST_TEST(scores(folder.file("cut.png"))["scores"] == expected);
    BOOST_TEST(scores(folder.file("deep.png"))["scores"] == expected);

    cv::Mat nothing(64, 64, CV_8UC4, cv::Scalar(10, 20, 30, 0));
    cv::imwrite(folder.file("nothing.png"), nothing);
    expectError(rank({folder.file("nothing.png")}), 1, {"every pixel of the image is transparent"});
}

BOOST_AUTO_TEST_CASE(damaged_jpegs_are_refused_by_all_commands)
{
    const std::vector<std::string> bad = {"base_half_eoi.jpg", "prog_trunc_half_eoi.jpg", "base_noeoi.jpg"};
    for (const std::string& name : bad)
    {
        expectError(rank({cases("img/" + name)}), 1, {name, "truncated JPEG"});
        fs::create_directories(folder.file("data"));
        fs::copy_file(cases("img/" + name), folder.file("data/" + name));
    }
    fs::copy_file(cases("img/base_q95.jpg"), folder.file("data/good.jpg"));
    fs::copy_file(cases("img/base_zeros.jpg"), folder.file("data/zeros.jpg"));
    const Outcome outcome = tool(pretrain({folder.file("data"), "--out", folder.file("out")}));
    BOOST_TEST(outcome.status == 0, outcome.err);
    for (const std::string& name : bad)
        BOOST_TEST(outcome.err.find("skipped " + folder.file("data/" + name) + ": truncated JPEG") != std::string::npos, outcome.err);
    BOOST_TEST(outcome.err.find("warning: " + folder.file("data/zeros.jpg") + ": corrupt JPEG") != std::string::npos, outcome.err);
    BOOST_TEST(outcome.err.find("skipped " + folder.file("data/good.jpg")) == std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_jpeg_is_followed_to_its_end)
{
    // Every kind that OpenCV writes is complete; truncated anywhere and closed with an end marker it is not.
    const cv::Mat photo = cv::imread(photos()[0]);
    cv::Mat small, gray;
    cv::resize(photo, small, cv::Size(131, 77));
    cv::cvtColor(small, gray, cv::COLOR_BGR2GRAY);
    const std::vector<std::vector<int>> kinds = {{}, {cv::IMWRITE_JPEG_PROGRESSIVE, 1}, {cv::IMWRITE_JPEG_RST_INTERVAL, 3},
                                                 {cv::IMWRITE_JPEG_OPTIMIZE, 1, cv::IMWRITE_JPEG_QUALITY, 30},
                                                 {cv::IMWRITE_JPEG_PROGRESSIVE, 1, cv::IMWRITE_JPEG_RST_INTERVAL, 2}};
    for (const std::vector<int>& kind : kinds)
        for (const cv::Mat& image : {small, gray})
        {
            std::vector<uchar> bytes;
            cv::imencode(".jpg", image, bytes, kind);
            const auto check = [](const std::vector<uchar>& jpeg) { return cv::ltrp::image::checkJpeg(jpeg); };
            BOOST_TEST(check(bytes).damage == "");
            BOOST_TEST(check(bytes).warning == "");
            for (size_t size = 2; size < bytes.size(); size += 1 + bytes.size() / 97)
                BOOST_TEST(check({bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)}).damage != "");
            // In the last third of the only, or last, scan.
            if (kind.empty() || kind[0] != cv::IMWRITE_JPEG_PROGRESSIVE)
                for (size_t cut : {bytes.size() / 2, bytes.size() - bytes.size() / 10})
                {
                    std::vector<uchar> closed(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(cut));
                    closed.insert(closed.end(), {0xff, 0xd9});
                    BOOST_TEST(check(closed).damage != "");
                }
        }
    for (const std::string& path : photos())
    {
        const std::string text = readText(path);
        BOOST_TEST(cv::ltrp::image::checkJpeg({text.begin(), text.end()}).damage == "");
    }
}

BOOST_AUTO_TEST_CASE(formats_that_are_missing_are_named)
{
    for (const char* name : {"img/still.gif", "img/anim.webp", "img/still.avif"})
    {
        const Outcome outcome = tool(rank({cases(name)}));
        if (outcome.status == 0)
            continue;   // this OpenCV reads it
        BOOST_TEST(outcome.err.find("needs OpenCV") != std::string::npos, outcome.err);
    }
    // They are not skipped silently in folders.
    fs::create_directories(folder.file("mixed"));
    fs::copy_file(cases("img/still.gif"), folder.file("mixed/a.gif"));
    copyOfPhoto("mixed/b.jpg");
    const Outcome outcome = tool(rank({folder.file("mixed")}));
    BOOST_TEST((outcome.status == 0 || outcome.err.find("a.gif") != std::string::npos), outcome.err);

    const cv::Mat turned = cv::imread(cases("img/exif6.webp"), cv::IMREAD_UNCHANGED);
    const Json entry = scores(cases("img/exif6.webp"));
    BOOST_TEST(entry["width"].get<int>() == turned.rows);
    BOOST_TEST(entry["height"].get<int>() == turned.cols);

    expectError(rank({photos()[0], "--overlay", folder.file("out.heic")}), 2, {"no image format of this name"});
    BOOST_TEST(!fs::exists(folder.file("out.heic")));
}

BOOST_AUTO_TEST_CASE(folders_lists_and_standard_input)
{
    for (const char* name : {"real/n01/a.jpg", "real/n02/b.jpg", "real/.hidden/c.jpg", "real/n01/._a.jpg", "elsewhere/d.jpg"})
        copyOfPhoto(name);
    fs::create_directory_symlink("../elsewhere", folder.file("real/link"));
    fs::create_directory_symlink("../elsewhere", folder.file("real/link2"));
    const auto at = [&](const std::string& name) { return folder.file(name); };
    std::vector<std::string> expected = {at("real/link/d.jpg"), at("real/n01/a.jpg"), at("real/n02/b.jpg")};
    BOOST_TEST(ranked({at("real")}) == expected, boost::test_tools::per_element());

    fs::create_directory_symlink("..", folder.file("real/n02/up"));
    const Outcome loop = tool(rank({at("real"), "--json", at("r.json")}));
    BOOST_TEST(loop.status == 1);
    BOOST_TEST(loop.err.find("real/n02/up: a link back to ") != std::string::npos, loop.err);
    BOOST_TEST(Json::parse(readText(at("r.json"))).size() == 3u);
    fs::remove(folder.file("real/n02/up"));

    const std::vector<std::string> both = {at("real/n01/a.jpg"), at("real/n02/b.jpg")};
    for (const char* name : {"bom", "crlf", "labels", "quoted", "dirs"})
    {
        fs::copy_file(cases(std::string("lists/") + name + ".txt"), at(std::string(name) + ".txt"));
        BOOST_TEST_CONTEXT(name)
            BOOST_TEST(ranked({at(std::string(name) + ".txt")}) == both, boost::test_tools::per_element());
    }
    std::string nonsense;
    for (int i = 0; i < 20000; i++)
        nonsense += "no/such/file" + std::to_string(i) + ".jpg 7\n";
    writeText(at("nonsense.txt"), nonsense);
    expectError(rank({at("nonsense.txt")}), 1, {"nonsense.txt", "none of the first 100 lines names a file"});
    const Outcome training = tool(pretrain({at("nonsense.txt"), "--out", at("o")}));
    BOOST_TEST(training.status == 1);
    BOOST_TEST(std::count(training.err.begin(), training.err.end(), '\n') == 1);

    // The overlays of one run are not photos for the next.
    for (int run = 0; run < 2; run++)
    {
        expectOk(rank({at("real"), "--overlay", at("real") + "/"}));
        BOOST_TEST(fs::exists(at("real/a_rank.jpg")));
    }
    BOOST_TEST(ranked({at("real")}) == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(json_lines_come_as_images_are_done)
{
    const std::string a = copyOfPhoto("in/a.jpg"), b = copyOfPhoto("in/b\xff.jpg"), c = copyOfPhoto("in/b\xfe.jpg");
    expectOk(rank({folder.file("in"), "--jsonl", folder.file("r.jsonl"), "--json", folder.file("r.json")}));
    std::istringstream lines(readText(folder.file("r.jsonl")));
    std::vector<Json> entries;
    for (std::string line; std::getline(lines, line);)
        entries.push_back(Json::parse(line));
    BOOST_TEST((Json(entries) == Json::parse(readText(folder.file("r.json")))));
    BOOST_REQUIRE_EQUAL(entries.size(), 3u);
    BOOST_TEST(entries[1]["image"] == folder.file("in/b\\xfe.jpg"));
    BOOST_TEST(entries[2]["image"] == folder.file("in/b\\xff.jpg"));
    BOOST_TEST(entries[0].contains("scores"));
}

BOOST_AUTO_TEST_CASE(lines_survive_a_kill)
{
    std::vector<std::string> args = rank({"--batch", "1", "--jsonl", folder.file("r.jsonl")});
    args.insert(args.begin(), LTRP_TOOL);
    args.insert(args.end(), 20000, photos()[0]);
    testing_tools::Process process(args);
    const auto lines = [&]()
    {
        const std::string text = fs::exists(folder.file("r.jsonl")) ? readText(folder.file("r.jsonl")) : std::string();
        return std::count(text.begin(), text.end(), '\n');
    };
    while (process.running() && lines() < 3)
        usleep(1000);
    process.signal(SIGKILL);
    BOOST_TEST(process.wait().status == 1000 + SIGKILL);
    const std::string written = readText(folder.file("r.jsonl"));
    std::istringstream text(written.substr(0, written.rfind('\n') + 1));   // the last line may be incomplete
    for (std::string line; std::getline(text, line);)
        BOOST_TEST(Json::parse(line)["image"] == photos()[0]);
}

BOOST_AUTO_TEST_CASE(standard_input_is_an_image_or_a_list)
{
    const auto piped = [&](const std::string& file)
    {
        return testing_tools::runProcess({"/bin/sh", "-c", "exec \"$0\" rank - --model \"$1\" --json - < \"$2\"", LTRP_TOOL,
                                          models().ranker, file});
    };
    const Outcome image = piped(photos()[0]);
    BOOST_TEST(image.status == 0, image.err);
    BOOST_TEST((Json::parse(image.out)[0]["scores"] == scores(photos()[0])["scores"]));
    writeText(folder.file("list"), photos()[0] + "\n" + photos()[1] + "\n");
    const Outcome list = piped(folder.file("list"));
    BOOST_TEST(list.status == 0, list.err);
    BOOST_TEST(Json::parse(list.out).size() == 2u);
    BOOST_TEST(piped("/dev/null").status == 1);
}

BOOST_AUTO_TEST_CASE(option_files_are_read_right_or_refused)
{
    const std::string data = folder.file("data");
    copyOfPhoto("data/a.jpg");
    const auto run = [&](const std::string& config, const std::string& out)
    { return tool({"pretrain", data, "--config", config, "--epochs", "1", "--batch", "1", "--out", out}); };
    for (const char* good : {"bom.cfg", "tiny.cfg", "note.cfg", "flag2.cfg"})
    {
        const Outcome outcome = run(cases(std::string("lists/") + good), folder.file(good));
        BOOST_TEST(outcome.status == 0, good << ": " << outcome.err);
    }
    BOOST_TEST(readText(folder.file("note.cfg/final.safetensors")).find("My set #1") != std::string::npos);
    BOOST_TEST(expectOk({"info", folder.file("flag2.cfg/final.safetensors")}).find("plain pixels") != std::string::npos);

    writeText(folder.file("hash.cfg"), readText(cases("lists/hash.cfg")).replace(readText(cases("lists/hash.cfg")).find("exp#3"), 5,
              folder.file("exp#3")));
    BOOST_TEST(tool({"pretrain", data, "--config", folder.file("hash.cfg"), "--epochs", "1", "--batch", "1"}).status == 0);
    BOOST_TEST(fs::exists(folder.file("exp#3/final.safetensors")));

    writeText(folder.file("either.cfg"), "note = mine # or not\n");
    expectError({"pretrain", data, "--config", folder.file("either.cfg"), "--out", folder.file("e")}, 2, {"line 1", "quotes"});
    expectError({"pretrain", data, "--config", folder.file("data"), "--out", folder.file("e")}, 2, {"--config", "folder"});
    expectError({"pretrain", data, "--config", folder.file("none"), "--out", folder.file("e")}, 2, {"--config", "cannot open"});
    BOOST_TEST(mkfifo(folder.file("pipe").c_str(), 0600) == 0);
    expectError({"pretrain", data, "--config", folder.file("pipe"), "--out", folder.file("e")}, 2, {"not a regular file"});
    expectError(rank({folder.file("pipe")}), 1, {"not a regular file"});

    // Errors on the command line have status 2 everywhere.
    for (const std::vector<std::string>& wrong : std::vector<std::vector<std::string>>{
             {"--min-lr", "1", "--lr", "0.1"}, {"--preset", "gigantic"}, {"--epochs", "0"}, {"--heads", "5"}, {"--mask-ratio", "1"},
             {"--accumulate", "0"}, {"--recipe", "cake"}, {"--max-pixels", "0"}})
    {
        std::vector<std::string> args{"pretrain", data, "--out", folder.file("e")};
        args.insert(args.end(), wrong.begin(), wrong.end());
        BOOST_TEST(tool(args).status == 2, wrong[0]);
    }
    BOOST_TEST(!fs::exists(folder.file("e")));
    expectOk({"info", models().mae});
}

BOOST_AUTO_TEST_CASE(weights_as_people_have_them)
{
    const std::string direct = expectOk({"info", cases("weights/hf_new")});
    BOOST_TEST(direct.find("huggingface-mae") != std::string::npos);
    for (const char* name : {"hf_new", "hf_sharded"})
        expectOk({"convert", cases(std::string("weights/") + name), folder.file(std::string(name) + ".safetensors")});
    expectOk({"convert", cases("weights/hf_sharded/model.safetensors.index.json"), folder.file("index.safetensors")});
    BOOST_TEST((readText(folder.file("hf_sharded.safetensors")) == readText(folder.file("index.safetensors"))));
    expectOk({"score", photos()[0], "--mae", folder.file("hf_new.safetensors"), "--masks", "1",
              "--mask-ratio", "0.5"});
    const Outcome bin = tool({"info", cases("weights/binfolder"), "--heads", "2", "--decoder-heads", "2"});
    BOOST_TEST(bin.status == 0, bin.err);
    expectError({"rank", photos()[0], "--model", cases("weights/cls16")}, 1, {"is a classifier", "config.json"});

    // Files next to the weights are not ignored silently, with defaults instead.
    fs::copy(cases("weights/hf_new"), folder.file("pipe"));
    fs::remove(folder.file("pipe/config.json"));
    BOOST_REQUIRE(mkfifo(folder.file("pipe/config.json").c_str(), 0600) == 0);
    expectError({"info", folder.file("pipe")}, 1, {"pipe/config.json", "is not a regular file"});
    fs::remove(folder.file("pipe/config.json"));
    fs::create_symlink("nowhere", folder.file("pipe/config.json"));
    expectError({"info", folder.file("pipe")}, 1, {"pipe/config.json", "cannot open"});

    fs::create_directories(folder.file("empty"));
    expectError({"info", folder.file("empty")}, 1, {"pytorch_model.bin", "name the weight file"});
    fs::copy(cases("weights/hf_sharded"), folder.file("broken"));
    fs::remove(folder.file("broken/model-00003-of-00012.safetensors"));
    expectError({"info", folder.file("broken")}, 1, {"model-00003-of-00012.safetensors"});
    writeText(folder.file("broken/model.safetensors.index.json"), "{\"weight_map\": {\"a\": \"../r.safetensors\"}}");
    expectError({"info", folder.file("broken")}, 1, {"expected one beside it"});
}

BOOST_AUTO_TEST_CASE(what_a_file_does_not_say_about_its_targets)
{
    // The golden autoencoder's .pth does not contain its training arguments.
    const std::string path = std::string(LTRP_SOURCE_DIR) + "/tests/data/golden/mae_tiny/mae_fb.pth";
    const std::vector<std::string> heads = {"--heads", "3", "--decoder-heads", "4"};
    const auto info = [&](const std::string& file, std::vector<std::string> more)
    {
        more.insert(more.begin(), {"info", file});
        more.insert(more.end(), heads.begin(), heads.end());
        return tool(more);
    };
    Outcome outcome = info(path, {});
    BOOST_TEST(outcome.err.find("does not say") != std::string::npos, outcome.err);
    BOOST_TEST(outcome.out.find("normalised per patch pixels") != std::string::npos, outcome.out);
    outcome = info(path, {"--norm-pix-loss", "no"});
    BOOST_TEST(outcome.err == "");
    BOOST_TEST(outcome.out.find("plain pixels") != std::string::npos);
    fs::copy_file(path, folder.file("mae_visualize_vit.pth"));
    outcome = info(folder.file("mae_visualize_vit.pth"), {});
    BOOST_TEST(outcome.out.find("plain pixels") != std::string::npos);
    BOOST_TEST(outcome.err.find("by its name") != std::string::npos);
    BOOST_TEST(tool({"info", path, "--norm-pix-loss", "maybe"}).status == 2);

    // Stored maps depend on the option too; maps with the other value are not continued.
    const auto targets = [&](const std::string& name, const std::string& value)
    {
        return std::vector<std::string>{"score",   photoFolder(), "--mae",   models().mae,      "--masks", "2", "--space", "pixel",
                                        "--targets", folder.file(name), "--norm-pix-loss", value};
    };
    expectOk(targets("yes", "yes"));
    expectOk(targets("no", "no"));
    const std::string stored = "/targets-00000.safetensors";
    BOOST_TEST((readText(folder.file("yes") + stored) != readText(folder.file("no") + stored)));
    expectError(targets("yes", "no"), 1, {folder.file("yes"), "norm-pix-loss"});

    // A training that reads such a file prints its assumption.
    namespace io = cv::ltrp::io;
    const io::Model model = untrainedMae(32, 8, {64, 1, 1, 256}, {512, 1, 16, 2048});
    std::vector<io::TensorOut> tensors;
    for (const cv::ltrp::vit::ParamInfo& one : model.params.layout.tensors())
        tensors.push_back({one.name, io::DType::F32, {one.shape.begin(), one.shape.end()}, model.params.data() + one.offset});
    io::writeSafetensors(folder.file("unknown.safetensors"), tensors, {});
    outcome = tool({"train", photoFolder(), "--mae", folder.file("unknown.safetensors"), "--out", folder.file("out"), "--mask-ratio",
                    "0.5", "--list-k", "4", "--embed-dim", "24", "--depth", "1", "--heads", "2", "--epochs", "1", "--batch", "6"});
    BOOST_TEST(outcome.status == 0, outcome.err);
    BOOST_TEST(outcome.err.find("unknown.safetensors: does not say") != std::string::npos, outcome.err);
}

BOOST_AUTO_TEST_SUITE_END()
