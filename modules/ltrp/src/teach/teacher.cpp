// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "teacher.hpp"

#include <algorithm>
#include <cmath>
#include <locale>

namespace cv { namespace ltrp { namespace teach {

namespace {

const char* const names[] = {"leave-one-out", "own-error", "features",     "gradient",
                             "barrier",       "spectral",  "fine-grained", "centre"};

std::string trimmed(const std::string& text)
{
    const size_t first = text.find_first_not_of(" \t"), last = text.find_last_not_of(" \t");
    return first == std::string::npos ? std::string() : text.substr(first, last - first + 1);
}

Cue parseCue(const std::string& name, const std::string& where)
{
    std::string all;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); ++i)
    {
        if (name == names[i])
            return static_cast<Cue>(i);
        all += (i ? ", " : "") + std::string(names[i]);
    }
    LTRP_ERROR(Error::StsBadArg, where << ": '" << name.substr(0, 64) << "' is not known, expected one of " << all);
}

double parseWeight(const std::string& text, const std::string& where)
{
    std::istringstream stream(text);
    stream.imbue(std::locale::classic());
    double weight = 0;
    const bool whole = (stream >> weight) && stream.peek() == std::istringstream::traits_type::eof();
    LTRP_REQUIRE(whole && std::isfinite(weight) && weight > 0 && weight <= 1000, Error::StsBadArg,
                 where << ": the weight '" << text.substr(0, 64) << "' is not a number above 0, at most 1000");
    return weight;
}

}  // namespace

const char* cueName(Cue cue) { return names[static_cast<int>(cue)]; }

Teacher Teacher::parse(const std::string& text)
{
    const std::string where = "teacher '" + text.substr(0, 200) + "'";
    Teacher teacher;
    for (size_t begin = 0; begin <= text.size();)
    {
        const size_t end = std::min(text.find('+', begin), text.size());
        const std::string term = text.substr(begin, end - begin);
        const size_t star = term.find('*');
        const Cue cue = parseCue(trimmed(term.substr(0, star)), where);
        LTRP_REQUIRE(!teacher.has(cue), Error::StsBadArg, where << ": " << cueName(cue) << " stands there twice");
        teacher.terms.push_back({cue, star == std::string::npos ? 1. : parseWeight(trimmed(term.substr(star + 1)), where)});
        begin = end + 1;
    }
    return teacher;
}

bool Teacher::has(Cue cue) const
{
    return std::any_of(terms.begin(), terms.end(), [cue](const Term& term) { return term.cue == cue; });
}

std::string Teacher::text() const
{
    std::ostringstream text;
    text.imbue(std::locale::classic());
    for (size_t i = 0; i < terms.size(); ++i)
        text << (i ? "+" : "") << cueName(terms[i].cue) << "*" << terms[i].weight;
    return text.str();
}

}}}  // namespace
