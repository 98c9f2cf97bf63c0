// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Text from files in messages, JSON from files, and other small tools of the readers.

#include "io/checksum.hpp"
#include "io/file_bytes.hpp"
#include "io/json_text.hpp"
#include "io/protobuf_fields.hpp"
#include "model_fixture.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

using namespace cv::ltrp::io;
using Json = nlohmann::json;

BOOST_AUTO_TEST_SUITE(file_bytes)

BOOST_AUTO_TEST_CASE(utf8_characters_are_measured_and_others_are_none)
{
    for (const char* good : {"a", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf",
                             "\xf0\x90\x80\x80", "\xf3\xbf\xbf\xbf", "\xf4\x8f\xbf\xbf"})
        BOOST_TEST(utf8Length(good) == std::string(good).size(), harmless(good));
    // A lone continuation byte, overlong forms, surrogates, beyond U+10FFFF, truncated, missing continuation byte.
    for (const char* bad : {"", "\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
                            "\xf5\x80\x80\x80", "\xff", "\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xc3(", "\xe2\x82("})
        BOOST_TEST(utf8Length(bad) == 0u, printable(bad));
    BOOST_TEST(utf8Length("\xc3\xa9t\xc3\xa9") == 2u);
}

BOOST_AUTO_TEST_CASE(texts_of_files_cannot_change_a_terminal)
{
    BOOST_TEST(harmless("caf\xc3\xa9 \xf0\x9f\x98\x80 ~") == "caf\xc3\xa9 \xf0\x9f\x98\x80 ~");
    // ESC, DEL, C1, Arabic letter mark, zero width, right-to-left override, isolates, byte order mark, tags
    const std::vector<std::string> harmful = {"\x1b", "\x7f", "\xc2\x9b", "\xd8\x9c", "\xe2\x80\x8b", "\xe2\x80\xae", "\xe2\x81\xa7",
                                              "\xef\xbb\xbf", "\xf3\xa0\x81\x81"};
    for (const std::string& text : harmful)
    {
        const std::string shown = harmless("a" + text + "b");
        BOOST_TEST(shown.find(text) == std::string::npos, shown);
        BOOST_TEST(shown.size() == 2 + 4 * text.size());
        BOOST_TEST(shown.substr(0, 3) == "a\\x");
    }
    for (const char* near : {" ", "\xc2\xa0", "\xd8\x9b", "\xd8\x9d", "\xe2\x80\x8a", "\xe2\x80\x90", "\xe2\x80\xa7", "\xe2\x80\xaf", "\xe2\x81\x9f",
                             "\xe2\x81\xb0", "\xef\xbb\xbe", "\xf3\x9f\xbf\xbf", "\xf3\xa1\x80\x80"})
        BOOST_TEST(harmless(near) == near);
    BOOST_TEST(harmless("\xff" "a\xc3") == "\\xff" "a\\xc3");
    BOOST_TEST(printable("caf\xc3\xa9\n") == "'caf\\xc3\\xa9\\x0a'");
    BOOST_TEST(printable(std::string(101, 'a')) == "'" + std::string(100, 'a') + "...'");
}

BOOST_AUTO_TEST_CASE(values_of_a_shape_are_counted_or_refused)
{
    uint64_t count = 7;
    BOOST_TEST((countValues({}, 4, count) && count == 1));
    BOOST_TEST((countValues({2, 3}, 4, count) && count == 6));
    BOOST_TEST((countValues({0, INT64_MAX / 4}, 4, count) && count == 0));
    for (const std::vector<int64_t>& shape : std::vector<std::vector<int64_t>>{{-1}, {INT64_MAX}, {0, INT64_MAX}, {1LL << 40, 1LL << 40}})
        BOOST_TEST(!countValues(shape, 4, count), shapeText(shape));
    BOOST_TEST(messageOf([] { FileBytes::copy("none.bin", "", 0); }).find("none.bin: the file is empty") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(checksum_of_the_standard_check_text)
{
    Crc32 sum;
    sum.add(std::string("123456789"));
    BOOST_TEST(sum.text() == "cbf43926");
}

BOOST_AUTO_TEST_CASE(values_of_json_objects_are_of_their_type_and_range)
{
    const Json json = Json::parse(R"({"i": 3, "n": -1, "big": 18446744073709551615, "f": 1.5, "b": true, "s": "text", "o": {}, "t": [1, 2, 3],
                                      "two": [1, 2], "mixed": [1, "2", 3]})");
    BOOST_TEST(jsonInteger(json, "i", "f.json") == 3);
    BOOST_TEST(jsonInteger(json, "n", "f.json", -1) == -1);
    BOOST_TEST(jsonNumber(json, "f", "f.json") == 1.5);
    BOOST_TEST(jsonBoolean(json, "b", "f.json"));
    BOOST_TEST(jsonString(json, "s", "f.json") == "text");
    BOOST_TEST(jsonObject(json, "o", "f.json").empty());
    double three[3];
    jsonTriple(json, "t", "f.json", three);
    BOOST_TEST(three[2] == 3.);
    for (const char* key : {"n", "big", "f", "b", "s"})
        checkMentions(messageOf([&] { jsonInteger(json, key, "f.json"); }),
                      {"f.json", std::string("'") + key + "' is " + json[key].dump(), "expected a whole number from 0 to 2147483647"});
    checkMentions(messageOf([&] { jsonInteger(json, "big", "f.json", 0, INT64_MAX); }), {"'big' is 18446744073709551615"});
    checkMentions(messageOf([&] { jsonInteger(json, "i", "f.json", 0, 2); }), {"'i' is 3", "from 0 to 2"});
    checkMentions(messageOf([&] { jsonInteger(json, "x", "f.json"); }), {"f.json: 'x' is missing"});
    checkMentions(messageOf([&] { jsonNumber(json, "s", "f.json"); }), {"f.json: 's' is \"text\", expected a number"});
    checkMentions(messageOf([&] { jsonBoolean(json, "i", "f.json"); }), {"f.json: 'i' is 3, expected true or false"});
    checkMentions(messageOf([&] { jsonString(json, "i", "f.json"); }), {"f.json: 'i' is 3, expected a text"});
    checkMentions(messageOf([&] { jsonObject(json, "t", "f.json"); }), {"f.json: 't' is not a JSON object"});
    for (const char* key : {"i", "two", "mixed"})
        checkMentions(messageOf([&] { jsonTriple(json, key, "f.json", three); }), {"f.json", key, "expected three numbers"});
}

BOOST_AUTO_TEST_CASE(json_of_files_is_an_object_of_limited_depth)
{
    BOOST_TEST(parseJsonObject<Json>(R"({"a\"[[": [1]})", "f.json").size() == 1u);
    for (const char* text : {"", "[1]", "{\"a\":", "7"})
        checkMentions(messageOf([&] { parseJsonObject<Json>(text, "f.json"); }), {"f.json: not a JSON object"});
    for (const char open : {'[', '{'})
        checkMentions(messageOf([&] { parseJsonObject<Json>("{\"a\":" + std::string(100000, open), "f.json"); }),
                      {"f.json: not a JSON object of at most 64 levels"});
}

BOOST_AUTO_TEST_CASE(fields_of_protocol_buffers_are_checked)
{
    const auto refused = [](const std::string& bytes, void (*use)(ProtobufFields&))
    {
        const std::shared_ptr<const FileBytes> file = FileBytes::copy("f.onnx", bytes.data(), bytes.size());
        ProtobufFields fields(file->data(), file->size(), *file);
        checkMentions(messageOf([&] { fields.next(); use(fields); }), {"f.onnx", "is damaged near byte"});
    };
    const auto nothing = [](ProtobufFields&) {};
    refused("\x01\x01", nothing);                                                  // field 0
    refused(std::string("\x88\x80\x80\x80\x80\x01\x00", 7), nothing);              // more than 32 bits of a field
    refused("\x0b", nothing);                                                      // a group
    refused("\x0c", nothing);                                                      // its end
    refused("\x0e", nothing);                                                      // no such type
    refused("\x0a\x05" "abcd", nothing);                                           // cut short
    refused("\x09" "1234567", nothing);
    refused("\x0d" "123", nothing);
    refused("\x08", nothing);
    refused("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", nothing);              // more than 64 bits
    refused("\x08\x01", [](ProtobufFields& field) { field.text(); });
    refused("\x08\x01", [](ProtobufFields& field) { field.message(); });
    refused("\x0a\x01" "a", [](ProtobufFields& field) { field.integer(); });
    const std::string good("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x11" "12345678\x1d" "1234\x22\x02" "ab", 29);
    const std::shared_ptr<const FileBytes> file = FileBytes::copy("f.onnx", good.data(), good.size());
    ProtobufFields fields(file->data(), file->size(), *file);
    BOOST_TEST((fields.next() && fields.integer() == -1));
    BOOST_TEST((fields.next() && fields.size == 8u));
    BOOST_TEST((fields.next() && fields.size == 4u));
    BOOST_TEST((fields.next() && fields.text() == "ab"));
    BOOST_TEST(fields.atEnd());
    BOOST_TEST(!fields.next());
}

BOOST_AUTO_TEST_SUITE_END()
