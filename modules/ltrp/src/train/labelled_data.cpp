// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "dataset.hpp"
#include "labelled_lists.hpp"
#include "../io/file_bytes.hpp"
#include "../io/model_file.hpp"

#include <algorithm>
#include <filesystem>
#include <set>

namespace cv { namespace ltrp { namespace train {

namespace fs = std::filesystem;

namespace {

const size_t mostCsvBytes = size_t(256) << 20;

/// The names of the folders directly in a folder, sorted; hidden ones are omitted.
std::vector<std::string> foldersIn(const std::string& folder)
{
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    {
        std::error_code ignored;
        const std::string name = it->path().filename().string();
        if (name[0] != '.' && it->is_directory(ignored))
            names.push_back(name);
    }
    LTRP_REQUIRE(!error, Error::StsError, folder << ": cannot be read: " << error.message());
    std::sort(names.begin(), names.end());
    return names;
}

Labelled fromFolder(const std::string& folder)
{
    Labelled data;
    image::addFolder(folder, std::string(), data.list);
    for (const image::PhotoEntry& entry : data.list.photos)
    {
        const size_t slash = entry.name.find('/');
        LTRP_REQUIRE(slash != std::string::npos, Error::StsBadArg, entry.path << ": an image without label: expected a folder for "
                     "each class in " << folder << ", and all images in these");
        data.labels.push_back({entry.name.substr(0, slash)});
        data.classes.insert(entry.name.substr(0, slash));
    }
    const bool segments = data.classes.count("images") && (data.classes.count("labels") || data.classes.count("foreground"));
    LTRP_REQUIRE(!segments, Error::StsBadArg, folder << ": has folders images and " << (data.classes.count("labels") ? "labels" : "foreground")
                 << ", as data of task segment have; of task classify are a folder for each class, of other names");
    for (const std::string& name : foldersIn(folder))
        LTRP_REQUIRE(data.classes.count(name), Error::StsBadArg, (fs::path(folder) / name).string() << ": the folder of class "
                     << io::printable(name) << " holds no image; remove it, or add images");
    return data;
}

/// The fields of a line; a quote within a quoted field is doubled. False: a quote is not closed or stands within a field.
bool splitLine(const std::string& line, std::vector<std::string>& fields)
{
    fields.assign(1, std::string());
    bool quoted = false, closed = false;
    for (size_t i = 0; i < line.size(); i++)
    {
        const char c = line[i];
        if (quoted && c == '"' && i + 1 < line.size() && line[i + 1] == '"')
            fields.back() += line[++i];
        else if (quoted && c == '"')
        {
            quoted = false;
            closed = true;
        }
        else if (!quoted && c == ',')
        {
            fields.emplace_back();
            closed = false;
        }
        else if (!quoted && c == '"' && fields.back().empty() && !closed)
            quoted = true;
        else if (!quoted && (c == '"' || closed))
            return false;
        else
            fields.back() += c;
    }
    return !quoted;
}

bool isHeader(const std::vector<std::string>& fields)
{
    const std::string label = toLowerCase(fields[1]), path = toLowerCase(fields[0]);
    return (path == "path" || path == "file" || path == "image") &&
           (label == "label" || label == "class" || label == "labels" || label == "classes");
}

/// One label, or with `several` all that stand between ';'.
std::set<std::string> labelsIn(const std::string& field, bool several, const std::string& where)
{
    std::set<std::string> labels;
    for (size_t begin = 0, end = 0; end != std::string::npos; begin = end + 1)
    {
        end = several ? field.find(';', begin) : std::string::npos;
        const std::string label = field.substr(begin, end == std::string::npos ? end : end - begin);
        LTRP_REQUIRE(!label.empty(), Error::StsBadArg, where << ": an empty label in " << io::printable(field));
        LTRP_REQUIRE(label.front() != ' ' && label.back() != ' ', Error::StsBadArg, where << ": label " << io::printable(label)
                     << " begins or ends with a blank; remove it");
        LTRP_REQUIRE(labels.insert(label).second, Error::StsBadArg, where << ": label " << io::printable(label) << " is given twice");
    }
    return labels;
}

Labelled fromCsv(const std::string& file, bool several)
{
    Labelled data;
    data.list.lists.push_back(file);
    const std::shared_ptr<const io::FileBytes> bytes = io::FileBytes::map(file);
    LTRP_REQUIRE(bytes->size() <= mostCsvBytes, Error::StsOutOfRange, file << ": " << bytes->size()
                 << " bytes, expected a CSV file of at most " << mostCsvBytes);
    const std::string text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
    LTRP_REQUIRE(text.find('\0') == std::string::npos, Error::StsParseError, file << ": is no text; expected lines \"path,label\"");
    std::istringstream lines(text.compare(0, 3, "\xef\xbb\xbf") == 0 ? text.substr(3) : text);
    std::set<std::string> known;
    int number = 0;
    for (std::string line; std::getline(lines, line);)
    {
        number++;
        if (!line.empty() && line.back() == '\r')
            line.pop_back();
        if (line.empty())
            continue;
        const std::string where = file + ", line " + std::to_string(number);
        std::vector<std::string> fields;
        LTRP_REQUIRE(splitLine(line, fields), Error::StsParseError, where << ": quotes do not pair up: " << io::printable(line));
        LTRP_REQUIRE(fields.size() == 2, Error::StsParseError, where << ": " << fields.size() << " field"
                     << (fields.size() == 1 ? "" : "s") << " in " << io::printable(line)
                     << ", expected two, path and label (a path with a comma in quotes)");
        if (number == 1 && isHeader(fields))
            continue;
        LTRP_REQUIRE(!fields[0].empty(), Error::StsParseError, where << ": the path is empty");
        LTRP_REQUIRE(!fields[1].empty(), Error::StsBadArg, where << ": image " << io::printable(fields[0]) << " has no label");
        data.labels.push_back(labelsIn(fields[1], several, where));
        const fs::path path = fs::path(file).parent_path() / fields[0];
        std::error_code error;
        LTRP_REQUIRE(fs::is_regular_file(path, error), Error::StsObjectNotFound, where << ": " << path.string()
                     << " is no file; paths are relative to the CSV file");
        LTRP_REQUIRE(known.insert(path.lexically_normal().string()).second, Error::StsBadArg, where << ": image "
                     << io::printable(fields[0]) << " is named twice");
        data.list.photos.push_back({fields[0], path.string()});
    }
    LTRP_REQUIRE(!data.labels.empty(), Error::StsBadArg, file << ": names no image; expected lines \"path,label\"");
    return data;
}

Labelled labelledOf(const LabelledData& data)
{
    std::error_code error;
    const bool folder = fs::is_directory(data.path, error), json = toLowerCase(fs::path(data.path).extension().string()) == ".json";
    LTRP_REQUIRE(data.images.empty() || (json && !folder), Error::StsBadArg, "images: " << data.images << ": goes with a JSON file, found "
                 << data.path);
    if (data.task == vit::Task::Classify)
    {
        LTRP_REQUIRE(!json || folder, Error::StsBadArg, data.path << ": a JSON file has the labels of task multilabel; of task classify are a "
                     "folder with a folder for each class, or a CSV file");
        return folder ? fromFolder(data.path) : fromCsv(data.path, false);
    }
    LTRP_REQUIRE(!folder, Error::StsBadArg, data.path << ": is a folder; the labels of task multilabel are a CSV file with lines "
                 "\"path,label;label\" or a JSON file as COCO's");
    return json ? labelledByJson(data.path, data.images) : fromCsv(data.path, true);
}

Dataset segmentedData(const LabelledData& data, const std::vector<std::string>& classes)
{
    LTRP_REQUIRE(data.images.empty(), Error::StsBadArg, "images: " << data.images << ": goes with a JSON file, found " << data.path);
    Segmented found = listSegmented(data.path, classes);
    Dataset dataset = datasetOf(found.list, found.sums);
    dataset.labelImages = std::move(found.labels);
    dataset.classes = std::move(found.classes);
    dataset.notes = std::move(found.notes);
    return dataset;
}

}  // namespace

Dataset listLabelled(const LabelledData& data, const std::vector<std::string>& classes)
{
    if (data.task == vit::Task::Segment)
        return segmentedData(data, classes);
    const Labelled labelled = labelledOf(data);
    std::vector<std::string> texts;
    std::set<std::string> used, names = labelled.classes;
    for (const std::set<std::string>& labels : labelled.labels)
    {
        texts.emplace_back();
        for (const std::string& label : labels)
            texts.back() += (texts.back().empty() ? "" : ";") + label;
        used.insert(labels.begin(), labels.end());
    }
    names.insert(used.begin(), used.end());
    Dataset dataset = datasetOf(labelled.list, texts);
    dataset.classes = classes;
    if (classes.empty())
    {
        for (const std::string& name : names)
            LTRP_REQUIRE(used.count(name), Error::StsBadArg, data.path << ": class " << io::printable(name)
                         << " has no image; remove it, or add images");
        dataset.classes.assign(names.begin(), names.end());
        io::checkClasses(dataset.classes, data.path);
    }
    std::map<std::string, int> numbers;
    for (size_t i = 0; i < dataset.classes.size(); i++)
        numbers[dataset.classes[i]] = static_cast<int>(i);
    for (size_t i = 0; i < labelled.labels.size(); i++)
    {
        std::vector<int> own;
        for (const std::string& label : labelled.labels[i])
        {
            const auto found = numbers.find(label);
            LTRP_REQUIRE(found != numbers.end(), Error::StsBadArg, labelled.list.photos[i].path << ": its label "
                         << io::printable(label) << " is none of the " << classes.size() << " classes of the network, "
                         << io::printable(classes.front()) << " ... " << io::printable(classes.back()));
            own.push_back(found->second);
        }
        std::sort(own.begin(), own.end());
        if (data.task == vit::Task::Classify)
            dataset.labels.push_back(own.front());
        else
            dataset.labelSets.push_back(std::move(own));
    }
    return dataset;
}

}}}  // namespace
