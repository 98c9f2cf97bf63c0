// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "workers.hpp"
#include "../io/checksum.hpp"

#include <algorithm>

namespace cv { namespace ltrp { namespace train {

std::string Workers::name(int) const { return "the only worker"; }
void Workers::broadcast(void*, size_t, int) {}
void Workers::sum(double*, size_t) {}
void Workers::sum(float*, size_t) {}
std::vector<std::string> Workers::gather(const std::string& text) { return {text}; }

void Workers::exchangePieces(const float* values, const std::vector<size_t>& bounds, int, float* received)
{
    std::copy(values + bounds.front(), values + bounds.back(), received);
}

void Workers::shareOutPieces(float*, const std::vector<size_t>&) {}
void Workers::end() {}

bool Workers::all(bool mine)
{
    double against = mine ? 0 : 1;
    sum(&against, 1);
    return against == 0;
}

GradientSum::GradientSum(Workers& workers, size_t total, int batches)
    : workers_(workers), sum_(Mat::zeros(1, static_cast<int>(total), CV_32F))
{
    if (workers.alone() && batches > 1)
        alone_ = Mat::zeros(1, static_cast<int>(total), CV_32F);
    if (workers.alone() || !workers.ordered)
        return;
    const size_t count = static_cast<size_t>(workers.count()), line = 16;
    const size_t piece = (total + line * count - 1) / (line * count) * line;
    for (size_t w = 0; w <= count; w++)
        bounds_.push_back(std::min(total, w * piece));
    const size_t mine = static_cast<size_t>(workers.index());
    piece_.resize(bounds_[mine + 1] - bounds_[mine]);
    received_.resize(count * piece_.size());
}

void GradientSum::add(int active)
{
    if (begun_ && !alone_.empty())
    {
        sum_ += alone_;
        alone_ = 0;
    }
    if (!bounds_.empty())
    {
        workers_.exchangePieces(sum_.ptr<float>(), bounds_, active, received_.data());
        sum_ = 0;
        for (int w = 0; w < active; w++)
        {
            const float* values = received_.data() + static_cast<size_t>(w) * piece_.size();
            if (w == 0 && !begun_)
                std::copy_n(values, piece_.size(), piece_.begin());
            else
                for (size_t i = 0; i < piece_.size(); i++)
                    piece_[i] += values[i];
        }
    }
    begun_ = true;
}

Mat& GradientSum::finish()
{
    if (!bounds_.empty())
    {
        std::copy(piece_.begin(), piece_.end(), sum_.ptr<float>() + bounds_[static_cast<size_t>(workers_.index())]);
        workers_.shareOutPieces(sum_.ptr<float>(), bounds_);
    }
    else
        workers_.sum(sum_.ptr<float>(), sum_.total());
    begun_ = false;
    return sum_;
}

void GradientSum::clear()
{
    sum_ = 0;
    alone_ = 0;
    begun_ = false;
}

namespace
{

/// Joins texts, each terminated by a zero byte: file names may contain any other byte.
void append(std::string& joined, const std::string& text)
{
    joined += text;
    joined += '\0';
}

std::vector<std::string> split(const std::string& joined)
{
    std::vector<std::string> texts;
    for (size_t begin = 0; begin < joined.size();)
    {
        const size_t end = joined.find('\0', begin);
        texts.push_back(joined.substr(begin, end - begin));
        begin = end == std::string::npos ? joined.size() : end + 1;
    }
    return texts;
}

std::string joinedOptions(const OptionList& list)
{
    std::string joined;
    for (const auto& entry : list)
    {
        append(joined, entry.first);
        append(joined, entry.second);
    }
    return joined;
}

}  // namespace

void Notes::add(const Note& note)
{
    const std::lock_guard<std::mutex> lock(mutex_);
    notes_.push_back(note);
}

std::vector<Notes::Note> Notes::collect(Workers& workers)
{
    std::string joined;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        for (const Note& note : notes_)
        {
            append(joined, note.skipped ? "skipped" : "odd");
            append(joined, note.path);
            append(joined, note.what);
        }
        notes_.clear();
    }
    std::vector<Note> notes;
    if (workers.all(joined.empty()))
        return notes;
    for (const std::string& text : workers.gather(joined))
    {
        const std::vector<std::string> parts = split(text);
        for (size_t i = 0; i + 2 < parts.size(); i += 3)
            notes.push_back({parts[i] == "skipped", parts[i + 1], parts[i + 2]});
    }
    return notes;
}

void requireEqual(Workers& workers, const OptionList& list)
{
    if (workers.alone())
        return;
    const std::vector<std::string> lists = workers.gather(joinedOptions(list));
    for (size_t w = 1; w < lists.size(); w++)
    {
        if (lists[w] == lists[0])
            continue;
        const std::vector<std::string> his = split(lists[w]), first = split(lists[0]);
        for (size_t i = 0; i < std::max(his.size(), first.size()); i += 2)
        {
            const auto entry = [i](const std::vector<std::string>& texts)
            { return i + 1 < texts.size() ? texts[i] + " is " + texts[i + 1] : std::string("it has an option less"); };
            LTRP_REQUIRE(entry(his) == entry(first), Error::StsBadArg, workers.name(static_cast<int>(w))
                         << " cannot train with the others: " << entry(his) << ", but for worker 0 " << entry(first)
                         << "; start all with the same options, data and program");
        }
    }
}

void requireEqualWeights(Workers& workers, const vit::ParamArena& params, int64_t step)
{
    if (workers.alone())
        return;
    io::Crc32 sum;
    sum.add(params.data(), params.layout.total() * sizeof(float));
    const std::vector<std::string> sums = workers.gather(std::to_string(sum.value()));
    for (size_t w = 1; w < sums.size(); w++)
        LTRP_REQUIRE(sums[w] == sums[0], Error::StsError, workers.name(static_cast<int>(w)) << " has other weights than worker 0 at "
                     "update " << step << ": a fault of its memory or another kind of processor; leave its machine out and resume");
}

void broadcastState(Workers& workers, vit::ParamArena& params, AdamW& optimizer, int64_t& step)
{
    const size_t bytes = params.layout.total() * sizeof(float);
    workers.broadcast(&step, sizeof step);
    workers.broadcast(&optimizer.steps, sizeof optimizer.steps);
    workers.broadcast(params.data(), bytes);
    workers.broadcast(optimizer.m.ptr(), bytes);
    workers.broadcast(optimizer.v.ptr(), bytes);
}

}}}  // namespace
