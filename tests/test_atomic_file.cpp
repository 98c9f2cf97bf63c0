// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "io/atomic_file.hpp"
#include "io/tensor_file.hpp"
#include "process.hpp"

#include <boost/test/unit_test.hpp>

#include <functional>

#include <sys/stat.h>

namespace fs = std::filesystem;
using cv::ltrp::io::AtomicFile;
using testing_tools::contains;
using testing_tools::readText;
using testing_tools::SmallDisk;
using testing_tools::TemporaryFolder;
using testing_tools::writeText;

namespace
{

size_t filesIn(const TemporaryFolder& folder)
{
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()));
}

std::string messageOf(const std::function<void()>& action)
{
    try
    {
        action();
    }
    catch (const cv::Exception& error)
    {
        return error.err;
    }
    return "nothing was thrown";
}

}  // namespace

BOOST_AUTO_TEST_SUITE(AtomicFiles)

BOOST_AUTO_TEST_CASE(appearsOnlyWithCommit)
{
    const TemporaryFolder folder;
    const std::string path = folder.file("out.bin");
    AtomicFile file(path);
    file.write("first ");
    file.write("second");
    BOOST_TEST(!fs::exists(path));
    file.commit();
    BOOST_TEST(readText(path) == "first second");
    BOOST_TEST(filesIn(folder) == 1u);
}

BOOST_AUTO_TEST_CASE(keepsTheOldFileUntilTheNewOneIsComplete)
{
    const TemporaryFolder folder;
    const std::string path = folder.file("out.bin");
    writeText(path, "old");
    {
        AtomicFile file(path);
        file.write("new, never finished");
    }
    BOOST_TEST(readText(path) == "old");
    BOOST_TEST(filesIn(folder) == 1u);
    cv::ltrp::io::writeTextFile(path, "new");
    BOOST_TEST(readText(path) == "new");
    BOOST_TEST(filesIn(folder) == 1u);
}

BOOST_AUTO_TEST_CASE(leavesNothingWhenItsProcessIsKilled)
{
    const TemporaryFolder folder;
    const pid_t child = fork();
    BOOST_REQUIRE(child >= 0);
    if (child == 0)
    {
        AtomicFile file(folder.file("out.bin"));
        file.write(std::string(100000, 'x'));
        ::kill(getpid(), SIGKILL);
    }
    int state = 0;
    BOOST_REQUIRE(waitpid(child, &state, 0) == child);
    BOOST_TEST(WIFSIGNALED(state));
    BOOST_TEST(!fs::exists(folder.file("out.bin")));
}

BOOST_AUTO_TEST_CASE(fullDiskIsNamedAndLeavesNoFile)
{
    const TemporaryFolder folder;
    const std::string path = folder.file("out.bin");
    std::string message;
    {
        const SmallDisk disk(1000);
        message = messageOf([&] {
            AtomicFile file(path);
            for (int i = 0; i < 20; ++i)
                file.write(std::string(300, 'x'));
            file.commit();
        });
    }
    BOOST_TEST(contains(message, path));
    BOOST_TEST(contains(message, "File too large"));
    BOOST_TEST(filesIn(folder) == 0u);
}

BOOST_AUTO_TEST_CASE(fullDiskKeepsTheOldWeightFile)
{
    const TemporaryFolder folder;
    const std::string path = folder.file("weights.safetensors");
    const std::vector<float> small(4, 1.f), large(100000, 2.f);
    cv::ltrp::io::writeSafetensors(path, {{"a", cv::ltrp::io::DType::F32, {4}, small.data()}}, {});
    const std::string before = readText(path);
    {
        const SmallDisk disk(5000);
        BOOST_CHECK_THROW(
            cv::ltrp::io::writeSafetensors(path, {{"a", cv::ltrp::io::DType::F32, {100000}, large.data()}}, {}),
            cv::Exception);
    }
    BOOST_TEST(readText(path) == before);
    BOOST_TEST(filesIn(folder) == 1u);
}

BOOST_AUTO_TEST_CASE(refusesTargetsThatARenameWouldDestroy)
{
    const TemporaryFolder folder;
    const std::string pipe = folder.file("pipe");
    BOOST_REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
    BOOST_TEST(contains(messageOf([&] { AtomicFile file(pipe); }), pipe + ": cannot write, this is not a regular"));
    const std::string path = folder.path().string();
    BOOST_TEST(contains(messageOf([&] { AtomicFile file(path); }), path + ": cannot write, this is a folder"));
    BOOST_TEST(contains(messageOf([&] { AtomicFile file(path + "/new/"); }), "names a folder"));
    BOOST_TEST(contains(messageOf([&] { AtomicFile file(""); }), "without a name"));
    BOOST_TEST(filesIn(folder) == 1u);
}

BOOST_AUTO_TEST_CASE(failedReplacementLeavesNothing)
{
    const TemporaryFolder folder;
    const std::string path = folder.file("out.bin");
    auto file = std::make_unique<AtomicFile>(path);
    file->write("complete");
    fs::create_directory(path);   // created meanwhile
    const std::string message = messageOf([&] { file->commit(); });
    file.reset();
    BOOST_TEST(contains(message, path + ": cannot replace: Is a directory"));
    BOOST_TEST(filesIn(folder) == 1u);
}

BOOST_AUTO_TEST_CASE(missingFolderIsNamedWithTheReason)
{
    const TemporaryFolder folder;
    const std::string path = folder.file("missing/out.bin");
    const std::string message = messageOf([&] { AtomicFile file(path); });
    BOOST_TEST(contains(message, path + ": cannot write: No such file or directory"));
}

BOOST_AUTO_TEST_CASE(symbolicLinksStayLinks)
{
    const TemporaryFolder folder;
    const std::string target = folder.file("target.txt"), link = folder.file("link.txt");
    writeText(target, "old");
    fs::create_symlink("target.txt", link);
    cv::ltrp::io::writeTextFile(link, "new");
    BOOST_TEST(fs::is_symlink(link));
    BOOST_TEST(readText(target) == "new");
}

BOOST_AUTO_TEST_CASE(namesMayBeAsLongAsFileSystemsAllow)
{
    const TemporaryFolder folder;
    const std::string path = folder.file(std::string(255, 'n'));
    cv::ltrp::io::writeTextFile(path, "text");
    BOOST_TEST(readText(path) == "text");
}

BOOST_AUTO_TEST_CASE(newFilesHaveTheUsersOrdinaryPermissions)
{
    const TemporaryFolder folder;
    writeText(folder.file("plain"), "");
    cv::ltrp::io::writeTextFile(folder.file("atomic"), "");
    struct stat plain, atomic;
    BOOST_REQUIRE(stat(folder.file("plain").c_str(), &plain) == 0);
    BOOST_REQUIRE(stat(folder.file("atomic").c_str(), &atomic) == 0);
    BOOST_TEST((plain.st_mode & 07777) == (atomic.st_mode & 07777));
}

BOOST_AUTO_TEST_CASE(useAfterCommitIsAnError)
{
    const TemporaryFolder folder;
    AtomicFile file(folder.file("out.bin"));
    file.commit();
    BOOST_CHECK_THROW(file.write("more"), cv::Exception);
    BOOST_CHECK_THROW(file.commit(), cv::Exception);
}

BOOST_AUTO_TEST_SUITE_END()
