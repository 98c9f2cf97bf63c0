// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Runs a vision transformer's classifier on the best-ranked patches only: how much faster it gets, and how often its
// answer is the same as with all patches, compared with as many patches drawn at random, spread evenly and nearest to
// the centre.

#include <algorithm>
#include <cmath>
#include <numeric>
#include <sstream>

#include <opencv2/core.hpp>
#include <opencv2/core/utils/filesystem.hpp>
#include <opencv2/dnn.hpp>
#include <opencv2/imgproc.hpp>
#include <opencv2/ltrp/draw.hpp>
#include <opencv2/ltrp/ranker.hpp>
#include <opencv2/ltrp/select.hpp>

#include "sample_tools.hpp"

static const char* keys =
    "{ help h usage ? |                | print this message }"
    "{ @input         |                | photo, or folder of photos, searched recursively }"
    "{ classifier c   |                | classifier from vit_to_onnx.py: NAME.onnx, with NAME.yml in its folder }"
    "{ model m        |                | ranker's weights (.safetensors or .pth); the shipped ones unless told }"
    "{ keep k         | 0.75,0.5,0.25  | shares of patches to try, each in (0, 1) }"
    "{ cluster        |                | keep varied patches (70 % by score, others from clusters), not the best }"
    "{ sample s       |                | draw patches at random, those with high scores more often, not the best }"
    "{ temperature t  |                | of --sample, above 0: low ones draw the best, high ones any; 1 unless told }"
    "{ draws n        | 1              | draws of the random patches, and of those of --sample, to average over }"
    "{ picture        |                | picture to write: up to four photos, what each run saw and said }";

/// A classifier whose network accepts any subset of the patches.
class Classifier
{
public:
    explicit Classifier(const cv::String& path)
    {
        const size_t dot = path.find_last_of('.');
        const cv::String about = path.substr(0, dot) + ".yml";
        cv::FileStorage file;
        if (!file.open(about, cv::FileStorage::READ))
            CV_Error(cv::Error::StsError, about + ": cannot be opened; vit_to_onnx.py writes it beside the .onnx");
        file["size"] >> size_;
        file["grid"] >> grid_;
        file["classes"] >> classes_;
        if (size_ < 1 || size_ > 4096 || grid_ < 1 || grid_ > size_ || classes_.empty())
            CV_Error(cv::Error::StsError, about + ": size, grid and classes are expected");
        net_ = cv::dnn::readNetFromONNX(path);
        if (net_.empty())
            CV_Error(cv::Error::StsError, path + ": cannot be read as a network");
    }

    int size() const { return size_; }   //!< input side in pixels
    cv::Size grid() const { return cv::Size(grid_, grid_); }   //!< of the patches
    const std::vector<cv::String>& classes() const { return classes_; }   //!< names

    //! [classify]
    /// @param image CV_8UC3 of size() x size() pixels
    /// @param patches the numbers of the patches to use
    /// @return one probability per class
    std::vector<float> run(const cv::Mat& image, const std::vector<int>& patches)
    {
        // One-hot rows that select the tokens: the class token first, then the patches. The rest of the network
        // processes only these, so that its time decreases with their number.
        cv::Mat keep = cv::Mat::zeros(static_cast<int>(patches.size()) + 1, grid().area() + 1, CV_32F);
        keep.at<float>(0, 0) = 1;
        for (size_t i = 0; i < patches.size(); i++)
            keep.at<float>(static_cast<int>(i) + 1, patches[i] + 1) = 1;
        const int shape[] = {1, keep.rows, keep.cols};
        net_.setInput(cv::dnn::blobFromImage(image, 1 / 255., cv::Size(), cv::Scalar(), true), "image");
        net_.setInput(keep.reshape(1, 3, shape), "keep");
        const cv::Mat logits = net_.forward("logits");
        if (logits.total() != classes_.size())
            CV_Error(cv::Error::StsError, "the classifier names another number of classes than it scores");
        const float* first = logits.ptr<float>();
        std::vector<float> shares(first, first + logits.total());
        const float largest = *std::max_element(shares.begin(), shares.end());
        float sum = 0;
        for (float& value : shares)
            sum += value = std::exp(value - largest);
        for (float& value : shares)
            value /= sum;
        return shares;
    }
    //! [classify]

private:
    cv::dnn::Net net_;
    int size_ = 0, grid_ = 0;
    std::vector<cv::String> classes_;
};

struct Photo
{
    cv::String path;
    cv::Mat input;   ///< the classifier's input
    cv::ltrp::PatchRanking ranking;   ///< on the classifier's grid
    int label = -1;   ///< class that the photo's folder is named after; -1: none
    int answer = 0;   ///< class with all patches
    cv::String said;   ///< "all: cup 83.1 %, ..."
};

/// Answers for one choice of patches: for each photo the share of draws whose class is the same as with all patches,
/// and the share that are right.
struct Answers
{
    cv::String name;   ///< of the choice
    std::vector<double> same, right;   ///< shares of the draws; right: only of photos with a label

    void add(const std::vector<int>& answers, const Photo& photo)
    {
        const double draws = static_cast<double>(answers.size());
        same.push_back(static_cast<double>(std::count(answers.begin(), answers.end(), photo.answer)) / draws);
        if (photo.label >= 0)
            right.push_back(static_cast<double>(std::count(answers.begin(), answers.end(), photo.label)) / draws);
    }
};

/// Results for one number of patches, over all photos.
struct Row
{
    cv::String name;
    int tokens = 0;
    std::vector<Answers> choices;   ///< the chosen patches, then the baselines; for all patches only one
    double milliseconds = 0;
};

static double mean(const std::vector<double>& values)
{
    return std::accumulate(values.begin(), values.end(), 0.) / static_cast<double>(values.size());
}

/// Mean difference of two choices on the same photos, in percentage points, with its 95 % interval.
static cv::String difference(const std::vector<double>& a, const std::vector<double>& b)
{
    std::vector<double> apart(a.size()), squares;
    for (size_t i = 0; i < a.size(); i++)
        apart[i] = 100 * (a[i] - b[i]);
    const double middle = mean(apart);
    for (double value : apart)
        squares.push_back((value - middle) * (value - middle));
    const double reach = 1.96 * std::sqrt(mean(squares) / static_cast<double>(apart.size() - 1));
    return cv::format("%+.1f [%+.1f, %+.1f]", middle, middle - reach, middle + reach);
}

static int best(const std::vector<float>& shares)
{
    return static_cast<int>(std::max_element(shares.begin(), shares.end()) - shares.begin());
}

static double median(std::vector<double> values)
{
    std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
    return values[values.size() / 2];
}

static std::vector<double> parseShares(const cv::String& text)
{
    std::vector<double> shares;
    std::istringstream list(text);
    for (std::string word; std::getline(list, word, ',');)
    {
        std::istringstream number(word);
        double share = 0;
        if (!(number >> share) || !number.eof() || !(share > 0 && share < 1))
            CV_Error(cv::Error::StsError, "--keep: '" + word + "' is no number above 0 and below 1");
        shares.push_back(share);
    }
    if (shares.empty())
        CV_Error(cv::Error::StsError, "--keep: no share given");
    return shares;
}

static std::vector<Photo> readPhotos(const cv::String& input, const Classifier& classifier, cv::ltrp::Ranker& ranker,
                                     double& rankMilliseconds)
{
    std::vector<cv::String> files(1, input);
    if (cv::utils::fs::isDirectory(input))
    {
        std::vector<cv::String> all;
        cv::glob(cv::utils::fs::join(input, "*"), all, true);
        files.clear();
        for (const cv::String& file : all)
            if (cv::haveImageReader(file))
                files.push_back(file);
        std::sort(files.begin(), files.end());
        if (files.empty())
            CV_Error(cv::Error::StsError, input + ": no photo in this folder");
    }
    std::vector<Photo> photos;
    std::vector<double> times;
    sample::Progress progress("ranking photo", static_cast<int>(files.size()));
    for (const cv::String& file : files)
    {
        if (sample::interrupted())
            break;
        Photo photo;
        photo.path = file;
        const cv::Mat image = sample::readImage(file);
        cv::TickMeter timer;
        timer.start();
        photo.ranking = ranker.rank(image);
        timer.stop();
        times.push_back(timer.getTimeMilli());
        // The classifier's input is the whole photo, like the ranker's, so that a score belongs to the same position in
        // both.
        const cv::Size size(classifier.size(), classifier.size());
        cv::resize(image, photo.input, size, 0, 0, cv::INTER_AREA);
        if (photo.ranking.grid() != classifier.grid())
            cv::resize(photo.ranking.scores, photo.ranking.scores, classifier.grid(), 0, 0, cv::INTER_LINEAR);
        photo.ranking.imageSize = size;
        const cv::String folder = cv::utils::fs::getParent(file);
        const size_t slash = folder.find_last_of("/\\");
        const std::vector<cv::String>& classes = classifier.classes();
        const std::vector<cv::String>::const_iterator named =
            std::find(classes.begin(), classes.end(), slash == cv::String::npos ? folder : folder.substr(slash + 1));
        if (named != classes.end())
            photo.label = static_cast<int>(named - classes.begin());
        photos.push_back(photo);
        progress.step(static_cast<int>(photos.size()));
    }
    rankMilliseconds = times.empty() ? 0 : median(times);
    return photos;
}

static std::vector<int> randomPatches(int patches, int count, uint64 seed)
{
    std::vector<int> all(static_cast<size_t>(patches));
    std::iota(all.begin(), all.end(), 0);
    cv::RNG random(seed + 1);
    for (int i = 0; i < count; i++)
        std::swap(all[static_cast<size_t>(i)], all[static_cast<size_t>(random.uniform(i, patches))]);
    all.resize(static_cast<size_t>(count));
    std::sort(all.begin(), all.end());
    return all;
}

/// The patches with the lowest rank(column, row); among equals the first.
template <typename Rank> static std::vector<int> lowestPatches(cv::Size grid, int count, Rank rank)
{
    std::vector<int> all(static_cast<size_t>(grid.area()));
    std::iota(all.begin(), all.end(), 0);
    const auto of = [&](int patch) { return rank(patch % grid.width, patch / grid.width); };
    std::stable_sort(all.begin(), all.end(), [&](int a, int b) { return of(a) < of(b); });
    all.resize(static_cast<size_t>(count));
    std::sort(all.begin(), all.end());
    return all;
}

/// The patches nearest to the centre of the grid.
static std::vector<int> centrePatches(cv::Size grid, int count)
{
    return lowestPatches(grid, count, [grid](int column, int row)
                         {
                             const int x = 2 * column - grid.width + 1, y = 2 * row - grid.height + 1;
                             return x * x + y * y;   // doubled integers, so that equal distances compare equal
                         });
}

/// Evenly spread patches by ordered dithering. A quarter is every second column of every second row, a half is a
/// chessboard.
static std::vector<int> uniformPatches(cv::Size grid, int count)
{
    return lowestPatches(grid, count, [](int column, int row)
                         {
                             int rank = 0;
                             for (int bit = 0; bit < 12; bit++)
                                 rank = 4 * rank + 2 * ((column ^ row) >> bit & 1) + (row >> bit & 1);
                             return rank;
                         });
}

/// One share for all photos, so that the network allocates memory for that number of tokens only once. Share 1 sets the
/// answers.
static Row runShare(Classifier& classifier, std::vector<Photo>& photos, cv::ltrp::SelectParams select, int draws,
                    const std::vector<cv::String>& names, std::vector<cv::Mat>& pictures)
{
    const double share = select.keepRatio;
    const int chosenDraws = select.method == cv::ltrp::SELECT_SAMPLE ? draws : 1;
    Row row;
    row.name = share < 1 ? cv::format("%.0f %%", 100 * share) : cv::String("all");
    for (const cv::String& name : names)
    {
        row.choices.emplace_back();
        row.choices.back().name = name;
    }
    std::vector<double> times;
    sample::Progress progress(row.name + " of the patches, photo", static_cast<int>(photos.size()));
    for (size_t i = 0; i < photos.size() && !sample::interrupted(); i++)
    {
        Photo& photo = photos[i];
        const auto seed = [&](int draw) { return static_cast<size_t>(draw) * photos.size() + i; };   // all different
        select.seed = seed(0);
        const std::vector<int> patches = cv::ltrp::selectPatches(photo.ranking, select, photo.input);
        if (i == 0)
            classifier.run(photo.input, patches);   // allocates memory, which must not be timed
        cv::TickMeter timer;
        timer.start();
        const std::vector<float> shares = classifier.run(photo.input, patches);
        timer.stop();
        times.push_back(timer.getTimeMilli());
        const int answer = best(shares), kept = static_cast<int>(patches.size());
        if (share == 1)
            photo.answer = answer;
        photo.said += (share < 1 ? ", " : "") + row.name + ": " + classifier.classes()[static_cast<size_t>(answer)] +
                      cv::format(" %.1f %%", 100 * shares[static_cast<size_t>(answer)]);
        row.tokens = kept + 1;
        for (Answers& choice : row.choices)
        {
            const bool first = &choice == &row.choices[0];
            std::vector<int> answers(first ? 1 : 0, answer);
            for (int draw = first; draw < (first ? chosenDraws : choice.name == "random" ? draws : 1); draw++)
            {
                cv::ltrp::SelectParams params = select;
                params.seed = seed(draw);
                if (choice.name == "best")
                    params.method = cv::ltrp::SELECT_TOPK;
                answers.push_back(best(classifier.run(
                    photo.input, choice.name == "random"    ? randomPatches(classifier.grid().area(), kept, seed(draw))
                                 : choice.name == "uniform" ? uniformPatches(classifier.grid(), kept)
                                 : choice.name == "centre"  ? centrePatches(classifier.grid(), kept)
                                                            : cv::ltrp::selectPatches(photo.ranking, params))));
            }
            choice.add(answers, photo);
        }
        if (i < pictures.size())
        {
            cv::Mat large, text(28, 240, CV_8UC3, cv::Scalar::all(24)), view;
            cv::ltrp::PatchRanking shown = photo.ranking;
            cv::resize(sample::readImage(photo.path), large, cv::Size(240, 180), 0, 0, cv::INTER_AREA);
            cv::ltrp::drawKept(large, shown.grid(), patches, view, 0.12);
            cv::putText(text,
                        classifier.classes()[static_cast<size_t>(answer)] +
                            cv::format(" %.0f %%", 100 * shares[static_cast<size_t>(answer)]),
                        cv::Point(6, 19), cv::FONT_HERSHEY_SIMPLEX, 0.5,
                        answer == photo.answer ? cv::Scalar(180, 235, 180) : cv::Scalar(120, 120, 255), 1, cv::LINE_AA);
            cv::vconcat(view, text, view);
            if (pictures[i].empty())
                pictures[i] = view;
            else
                cv::hconcat(pictures[i], view, pictures[i]);
        }
        progress.step(static_cast<int>(i) + 1);
    }
    row.milliseconds = times.empty() ? 0 : median(times);
    return row;
}

static void printRows(const std::vector<Row>& rows, const std::vector<cv::String>& names)
{
    const Answers& all = rows[0].choices[0];
    const size_t labelled = all.right.size();
    std::cout << "patches  tokens  ms/photo  speed";
    for (const cv::String& name : names)
        std::cout << cv::format("  %7s: same", name.c_str()) << (labelled ? "   right" : "");
    std::cout << "\n";
    for (const Row& row : rows)
    {
        std::cout << cv::format("%7s  %6d  %8.2f  %4.2fx", row.name.c_str(), row.tokens, row.milliseconds,
                                rows[0].milliseconds / row.milliseconds);
        for (const Answers& choice : row.choices)
        {
            std::cout << cv::format("  %11.1f %%", 100 * mean(choice.same));
            if (labelled)
                std::cout << cv::format("  %4.1f %%", 100 * mean(choice.right));
        }
        std::cout << "\n";
    }
    if (labelled < 2)
        return;
    std::cout << "right on the same photos, percentage points and their 95 % intervals:\n";
    for (size_t i = 1; i < rows.size(); i++)
    {
        const std::vector<double>& right = rows[i].choices[0].right;
        std::cout << cv::format("%7s  %s", rows[i].name.c_str(), names[0].c_str());
        for (size_t k = 1; k < names.size(); k++)
            std::cout << " - " << names[k] << " " << difference(right, rows[i].choices[k].right) << ",";
        std::cout << " - all " << difference(right, all.right) << "\n";
    }
}

/// The choice of patches by --cluster, --sample and --temperature; names: names of the choice and of the baselines.
static cv::ltrp::SelectParams selectParams(const cv::CommandLineParser& parser, std::vector<cv::String>& names)
{
    cv::ltrp::SelectParams select;
    const bool cluster = parser.has("cluster"), sampled = parser.has("sample");
    if (cluster && sampled)
        CV_Error(cv::Error::StsError, "--cluster and --sample exclude each other");
    if (parser.has("temperature") && !sampled)
        CV_Error(cv::Error::StsError, "--temperature goes with --sample");
    if (cluster)
        select.method = cv::ltrp::SELECT_CLUSTER;
    if (sampled)
        select.method = cv::ltrp::SELECT_SAMPLE;
    if (parser.has("temperature"))
        select.temperature = parser.get<double>("temperature");
    names = {"best", "random", "uniform", "centre"};
    if (cluster || sampled)
        names.insert(names.begin(), cluster ? "varied" : "sampled");
    return select;
}

int main(int argc, char** argv)
{
    cv::CommandLineParser parser(argc, argv, keys);
    parser.about("Fewer tokens: a vision transformer classifies photos by their best-ranked patches alone.");
    if (parser.has("help"))
    {
        parser.printMessage();
        return 0;
    }
    const cv::String input = parser.get<cv::String>("@input"), model = parser.get<cv::String>("model");
    const cv::String path = parser.get<cv::String>("classifier"), picture = parser.get<cv::String>("picture");
    const cv::String keep = parser.get<cv::String>("keep");
    const int draws = parser.get<int>("draws");
    if (!parser.check() || input.empty() || path.empty())
    {
        parser.printErrors();
        std::cerr << "A photo or folder and --classifier are needed; --help says more." << std::endl;
        return 1;
    }

    try
    {
        const std::vector<double> shares = parseShares(keep);
        std::vector<cv::String> names;
        cv::ltrp::SelectParams select = selectParams(parser, names);
        if (!parser.check())
        {
            parser.printErrors();
            return 1;
        }
        if (!(select.temperature > 0))
            CV_Error(cv::Error::StsError,
                     cv::format("--temperature: %g, expected a number above 0", select.temperature));
        if (draws < 1)
            CV_Error(cv::Error::StsError, cv::format("--draws: %d, expected 1 or more", draws));
        cv::ltrp::SelectParams all;
        all.keepRatio = 1;
        Classifier classifier(path);
        cv::Ptr<cv::ltrp::Ranker> ranker = model.empty() ? cv::ltrp::Ranker::create() : cv::ltrp::Ranker::create(model);
        sample::catchInterrupt();
        double rankMilliseconds = 0;
        std::vector<Photo> photos = readPhotos(input, classifier, *ranker, rankMilliseconds);
        std::vector<cv::Mat> pictures(picture.empty() ? 0 : std::min<size_t>(4, photos.size()));
        std::vector<Row> rows(1, runShare(classifier, photos, all, 1, {"all"}, pictures));
        for (size_t i = 0; i < shares.size() && !sample::interrupted(); i++)
        {
            select.keepRatio = shares[i];
            rows.push_back(runShare(classifier, photos, select, draws, names, pictures));
        }
        if (sample::interrupted())
            return sample::INTERRUPTED;   // an incomplete table would mislead

        std::cout << cv::format("%d photos, %d x %d patches, %d classes; ranking took %.2f ms a photo\n",
                                static_cast<int>(photos.size()), classifier.grid().width, classifier.grid().height,
                                static_cast<int>(classifier.classes().size()), rankMilliseconds);
        printRows(rows, names);
        if (photos.size() <= 10)
            for (const Photo& photo : photos)
                std::cout << photo.path << ": " << photo.said << "\n";
        if (!picture.empty())
        {
            cv::Mat sheet;
            cv::vconcat(pictures, sheet);
            sample::writeImage(picture, sheet);
        }
    }
    catch (const cv::Exception& e)
    {
        std::cerr << e.err << std::endl;
        return 1;
    }
    return 0;
}
