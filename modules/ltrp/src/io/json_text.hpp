// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IO_JSON_TEXT_HPP
#define OPENCV_LTRP_IO_JSON_TEXT_HPP

#include <string_view>

namespace cv { namespace ltrp { namespace io {

/// Whether lists and objects are nested too deep. Values are copied and destroyed recursively, and a hundred thousand
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

/// Parses the JSON text of a file; discarded (is_discarded()) if it is invalid or nested too deep.
template <class Json>
Json parseJsonText(std::string_view text)
{
    return nestedTooDeep(text) ? Json(Json::value_t::discarded) : Json::parse(text, nullptr, false);
}

}}}  // namespace

#endif
