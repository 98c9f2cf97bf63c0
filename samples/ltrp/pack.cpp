// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "commands.hpp"
#include "common.hpp"
#include "photos.hpp"

#include "../../modules/ltrp/src/core/random.hpp"
#include "../../modules/ltrp/src/image/photo_header.hpp"
#include "../../modules/ltrp/src/image/photo_list.hpp"
#include "../../modules/ltrp/src/io/atomic_file.hpp"
#include "../../modules/ltrp/src/io/folder_lock.hpp"

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <numeric>
#include <unordered_map>

#ifdef HAVE_LTRP_ARCHIVE
#include <archive.h>
#include <archive_entry.h>
#endif

namespace tool
{

using namespace cv::ltrp;
namespace fs = std::filesystem;

namespace
{

const HelpText HELP = {
    "ltrp pack PHOTOS... --out DIR [options]",
    "Puts photos into shards: tar archives in the convention of WebDataset, which 'ltrp pretrain', 'ltrp train' and\n"
    "'ltrp score --targets' take as DATA. A few large files are read faster than many small ones, above all from hard disks\n"
    "and over a network. PHOTOS: folders (searched with all below), images, list files or other shards. The same photos in\n"
    "the same order give the same bytes. DIR must be empty or not exist; Ctrl-C leaves whole shards only.\n",
    "Photos keep their names relative to their folder. Dots before the extension become _, and if a name\n"
    "without its extension is repeated, it gets a number (~2, ...). An image that cannot be read is named and\n"
    "skipped; the exit status is then 1.\n"
    "\n"
    "Examples:\n"
    "  ltrp pack photos/ --out shards\n"
    "  ltrp pack photos/ --out shards --side 256 --shuffle 1\n"
    "  ltrp pretrain shards --out runs/mae --preset small\n"
    "\n"
    "A training on shards of more than 8192 photos shuffles the shards, and photos within 8192: give --shuffle where photos\n"
    "in the same folder are alike.\n"};

#ifdef HAVE_LTRP_ARCHIVE

/// Makes "a/b.c.jpg" the name of a member: relative, without "..", with one dot after the last /.
std::string memberName(const std::string& name, bool recoded)
{
    fs::path relative;
    for (const fs::path& part : fs::path(name).lexically_normal().relative_path())
        if (part != "..")
            relative /= part;
    std::string stem = relative.stem().string();
    std::replace(stem.begin(), stem.end(), '.', '_');
    const std::string extension = recoded ? std::string(".jpg") : relative.extension().string();
    return (relative.parent_path() / (stem.empty() ? "photo" : stem)).string() + extension;
}

/// Adds an extension by which readers recognise a photo, if the name has none. @throws image::PhotoError for formats
/// without one
std::string withExtension(const std::string& name, const std::vector<uchar>& bytes)
{
    if (image::hasImageExtension(name))
        return name;
    std::string format = image::photoFormatName(image::readPhotoHeader(bytes).format);
    std::transform(format.begin(), format.end(), format.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    // "0001.orig" and "0001" must not get the same key.
    std::string key = name;
    std::replace(key.begin() + static_cast<std::ptrdiff_t>(name.rfind('/') + 1), key.end(), '.', '_');
    const std::string whole = key + "." + format;
    if (!image::hasImageExtension(whole))
        throw image::PhotoError("its name has no extension of an image; rename it");
    return whole;
}

/// WebDataset treats members with the same key (the name without extension) as one sample. keys: those in use, with the
/// last number of each
std::string uniqueKey(const std::string& name, std::unordered_map<std::string, int>& keys)
{
    const std::string stem = name.substr(0, name.rfind('.')), extension = name.substr(name.rfind('.'));
    std::string key = stem;
    int& newest = keys[stem];
    while (keys[key] > 0)
        key = stem + "~" + std::to_string(++newest);
    ++keys[key];
    return key + extension;
}

/// Reduces a photo to a shorter side of `side` pixels and encodes it as JPEG; a JPEG that is no larger is not changed.
std::vector<uchar> reduced(const std::vector<uchar>& bytes, int side)
{
    const image::PhotoHeader header = image::readPhotoHeader(bytes);
    if (header.format == image::PhotoFormat::Jpeg && std::min(header.width, header.height) <= side)
        return bytes;
    image::PhotoOptions options;
    options.reduction = [side](cv::Size size)
    {
        int factor = 8;
        while (factor > 1 && std::min(size.width, size.height) / factor < 2 * side)
            factor /= 2;
        return factor;
    };
    std::string warning;
    cv::Mat photo = toEightBit(image::decodePhoto(bytes, options, warning));
    const double scale = static_cast<double>(side) / std::min(photo.cols, photo.rows);
    if (scale < 1)
    {
        const cv::Size size(std::max(side, cvRound(photo.cols * scale)), std::max(side, cvRound(photo.rows * scale)));
        cv::resize(photo, photo, size, 0, 0, cv::INTER_AREA);
    }
    std::vector<uchar> jpeg;
    if (!cv::imencode(".jpg", photo, jpeg, {cv::IMWRITE_JPEG_QUALITY, 95}))
        throw image::PhotoError("cannot be encoded as JPEG");
    return jpeg;
}

/// Writes shards of limited size; a larger photo gets its own shard.
class ShardWriter
{
public:
    ShardWriter(const std::string& folder, size_t limit) : folder_(folder), limit_(limit) {}

    void add(const std::string& name, const std::vector<uchar>& bytes)
    {
        const size_t block = 512;   // of a tar archive; a long name has its own header and blocks
        const size_t size = block + (bytes.size() + block - 1) / block * block + (name.size() < 100 ? 0 : 2 * block + name.size());
        if (open_ && written_ + size + 2 * block > limit_)   // an archive ends with two blocks
            close();
        if (!open_)
            open();
        written_ += size;
        archive_entry_clear(open_->entry);
        archive_entry_copy_pathname(open_->entry, name.c_str());
        archive_entry_set_filetype(open_->entry, AE_IFREG);
        archive_entry_set_perm(open_->entry, 0644);
        archive_entry_set_mtime(open_->entry, 0, 0);
        archive_entry_set_size(open_->entry, static_cast<la_int64_t>(bytes.size()));
        const int result = archive_write_header(open_->writer, open_->entry);   // warnings are about non-ASCII names
        require(result == ARCHIVE_WARN ? int(ARCHIVE_OK) : result);
        require(archive_write_data(open_->writer, bytes.data(), bytes.size()) == static_cast<la_ssize_t>(bytes.size())
                ? ARCHIVE_OK : ARCHIVE_FATAL);
    }

    void close()
    {
        if (!open_)
            return;
        require(archive_write_close(open_->writer));
        open_->file.commit();
        open_.reset();
        ++shards_;
    }

    size_t shards() const { return shards_; }

private:
    struct Open
    {
        explicit Open(const std::string& path) : file(path), writer(archive_write_new()), entry(archive_entry_new())
        {
            if (!writer || !entry)
                throw std::bad_alloc();
        }
        ~Open()
        {
            archive_entry_free(entry);
            archive_write_free(writer);
        }
        Open(const Open&) = delete;
        Open& operator=(const Open&) = delete;

        io::AtomicFile file;
        archive* writer;
        archive_entry* entry;
        std::exception_ptr failure;   ///< of the file: exceptions must not pass through libarchive
    };

    void open()
    {
        if (!lock_)   // of two processes that write into one new folder, the second gets an error
            lock_.reset(new io::FolderLock(folder_, "packs into this folder; name another with --out"));
        char name[32];
        std::snprintf(name, sizeof(name), "shard-%06zu.tar", shards_);
        const std::string path = (fs::path(folder_) / name).string();
        std::error_code error;
        if (fs::exists(path, error))
            throw std::runtime_error(path + ": is there already, of another process; name another folder with --out");
        open_.reset(new Open(path));
        written_ = 0;
        require(archive_write_set_format_gnutar(open_->writer));   // names are stored unchanged, whatever the locale
        require(archive_write_set_bytes_per_block(open_->writer, 1 << 16));
        require(archive_write_set_bytes_in_last_block(open_->writer, 512));
        require(archive_write_open(open_->writer, open_.get(), nullptr, &ShardWriter::write, nullptr));
    }

    static la_ssize_t write(archive* writer, void* open, const void* data, size_t bytes)
    {
        try
        {
            static_cast<Open*>(open)->file.write(data, bytes);
            return static_cast<la_ssize_t>(bytes);
        }
        catch (...)
        {
            static_cast<Open*>(open)->failure = std::current_exception();
            archive_set_error(writer, EIO, "cannot be written");
            return -1;
        }
    }

    void require(int result) const
    {
        if (result == ARCHIVE_OK)
            return;
        if (open_->failure)
            std::rethrow_exception(open_->failure);
        const char* const said = archive_error_string(open_->writer);
        throw std::runtime_error(folder_ + ": a shard cannot be written: " + (said ? said : "unknown error"));
    }

    const std::string folder_;
    const size_t limit_;
    std::unique_ptr<io::FolderLock> lock_;
    std::unique_ptr<Open> open_;
    size_t written_ = 0, shards_ = 0;
};

#endif

}  // namespace

int runPack(const std::vector<std::string>& args)
{
    po::options_description options("Options");
    std::string out;
    int mebibytes = 0, side = 0;
    // clang-format off
    options.add_options()
        ("out", po::value(&out)->value_name("DIR"), "folder of the shards: shard-000000.tar, shard-000001.tar, ...")
        ("shard-mib", po::value(&mebibytes)->value_name("M")->default_value(256), "largest size of a shard in MiB")
        ("side", po::value(&side)->value_name("S"), "reduce photos to a shorter side of S pixels and store them as JPEG;\n"
            "without it the bytes of the files are stored")
        ("shuffle", po::value<long long>()->value_name("SEED"), "store the photos in a random order");
    // clang-format on
    addMaxPixels(options);
    po::variables_map values;
    if (!parseArguments(args, HELP, options, "photos", -1, values))
        return 0;
    const std::vector<std::string> arguments = positionals(values, "photos", 1, "PHOTOS: an image or a folder");
    if (out.empty())
        throw UsageError("--out: name a folder for the shards");
    if (mebibytes < 1 || mebibytes > 1 << 20)
        throw UsageError("--shard-mib: " + std::to_string(mebibytes) + " is outside [1, 1048576]");
    if (values.count("side") && (side < 1 || side > 65500))
        throw UsageError("--side: " + std::to_string(side) + " is outside [1, 65500]");
    applyMaxPixels(values);
#ifndef HAVE_LTRP_ARCHIVE
    throw std::runtime_error("this build writes no shards: install libarchive-dev and build again");
#else
    std::error_code error;
    if (fs::exists(out, error) && !(fs::is_directory(out, error) && fs::is_empty(out, error)))
        throw std::runtime_error(out + ": is not an empty folder; name another one with --out");
    image::PhotoList list;
    list.takesShards = true;
    for (const std::string& argument : arguments)
        image::addArgument(argument, out, list);
    for (const std::string& folder : list.left)
        complain(folder);
    for (const image::Skipped& skipped : list.skipped)
        complain(skipped.place + ": " + skipped.reason);
    std::vector<int> order(list.photos.size());
    std::iota(order.begin(), order.end(), 0);
    if (values.count("shuffle"))
        RandomStream(seedOption(values, "shuffle"), RandomPurpose::Shuffle, 0).shuffle(order);

    ShardWriter writer(out, static_cast<size_t>(mebibytes) << 20);
    std::unordered_map<std::string, int> keys;
    size_t done = 0;
    Progress progress("pack: image", order.size());
    for (size_t i = 0; i < order.size(); ++i)
    {
        checkInterrupt();
        const image::PhotoEntry& photo = list.photos[static_cast<size_t>(order[i])];
        std::string name;
        std::vector<uchar> bytes;
        try
        {
            bytes = image::readPhotoBytes(photo.path, photo.place, list.shards);
            if (side > 0)
                bytes = reduced(bytes, side);
            name = withExtension(memberName(photo.name, side > 0), bytes);
        }
        catch (const std::bad_alloc&)
        {
            throw;
        }
        catch (const std::exception& failure)
        {
            complain(reason(failure, photo.path));
            continue;
        }
        writer.add(uniqueKey(name, keys), bytes);
        ++done;
        progress.update(i + 1);
    }
    writer.close();
    progress.hide();
    const size_t failed = order.size() - done + list.skipped.size();
    if (done == 0)
        throw std::runtime_error("none of the " + std::to_string(order.size()) + " images can be read");
    std::cout << out << ": " << done << " photos in " << writer.shards() << (writer.shards() == 1 ? " shard\n" : " shards\n");
    if (failed > 0)
        complain(std::to_string(failed) + " images or shards were skipped");
    return failed + list.left.size() > 0 ? 1 : 0;
#endif
}

}  // namespace tool
