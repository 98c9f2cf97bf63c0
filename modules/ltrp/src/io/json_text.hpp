// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IO_JSON_TEXT_HPP
#define OPENCV_LTRP_IO_JSON_TEXT_HPP

#include "../precomp.hpp"

#include <cstdint>
#include <string_view>

namespace cv { namespace ltrp { namespace io {

/// Whether lists and objects are nested too deeply. Values are copied and destroyed recursively; a hundred thousand
/// levels would overflow the stack.
inline bool nestedTooDeep(std::string_view json)
{
    int depth = 0;
    bool text = false;
    for (size_t i = 0; i < json.size(); ++i)
    {
        const char c = json[i];
        if (c == '"')
            text = !text;
        else if (text && c == '\\')
            ++i;
        else if (!text && (c == '[' || c == '{') && ++depth > 64)
            return true;
        else if (!text && (c == ']' || c == '}'))
            --depth;
    }
    return false;
}

/// Parses the JSON text of a file; discarded (is_discarded()) if it is invalid or nested too deeply.
template <class Json>
Json parseJsonText(std::string_view text)
{
    return nestedTooDeep(text) ? Json(Json::value_t::discarded) : Json::parse(text, nullptr, false);
}

// The following functions read a JSON object of a file. They throw cv::Exception (Error::StsParseError) with `where`,
// which names the file and the place in it, the key, what was found and what was expected.

template <class Json>
Json parseJsonObject(std::string_view text, const std::string& where)
{
    Json json = parseJsonText<Json>(text);
    LTRP_REQUIRE(json.is_object(), Error::StsParseError, where << ": not a JSON object"
                 << (nestedTooDeep(text) ? " of at most 64 levels" : ""));
    return json;
}

template <class Json>
std::string jsonExcerpt(const Json& value)
{
    return value.dump().substr(0, 40);
}

template <class Json>
const Json& jsonMember(const Json& object, const char* key, const std::string& where)
{
    const auto found = object.find(key);
    LTRP_REQUIRE(found != object.end(), Error::StsParseError, where << ": '" << key << "' is missing");
    return *found;
}

template <class Json>
int64_t jsonInteger(const Json& object, const char* key, const std::string& where, int64_t least = 0, int64_t most = INT32_MAX)
{
    const Json& value = jsonMember(object, key, where);
    const bool fits = value.is_number_integer() &&
                      (!value.is_number_unsigned() || value.template get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX));
    LTRP_REQUIRE(fits && value.template get<int64_t>() >= least && value.template get<int64_t>() <= most, Error::StsParseError,
                 where << ": '" << key << "' is " << jsonExcerpt(value) << ", expected a whole number from " << least << " to " << most);
    return value.template get<int64_t>();
}

template <class Json>
double jsonNumber(const Json& object, const char* key, const std::string& where)
{
    const Json& value = jsonMember(object, key, where);
    LTRP_REQUIRE(value.is_number(), Error::StsParseError, where << ": '" << key << "' is " << jsonExcerpt(value) << ", expected a number");
    return value.template get<double>();
}

template <class Json>
bool jsonBoolean(const Json& object, const char* key, const std::string& where)
{
    const Json& value = jsonMember(object, key, where);
    LTRP_REQUIRE(value.is_boolean(), Error::StsParseError,
                 where << ": '" << key << "' is " << jsonExcerpt(value) << ", expected true or false");
    return value.template get<bool>();
}

template <class Json>
std::string jsonString(const Json& object, const char* key, const std::string& where)
{
    const Json& value = jsonMember(object, key, where);
    LTRP_REQUIRE(value.is_string(), Error::StsParseError, where << ": '" << key << "' is " << jsonExcerpt(value) << ", expected a text");
    return value.template get<std::string>();
}

template <class Json>
const Json& jsonObject(const Json& object, const char* key, const std::string& where)
{
    const Json& value = jsonMember(object, key, where);
    LTRP_REQUIRE(value.is_object(), Error::StsParseError, where << ": '" << key << "' is not a JSON object");
    return value;
}

/// Three numbers, for the channels R, G, B.
template <class Json>
void jsonTriple(const Json& object, const char* key, const std::string& where, double* out)
{
    const Json& value = jsonMember(object, key, where);
    bool good = value.is_array() && value.size() == 3;
    for (size_t i = 0; good && i < 3; i++)
        good = value[i].is_number();
    LTRP_REQUIRE(good, Error::StsParseError, where << ": '" << key << "' is " << jsonExcerpt(value) << ", expected three numbers");
    for (size_t i = 0; i < 3; i++)
        out[i] = value[i].template get<double>();
}

}}}  // namespace

#endif
