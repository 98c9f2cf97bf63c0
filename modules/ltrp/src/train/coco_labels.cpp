// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "labelled_lists.hpp"
#include "../io/file_bytes.hpp"
#include "../io/json_text.hpp"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <unordered_map>

namespace cv { namespace ltrp { namespace train {

namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

const size_t mostBytes = size_t(1) << 30;   // the annotations of COCO's 118,000 images have some 450 MB

/// The file without what is not read here: outlines and boxes take most of it.
Json readParts(const std::string& file)
{
    const std::shared_ptr<const io::FileBytes> bytes = io::FileBytes::map(file);
    LTRP_REQUIRE(bytes->size() <= mostBytes, Error::StsOutOfRange, file << ": " << bytes->size()
                 << " bytes, expected a JSON file of at most " << mostBytes);
    const std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
    static const std::set<std::string> outer = {"images", "annotations", "categories"};
    static const std::set<std::string> inner = {"id", "file_name", "image_id", "category_id", "name"};
    const auto wanted = [](int depth, Json::parse_event_t event, Json& parsed)
    {
        if (event != Json::parse_event_t::key)
            return true;
        const std::set<std::string>& known = depth <= 1 ? outer : inner;
        return known.count(parsed.get_ref<const std::string&>()) > 0;
    };
    const Json json = io::nestedTooDeep(text) ? Json(Json::value_t::discarded) : Json::parse(text, wanted, false);
    LTRP_REQUIRE(json.is_object(), Error::StsParseError, file << ": not a JSON object of at most 64 levels");
    return json;
}

const Json& listOf(const Json& json, const char* key, const std::string& file)
{
    const Json& list = io::jsonMember(json, key, file);
    LTRP_REQUIRE(list.is_array(), Error::StsParseError, file << ": '" << key << "' is " << io::jsonExcerpt(list) << ", expected a list");
    return list;
}

/// "FILE: images 3"
std::string placeIn(const std::string& file, const char* list, size_t number)
{
    return file + ": " + list + " " + std::to_string(number);
}

const Json& objectAt(const Json& list, size_t i, const std::string& where)
{
    LTRP_REQUIRE(list[i].is_object(), Error::StsParseError, where << ": is " << io::jsonExcerpt(list[i]) << ", expected an object");
    return list[i];
}

}  // namespace

Labelled labelledByJson(const std::string& file, const std::string& folder)
{
    const Json json = readParts(file);
    Labelled data;
    data.list.lists.push_back(file);
    std::unordered_map<int64_t, std::string> names;
    const Json &categories = listOf(json, "categories", file), &images = listOf(json, "images", file);
    const Json& annotations = listOf(json, "annotations", file);
    for (size_t i = 0; i < categories.size(); i++)
    {
        const std::string where = placeIn(file, "categories", i);
        const Json& category = objectAt(categories, i, where);
        const std::string name = io::jsonString(category, "name", where);
        LTRP_REQUIRE(names.emplace(io::jsonInteger(category, "id", where, INT64_MIN, INT64_MAX), name).second, Error::StsBadArg,
                     where << ": a second category of its 'id'");
        LTRP_REQUIRE(data.classes.insert(name).second, Error::StsBadArg, where << ": a second category of the name "
                     << io::printable(name));
    }
    const fs::path root = folder.empty() ? fs::path(file).parent_path() : fs::path(folder);
    std::unordered_map<int64_t, size_t> places;
    std::set<std::string> known;
    for (size_t i = 0; i < images.size(); i++)
    {
        const std::string where = placeIn(file, "images", i);
        const Json& image = objectAt(images, i, where);
        const std::string name = io::jsonString(image, "file_name", where);
        const fs::path path = root / name;
        std::error_code error;
        LTRP_REQUIRE(!name.empty() && fs::is_regular_file(path, error), Error::StsObjectNotFound, where << ": " << path.string()
                     << " is no file; paths are relative to " << (folder.empty() ? "the JSON file" : folder) << " (--images)");
        LTRP_REQUIRE(known.insert(path.lexically_normal().string()).second, Error::StsBadArg, where << ": image " << io::printable(name)
                     << " is named twice");
        LTRP_REQUIRE(places.emplace(io::jsonInteger(image, "id", where, INT64_MIN, INT64_MAX), i).second, Error::StsBadArg,
                     where << ": a second image of its 'id'");
        data.list.photos.push_back({name, path.string()});
    }
    LTRP_REQUIRE(!data.list.photos.empty(), Error::StsBadArg, file << ": names no image");
    data.labels.resize(data.list.photos.size());   // one without annotations is of no class
    for (size_t i = 0; i < annotations.size(); i++)
    {
        const std::string where = placeIn(file, "annotations", i);
        const Json& annotation = objectAt(annotations, i, where);
        const int64_t image = io::jsonInteger(annotation, "image_id", where, INT64_MIN, INT64_MAX);
        const int64_t category = io::jsonInteger(annotation, "category_id", where, INT64_MIN, INT64_MAX);
        const auto place = places.find(image);
        const auto name = names.find(category);
        LTRP_REQUIRE(place != places.end(), Error::StsBadArg, where << ": 'image_id' is " << image << ", which no image has");
        LTRP_REQUIRE(name != names.end(), Error::StsBadArg, where << ": 'category_id' is " << category << ", which no category has");
        data.labels[place->second].insert(name->second);
    }
    return data;
}

}}}  // namespace
