# Shared by samples/rank-photos, tests/run and tests/intree/run: to be sourced by bash, not run.
# Brings a Debian 12 / 13 or Ubuntu 24.04 with nothing but git to where this project builds.

ltrpBuildPackages=(g++ cmake ninja-build libopencv-dev libdnnl-dev libboost-program-options-dev nlohmann-json3-dev)
ltrpTestPackages=(libboost-test-dev libgtest-dev)
ltrpPythonPackages=(python3-venv python3-dev)
ltrpInTreePackages=(g++ cmake ninja-build ccache python3-dev python3-numpy python3-pip nlohmann-json3-dev)

ltrpFail()
{
    echo "error: $*" >&2
    exit 1
}

# ltrpInstall PACKAGE...: installs those that are missing; asks apt for nothing when none is.
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
        # An unrelated source that does not answer need not stop us: installing will tell. A lock is waited for.
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
