// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_DNN_SESSION_HPP
#define OPENCV_LTRP_DNN_SESSION_HPP

#include "layers.hpp"
#include "opencv2/ltrp/types.hpp"

#include <functional>
#include <mutex>

namespace cv { namespace ltrp {

/// A cv::dnn::Net with one RankLayer. For one thread at a time.
class RankSession
{
public:
    explicit RankSession(std::shared_ptr<const RankerModel> model);
    bool usable() const { return usable_; }   ///< false after forward() has thrown: the Net may be partly set up
    /// pixels [N,3,H,W] -> scores N x L, which belong to the Net and are overwritten by the next call.
    Mat forward(const Mat& pixels);

    Mat pixels;   ///< reused by the caller for its input

private:
    bool usable_ = true;
    cv::dnn::Net net_;
};

/// A cv::dnn::Net with one PseudoScoreLayer. For one thread at a time.
class PseudoScoreSession
{
public:
    explicit PseudoScoreSession(std::shared_ptr<const MaeModel> model);
    bool usable() const { return usable_; }   ///< false after forward() has thrown: the Net may be partly set up
    /// pixels [N,3,S,S], visible N x Lv (CV_32S) -> scores N x Lv, overwritten by the next call.
    Mat forward(const Mat& pixels, const Mat& visible, const vit::LeaveOneOutOptions& options);

    Mat pixels;   ///< reused by the caller for its input

private:
    bool usable_ = true;
    cv::dnn::Net net_;
    Ptr<PseudoScoreLayer> layer_;
    Mat visible_;
};

/// Pool of idle sessions. It grows to the largest number of concurrent calls.
template <class Session>
class SessionPool
{
public:
    explicit SessionPool(std::function<std::unique_ptr<Session>()> make) : make_(std::move(make)) {}

    /// RAII guard: takes a session from the pool and returns it.
    class Lease
    {
    public:
        explicit Lease(SessionPool& pool) : pool_(pool), session_(pool.take()) {}
        ~Lease() { pool_.give(std::move(session_)); }
        Lease(const Lease&) = delete;
        Lease& operator=(const Lease&) = delete;
        Session* operator->() const { return session_.get(); }
        Session& operator*() const { return *session_; }

    private:
        SessionPool& pool_;
        std::unique_ptr<Session> session_;
    };

private:
    std::unique_ptr<Session> take()
    {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            idle_.reserve(++lent_ + idle_.size());   // so that give() does not allocate and cannot throw
            if (!idle_.empty())
            {
                std::unique_ptr<Session> session = std::move(idle_.back());
                idle_.pop_back();
                return session;
            }
        }
        try
        {
            return make_();
        }
        catch (...)
        {
            give(nullptr);
            throw;
        }
    }

    void give(std::unique_ptr<Session> session) noexcept
    {
        std::lock_guard<std::mutex> lock(mutex_);
        lent_--;
        if (session && session->usable())   // else the next call creates a cheap new one: weights are shared
            idle_.push_back(std::move(session));
    }

    std::function<std::unique_ptr<Session>()> make_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<Session>> idle_;
    size_t lent_ = 0;
};

/// Throws Error::StsNotImplemented for a cv::dnn backend that this module does not have; the message lists the
/// supported ones.
void requireBackend(int backendId);

/// Selects a cv::dnn backend: CUDA (with TARGET_CUDA, unless a CUDA target is set) or the CPU. This module selects its
/// own backend, because cv::dnn, depending on its version, warns and falls back, or fails at the first forward().
/// @throws Error::StsNotImplemented naming the requested and the supported backends; Error::GpuNotSupported with the
/// reason if there is no CUDA
void chooseBackend(int backendId, ComputeDevice& computing);

/// Converts an image to normalised planar pixels [3,H,W]. Returns the original size.
Size prepareImage(InputArray image, const vit::InputConfig& input, float* pixels);

/// Pixels blob [batch,3,H,W]; reuses the memory of `blob` if it is large enough.
float* pixelBlob(Mat& blob, int batch, const vit::InputConfig& input);
/// Number of images per pass: `wanted`, or fewer if their pixels exceed 256 MiB; at least 1.
int boundedBatch(int64_t wanted, const vit::InputConfig& input);

/// Returns the scores of one image as its grid. @throws Error::StsBadArg naming the file if a score is not finite
void keepScores(const Mat& row, const vit::InputConfig& input, const std::string& file, PatchRanking& ranking);

/// Implementation of Ranker::rankBatch(): converts at most `chunk` images at once to `pixels`; forward() returns their
/// scores [n, L].
std::vector<PatchRanking> rankInParts(InputArrayOfArrays images, const vit::InputConfig& input, const std::string& file, int chunk,
                                      Mat& pixels, const std::function<Mat()>& forward);

/// Lines of info() that Ranker and Scorer share.
std::string describeRuntime(const io::Model& model, const vit::InputConfig& input, const ComputeDevice& computing);

}}  // namespace

#endif
