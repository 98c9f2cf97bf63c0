// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Behaviour of the library over time and with threads. Each check needs a fresh process:
//   ltrp_lifetime threads [IMAGES]     8 threads, one ranker and one scorer, IMAGES images each (100): serial scores
//   ltrp_lifetime memory [CALLS]       CALLS calls of everything (10000): the heap is as large as before
//   ltrp_lifetime one-thread           after cv::setNumThreads(1) no thread is ever started
//   ltrp_lifetime signals [IMAGES]     a handler that runs ten thousand times a second while IMAGES images (100) are ranked
//   ltrp_lifetime exit                 objects with static storage, and threads that end before and after them
// Exits with status 0 and one line with the measurement, or with 1 and the error.

#include "../api_models.hpp"
#include "../train_fixture.hpp"
#include "ops/cpu/matmul.hpp"

#include "opencv2/ltrp/draw.hpp"
#include "opencv2/ltrp/select.hpp"

#include <atomic>
#include <fstream>
#include <iostream>
#include <thread>

#include <csignal>
#include <malloc.h>
#include <sys/time.h>

using namespace cv;
using namespace cv::ltrp;

namespace
{

[[noreturn]] void fail(const std::string& what)
{
    throw std::runtime_error(what);
}

std::vector<Mat> photos(int count)
{
    std::vector<Mat> images;
    for (int i = 0; i < count; i++)
        images.push_back(photo(Size(17 + 13 * i % 90, 90 - 11 * i % 70), i));
    return images;
}

ScoreParams fewMasks()
{
    ScoreParams params;
    params.maskRatio = 0.75;
    params.masks = 2;
    return params;
}

bool same(const Mat& a, const Mat& b)
{
    return a.size() == b.size() && a.type() == b.type() && norm(a, b, NORM_INF) == 0;
}

std::string checkThreads(int images)
{
    // One thread per call: the calls themselves run in parallel here. In the sanitizer's build this avoids threads of
    // OpenCV's pool, whose synchronisation it cannot see.
    setNumThreads(1);
    const ApiModels models;
    const Ptr<Ranker> ranker = Ranker::create(models.rankerPath);
    const Ptr<Scorer> scorer = Scorer::create(models.maePath);
    const std::vector<Mat> inputs = photos(50);
    std::vector<Mat> ranked, mapped;
    std::vector<VisibleScores> scored;
    for (const Mat& image : inputs)
    {
        ranked.push_back(ranker->rank(image).scores);
        scored.push_back(scorer->score(image, fewMasks()));
        mapped.push_back(scorer->scoreMap(image, fewMasks()).scores);
    }

    const int count = 8;
    std::atomic<int> wrong(0), calls(0);
    std::vector<std::thread> threads;
    for (int t = 0; t < count; t++)
        threads.emplace_back([&, t]()
        {
            for (int i = 0; i < images; i++)
            {
                const size_t n = static_cast<size_t>(i * (t + 1) + t) % inputs.size();
                wrong += !same(ranker->rank(inputs[n]).scores, ranked[n]);
                if (i % 4 == 0)
                    wrong += !same(ranker->rankBatch(std::vector<Mat>{inputs[n], inputs[0]})[0].scores, ranked[n]);
                if (i % 8 == 1)
                    wrong += scorer->score(inputs[n], fewMasks()).scores != scored[n].scores;
                if (i % 32 == 2)
                    wrong += !same(scorer->scoreMap(inputs[n], fewMasks()).scores, mapped[n]);
                calls++;
            }
        });
    for (std::thread& thread : threads)
        thread.join();
    if (wrong != 0)
        fail(std::to_string(wrong) + " results differ from the serial ones");
    return std::to_string(count) + " threads x " + std::to_string(calls / count) +
           " images: all scores as the serial ones";
}

/// Bytes in use on the heap.
size_t heapInUse()
{
    const auto info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

size_t residentBytes()
{
    std::ifstream file("/proc/self/statm");
    size_t total = 0, resident = 0;
    if (!(file >> total >> resident))
        fail("/proc/self/statm cannot be read");
    return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

long long grown(size_t before, size_t after)
{
    return static_cast<long long>(after) - static_cast<long long>(before);
}

/// Bytes left allocated by 100 threads, one after the other, that run this.
template <class Work>
long long leftByThreads(Work work)
{
    size_t before = 0;
    for (int i = 0; i < 120; i++)
    {
        if (i == 20)
            before = heapInUse();
        std::thread(work).join();
    }
    return grown(before, heapInUse());
}

std::string checkMemory(int calls)
{
    const long long heapBound = 64 << 10, residentBound = 8 << 20, threadsBound = 8 << 10;
    const ApiModels models;
    const Ptr<Ranker> ranker = Ranker::create(models.rankerPath);
    const Ptr<Scorer> scorer = Scorer::create(models.maePath);
    const std::vector<Mat> inputs = photos(20);
    SelectParams cluster;
    cluster.method = SELECT_CLUSTER;
    const auto call = [&](int i)
    {
        const Mat& image = inputs[static_cast<size_t>(i) % inputs.size()];
        const PatchRanking ranking = ranker->rank(image);
        if (i % 8 == 0)
            ranker->rankBatch(std::vector<Mat>(3, image));
        if (i % 8 == 1)
            scorer->score(image, fewMasks());
        if (i % 128 == 2)
            scorer->scoreMap(image, fewMasks());
        if (i % 128 == 3)
        {
            Mat picture;
            drawOverlay(image, ranking, selectPatches(ranking, cluster, image), picture);
        }
        if (i % 16 == 5)
            try
            {
                ranker->rank(Mat());
                fail("an empty image was ranked");
            }
            catch (const cv::Exception&)
            {
            }
        if (i % 128 == 7)
            Ranker::create(models.rankerPath)->rank(image);
    };
    for (int i = 0; i < 640; i++)   // fills caches: sessions, primitives, OpenCV's own
        call(i);
    const size_t heapBefore = heapInUse(), residentBefore = residentBytes();
    for (int i = 0; i < calls; i++)
        call(i);
    const long long heap = grown(heapBefore, heapInUse()), resident = grown(residentBefore, residentBytes());
    std::ostringstream text;
    text << calls << " calls: heap " << heapBefore / 1024 << " KiB, grown by " << heap << " bytes (at most "
         << heapBound << "), resident memory by " << resident / 1024 << " KiB (at most " << residentBound / 1024 << ")";
    // OpenCV 4.6 itself leaks some 800 bytes for each thread that used it; a thread that ranks must not leak more.
    const long long byOpenCv = leftByThreads([]()
    {
        Mat grey;
        cvtColor(Mat(5, 5, CV_8UC3, Scalar()), grey, COLOR_BGR2GRAY);
        theRNG();
    });
    const long long byRanking = leftByThreads([&]()
    {
        ranker->rank(inputs[0]);
        scorer->score(inputs[0], fewMasks());
    });
    text << "; 100 threads that ended left " << byRanking - byOpenCv << " bytes (at most " << threadsBound
         << ") more than the " << byOpenCv << " of threads that only used OpenCV";
    if (heap > heapBound || resident > residentBound || byRanking - byOpenCv > threadsBound)
        fail(text.str());
    return text.str();
}

int threadsOfProcess()
{
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task"))
        count += !entry.path().empty();
    return count;
}

std::string checkOneThread()
{
    setNumThreads(1);
    const ApiModels models;
    const TrainFixture data;
    const int before = threadsOfProcess();
    const auto workload = [&]()
    {
        const Ptr<Ranker> ranker = Ranker::create(models.rankerPath);
        const Ptr<Scorer> scorer = Scorer::create(models.maePath);
        const std::vector<Mat> inputs = photos(40);
        const PatchRanking ranking = ranker->rankBatch(inputs)[0];
        scorer->scoreMap(inputs[0], fewMasks());
        SelectParams cluster;
        cluster.method = SELECT_CLUSTER;
        Mat picture;
        drawOverlay(inputs[0], ranking, selectPatches(ranking, cluster, inputs[0]), picture);
    };
    workload();
    MaePretrainParams params = data.pretrain("mae");
    params.workers = 0;
    const Ptr<Trainer> trainer = Trainer::createPretrain(params);
    trainer->setMessage([](const String&) {});
    trainer->run();
    // Threads of a pool persist once started, so that counting afterwards is enough.
    const int after = threadsOfProcess();
    if (before != 1 || after != 1)
        fail("the process has " + std::to_string(after) + " threads after work with cv::setNumThreads(1), " +
             std::to_string(before) + " before, expected 1");
    setNumThreads(2);
    workload();
    if (threadsOfProcess() < 2)
        fail("the count of threads did not notice a second one");
    return "one thread after cv::setNumThreads(1), " + std::to_string(threadsOfProcess()) +
           " after cv::setNumThreads(2)";
}

std::atomic<int> handled(0);

/// oneDNN before 3.11.2 corrupts the heap if a handler runs on a thread that computes an fp32 product (see
/// SignalScope), so that the process crashes at a later allocation. This needs realistic shapes: the shipped ranker's,
/// and a product that is divided among threads.
std::string checkSignals(int images)
{
    const Ptr<Ranker> ranker =
        Ranker::create(std::string(LTRP_SOURCE_DIR) + "/modules/ltrp/models/ltrp-rank-tiny.safetensors");
    const std::vector<Mat> inputs = photos(20);
    const auto product = []()
    {
        const int rows = 512, from = 768, to = 256;
        std::vector<float> a(static_cast<size_t>(rows * from), 0.5f), b(static_cast<size_t>(to * from), 0.25f),
            c(static_cast<size_t>(rows * to));
        ops::matmul(a.data(), false, b.data(), true, nullptr, c.data(), rows, to, from, false);
        return c;
    };
    std::vector<Mat> quiet;
    for (const Mat& image : inputs)
        quiet.push_back(ranker->rank(image).scores);
    const std::vector<float> quietProduct = product();

    std::signal(SIGALRM, [](int) { handled++; });
    const itimerval often = {{0, 100}, {0, 100}}, never = {};
    int wrong = 0;
    setitimer(ITIMER_REAL, &often, nullptr);
    for (int i = 0; i < images; i++)
    {
        const size_t n = static_cast<size_t>(i) % inputs.size();
        wrong += !same(ranker->rank(inputs[n]).scores, quiet[n]);
        wrong += product() != quietProduct;
    }
    setitimer(ITIMER_REAL, &never, nullptr);
    const std::string text = std::to_string(images) + " images, " + std::to_string(handled.load()) + " signals: ";
    if (wrong != 0 || handled == 0)
        fail(text + std::to_string(wrong) + " results differ from those without signals");
    return text + "all scores as without";
}

/// Created before main and destroyed after it, in an unspecified order; the library must not use anything that is
/// already destroyed.
struct Everlasting
{
    std::unique_ptr<ApiModels> models;
    Ptr<Ranker> ranker;
    Ptr<Scorer> scorer;
    Mat scores;
} everlasting;

std::string checkExit()
{
    everlasting.models.reset(new ApiModels);
    everlasting.ranker = Ranker::create(everlasting.models->rankerPath);
    everlasting.scorer = Scorer::create(everlasting.models->maePath);
    const Mat image = photo(Size(60, 40), 1);
    const auto work = [image]()
    {
        everlasting.ranker->rank(image);
        everlasting.scorer->score(image, fewMasks());
    };
    work();
    for (int i = 0; i < 20; i++)   // each leaves scratch memory and primitives
        std::thread(work).join();
    // Objects created in one thread and used and destroyed in another.
    Ptr<Ranker> other;
    std::thread([&]() { other = Ranker::create(everlasting.models->rankerPath); other->rank(image); }).join();
    everlasting.scores = other->rank(image).scores;
    other.release();
    return "made, used and left to the end of the process";
}

}  // namespace

int main(int argc, char** argv)
{
    const std::string check = argc > 1 ? argv[1] : "";
    const int number = argc > 2 ? std::atoi(argv[2]) : 0;
    try
    {
        std::string result;
        if (check == "threads")
            result = checkThreads(number > 0 ? number : 100);
        else if (check == "memory")
            result = checkMemory(number > 0 ? number : 10000);
        else if (check == "one-thread")
            result = checkOneThread();
        else if (check == "signals")
            result = checkSignals(number > 0 ? number : 100);
        else if (check == "exit")
            result = checkExit();
        else
            fail("expected threads [IMAGES], memory [CALLS], one-thread, signals [IMAGES] or exit");
        std::cout << result << std::endl;
        return 0;
    }
    catch (const std::exception& error)
    {
        std::cerr << "ltrp_lifetime " << check << ": " << error.what() << std::endl;
        return 1;
    }
}
