// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../modules/ltrp/src/precomp.hpp"

#include "tool_fixture.hpp"

namespace
{

using testing_tools::readText;
using testing_tools::writeText;

std::string step(int number, double loss, double rate = 0.001)
{
    return nlohmann::json{{"event", "step"}, {"step", number}, {"epoch", number / 10.0}, {"loss", loss}, {"lr", rate},
                          {"images_per_s", 100}}
               .dump() +
           "\n";
}

const char START[] = "{\"event\":\"start\",\"step\":0,\"steps\":40,\"parameters\":5,\"device\":\"CPU\"}\n";

/// The positions of the curve called `name` in each chart of an SVG.
std::vector<std::vector<cv::Point2d>> curves(const std::string& svg, const std::string& name)
{
    std::vector<std::vector<cv::Point2d>> result;
    const std::regex path("<path d=\"M([^\"]*)\"[^>]*><title>" + name + "</title></path>");
    for (std::sregex_iterator it(svg.begin(), svg.end(), path), end; it != end; ++it)
    {
        std::string places = (*it)[1];
        std::replace(places.begin(), places.end(), 'L', ' ');
        std::istringstream numbers(places);
        result.emplace_back();
        for (double x, y; numbers >> x >> y;)
            result.back().push_back({x, y});
    }
    return result;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(tool_plot, ToolFixture)

BOOST_AUTO_TEST_CASE(curves_follow_the_log)
{
    std::filesystem::create_directories(folder.path() / "one");
    std::filesystem::create_directories(folder.path() / "two");
    writeText(folder.file("one/log.jsonl"), START + step(10, 4, 0) + step(20, 2, 0.002) + step(40, 3, 0.001));
    writeText(folder.file("two/log.jsonl"), START + step(10, 2) + step(20, 2));
    const std::string file = folder.file("runs.svg");
    BOOST_TEST(expectOk({"plot", folder.file("one"), folder.file("two/log.jsonl"), "--out", file}) == "");
    const std::string svg = readText(file);
    const auto one = curves(svg, "one"), two = curves(svg, "two");
    BOOST_REQUIRE_EQUAL(one.size(), 3u);   // loss, learning rate, speed
    BOOST_REQUIRE_EQUAL(two.size(), 3u);
    const std::vector<cv::Point2d>& loss = one[0];
    BOOST_REQUIRE_EQUAL(loss.size(), 3u);
    const auto close = boost::test_tools::tolerance(0.02);
    BOOST_TEST((loss[2].x - loss[1].x) / (loss[1].x - loss[0].x) == 2, close);   // epochs 1, 2, 4
    BOOST_TEST((loss[2].y - loss[0].y) / (loss[1].y - loss[0].y) == 0.5, close);   // 4, 2, 3: lower is less
    BOOST_TEST(loss[1].y > loss[0].y);
    BOOST_TEST(loss[1] == two[0][1]);   // one scale for all runs
    BOOST_TEST((one[1][2].y - one[1][0].y) / (one[1][1].y - one[1][0].y) == 0.5, close);
    BOOST_TEST(one[2][0].y == one[2][2].y);
    BOOST_TEST(svg.find("loss") != std::string::npos);
    BOOST_TEST(expectOk({"plot", folder.file("one"), folder.file("two"), "--out", "-"}) == svg);
}

BOOST_AUTO_TEST_CASE(a_running_or_resumed_training_is_drawn_as_it_is)
{
    // Updates 20 and 30 were repeated after a resume; the last line is incomplete.
    writeText(folder.file("a.jsonl"), START + step(10, 4) + step(20, 9) + step(30, 9) +
                                          "{\"event\":\"resume\",\"step\":10}\n" + step(20, 3) + step(30, 2) +
                                          "{\"event\":\"st");
    writeText(folder.file("b.jsonl"), START + step(10, 4) + step(20, 3) + step(30, 2));
    const auto svg = [&](const std::string& log) { return expectOk({"plot", folder.file(log), "--out", "-"}); };
    BOOST_TEST((curves(svg("a.jsonl"), "a").at(0) == curves(svg("b.jsonl"), "b").at(0)));
}

BOOST_AUTO_TEST_CASE(long_logs_are_averaged)
{
    std::string log = START;
    for (int i = 1; i <= 6000; ++i)
        log += step(i, i % 2 ? 1 : 3);
    writeText(folder.file("long.jsonl"), log);
    const auto drawn = curves(expectOk({"plot", folder.file("long.jsonl"), "--out", "-"}), "long");
    BOOST_REQUIRE_EQUAL(drawn.at(0).size(), 600u);
    for (const cv::Point2d& point : drawn[0])
        BOOST_TEST(point.y == drawn[0][0].y);   // each the mean of as many values 1 as 3
}

BOOST_AUTO_TEST_CASE(a_page_is_of_its_own_and_names_are_text)
{
    std::filesystem::create_directories(folder.path() / "<b>&\"x\"");
    writeText(folder.file("<b>&\"x\"/log.jsonl"), START + step(10, 4));
    const std::string file = folder.file("page.html");
    expectOk({"plot", folder.file("<b>&\"x\""), "--out", file});
    const std::string html = readText(file);
    BOOST_TEST(html.find("<b>&\"x\"") == std::string::npos);
    BOOST_TEST(html.find("&lt;b&gt;&amp;&quot;x&quot;") != std::string::npos);
    BOOST_TEST(html.find("http") == std::string::npos);
    BOOST_TEST(html.find("src=") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(what_is_no_log_is_refused)
{
    const std::string out = folder.file("o.svg"), log = folder.file("x.jsonl");
    const auto refused = [&](const std::string& text, const std::vector<std::string>& parts)
    {
        writeText(log, text);
        expectError({"plot", log, "--out", out}, 1, parts);
        BOOST_TEST(!std::filesystem::exists(out));
    };
    refused("", {log, "holds no update yet"});
    refused(START, {log, "holds no update yet"});
    refused(START + std::string("nonsense\n"), {log, "line 2", "no JSON object"});
    refused(std::string("[1]\n"), {log, "line 1"});
    refused(START + std::string("{\"event\":\"step\",\"step\":1,\"epoch\":\"x\"}\n"),
            {log, "line 2", "'epoch' is not a number"});
    refused(std::string(200000, '[') + "\n", {log, "line 1", "too deep"});
    expectError({"plot", folder.file("none"), "--out", out}, 1, {folder.file("none"), "no such file"});
    expectError({"plot", "/dev/zero", "--out", out}, 1, {"/dev/zero", "not a regular file"});

    writeText(log, START + step(10, 4));
    expectError({"plot", log}, 2, {"missing --out"});
    expectError({"plot", log, "--out", folder.file("o.png")}, 2, {"neither .svg nor .html"});
    expectError({"plot", log, log, "--out", out}, 2, {"named twice"});
    std::filesystem::rename(log, out);   // its own output
    expectError({"plot", out, "--out", out}, 1, {out, "input"});
    BOOST_TEST(readText(out) == START + step(10, 4));
}

BOOST_AUTO_TEST_SUITE_END()
