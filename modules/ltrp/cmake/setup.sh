# Shared by samples/rank-photos, tests/run, tests/intree/run and tests/gpu/pack: sourced by bash, not run. Installs what
# this project needs to build on a Debian 12 / 13 or Ubuntu 24.04 that has only git.

ltrpBuildPackages=(g++ cmake ninja-build libopencv-dev libdnnl-dev libarchive-dev libboost-program-options-dev
    nlohmann-json3-dev)
ltrpTestPackages=(libboost-test-dev libgtest-dev ffmpeg openmpi-bin libopenmpi-dev)
ltrpCoveragePackages=(clang llvm libclang-rt-dev)
ltrpPythonPackages=(python3-venv python3-dev)
ltrpInTreePackages=(g++ cmake ninja-build ccache python3-dev python3-numpy python3-pip nlohmann-json3-dev)

# Options for a build of OpenCV without parts that the module does not need.
ltrpOpenCvLean=(-DBUILD_DOCS=OFF -DBUILD_opencv_apps=OFF -DBUILD_JAVA=OFF
    -DWITH_IPP=OFF -DWITH_ITT=OFF -DBUILD_ITT=OFF -DWITH_UNIFONT=OFF -DWITH_ADE=OFF -DWITH_OPENCL=OFF -DWITH_EIGEN=OFF
    -DWITH_FFMPEG=OFF -DWITH_GSTREAMER=OFF -DWITH_V4L=OFF -DWITH_1394=OFF -DWITH_OBSENSOR=OFF -DWITH_GTK=OFF
    -DWITH_QT=OFF -DWITH_VTK=OFF -DWITH_OPENEXR=OFF -DWITH_JASPER=OFF -DWITH_OPENJPEG=OFF -DWITH_TIFF=OFF
    -DWITH_WEBP=OFF -DCPU_DISPATCH=)

# ... and those of static libraries for programs that travel: with OpenCV's own LAPACK, so that none has to. Symbols are marked
# as for a shared library, which changes nothing there: but then ccache has what tests/intree/run compiled.
ltrpOpenCvStatic=(-DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DCMAKE_CXX_FLAGS=-DCVAPI_EXPORTS -DBUILD_CLAPACK=ON
    -DBUILD_TESTS=OFF -DBUILD_PERF_TESTS=OFF -DBUILD_EXAMPLES=OFF)

ltrpFail()
{
    echo "error: $*" >&2
    exit 1
}

# ltrpInstall PACKAGE...: installs those that are missing; does not call apt if none is.
ltrpInstall()
{
    if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
        echo "note: no apt here, so nothing is installed; needed are the equivalents of: $*" >&2
        return 0
    fi
    local package missing=()
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -cx installed >/dev/null ||
            missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0

    local asRoot=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null 2>&1 ||
            ltrpFail "these packages are missing and there is no sudo; as root, run: apt-get install ${missing[*]}"
        asRoot=(sudo)
    fi
    echo "Installing ${missing[*]} (apt-get)"
    local log
    log=$(mktemp)
    {
        # An unrelated package source that does not answer is not an error; the installation will show. Waits for locks.
        "${asRoot[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 update || true
        "${asRoot[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 \
            -o Dpkg::Use-Pty=0 --no-install-recommends install "${missing[@]}"
    } </dev/null >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        rm -f "$log"
        ltrpFail "apt-get could not install: ${missing[*]}"
    }
    rm -f "$log"
}

# ltrpBuild FOLDER TARGETS [CMAKE_OPTION...]: configures and builds the targets (separated by spaces); quiet unless it fails.
ltrpBuild()
{
    local folder=$1 targets=$2 generator=()
    shift 2
    [ -f "$folder/CMakeCache.txt" ] || generator=(-G Ninja)
    mkdir -p "$folder"
    cmake -S . -B "$folder" "${generator[@]}" "$@" >"$folder/configure.log" 2>&1 || {
        cat "$folder/configure.log" >&2
        ltrpFail "configuring failed (all of it: $folder/configure.log)"
    }
    grep '^-- ltrp [0-9]' "$folder/configure.log" | sed 's/^-- //' || true
    # shellcheck disable=SC2086   # the targets are words
    cmake --build "$folder" --parallel "$(nproc)" --target $targets || ltrpFail "building failed"
}

# ltrpOpenCvFolder opencv|opencv_contrib VERSION: the folder used by ltrpOpenCvSource.
ltrpOpenCvFolder()
{
    local -A full=([5.0]=5.0.0 [4.14]=4.14.0)
    echo "${XDG_CACHE_HOME:-$HOME/.cache}/ltrp/$1-${full[$2]}"
}

# ltrpOpenCvSource VERSION REMEDY [opencv] [opencv_contrib]: downloads the sources that are missing (PyPI's source
# distribution, about 150 MB, contains both). REMEDY: advice if that fails.
ltrpOpenCvSource()
{
    local version=$1 remedy=$2 name part wanted=()
    local -A package=([5.0]=5.0.0.93 [4.14]=4.14.0.94) file=([opencv]=core [opencv_contrib]=cudev)
    shift 2
    for name in "$@"; do
        [ -f "$(ltrpOpenCvFolder "$name" "$version")/modules/${file[$name]}/CMakeLists.txt" ] || wanted+=("$name")
    done
    [ ${#wanted[@]} -gt 0 ] || return 0
    local cache
    cache=$(dirname "$(ltrpOpenCvFolder opencv "$version")")
    echo "Downloading OpenCV $version to $cache"
    mkdir -p "$cache"
    part=$(mktemp -d "$cache/download.XXXXXX")
    # shellcheck disable=SC2064   # the folder of now
    trap "rm -rf '$part'" EXIT
    /usr/bin/python3 -m pip download --quiet --disable-pip-version-check --no-deps \
        --no-binary opencv-contrib-python-headless --dest "$part" \
        "opencv-contrib-python-headless==${package[$version]}" || ltrpFail "the download failed; $remedy"
    tar -xzf "$part"/*.tar.gz -C "$part" --strip-components=1
    for name in "${wanted[@]}"; do
        rm -rf "$(ltrpOpenCvFolder "$name" "$version")"
        mv -T "$part/$name" "$(ltrpOpenCvFolder "$name" "$version")"
    done
    rm -rf "$part"
}
