#!/bin/sh
# Builds the TensorRT engines of @TARGET@ on the device itself, and times them there. Needs what JetPack
# brings (trtexec and a POSIX shell with coreutils), and changes nothing but the folder it writes to.
# Made by edgetune @EDGETUNE@ for TensorRT @VERSION@.
#
#   sh build_on_device.sh                 all engines
#   sh build_on_device.sh float int8      only these
#
#   TRTEXEC=/path/to/trtexec    another one than in PATH or @JETPACK_TRTEXEC@
#   WORKSPACE_MB=512            memory for the builder; left out: a quarter of what is free, 2048 at most
#   OUT=engines                 folder for engines, times and logs
#
# Exit codes: 0 all built, 1 an engine could not be built, 2 trtexec or a file is missing or altered,
# 3 the device has another family of TensorRT than the files are made for.
set -u

say() { printf '%s\n' "$*"; }
stop() { # code message [what to do]
    printf 'error: %s\n' "$2" >&2
    [ $# -lt 3 ] || printf '  %s\n' "$3" >&2
    exit "$1"
}

candidates() { # name, precision, sha256 of the ONNX file
    cat <<'END'
@CANDIDATES@
END
}

wanted() { # whether candidate $1 is among the arguments $2...; without any, all are
    [ $# -gt 1 ] || return 0
    name=$1
    shift
    for one; do
        [ "$one" != "$name" ] || return 0
    done
    return 1
}

find_trtexec() {
    if [ -n "${TRTEXEC:-}" ]; then
        trtexec=$(command -v "$TRTEXEC") || stop 2 "TRTEXEC=$TRTEXEC is no program"
    elif trtexec=$(command -v trtexec); then
        :
    elif [ -x @JETPACK_TRTEXEC@ ]; then
        trtexec=@JETPACK_TRTEXEC@
    else
        stop 2 "trtexec is not in PATH and not at @JETPACK_TRTEXEC@" \
            "on a Jetson: sudo apt install nvidia-jetpack; elsewhere set TRTEXEC=/path/to/trtexec"
    fi
    case $trtexec in
    /*) ;;
    *) trtexec=$PWD/$trtexec ;;
    esac
}

check_version() { # trtexec begins with [TensorRT v8602], [TensorRT v100300] or [TensorRT v11.1.0.106]
    version=$("$trtexec" --help 2>&1 </dev/null | sed -n 's/.*\[TensorRT v\([0-9][0-9.]*\)\].*/\1/p' | sed -n 1p)
    case $version in
    '') stop 2 "$trtexec does not say which TensorRT it is of" "try: $trtexec --help" ;;
    *.*)
        major=${version%%.*}
        minor=${version#*.}
        minor=${minor%%.*}
        ;;
    ?????*)
        major=$((version / 10000))
        minor=$((version / 100 % 100))
        ;;
    *)
        major=$((version / 1000))
        minor=$((version / 100 % 10))
        ;;
    esac
    [ "$major" = @FAMILY@ ] || stop 3 \
        "the files are made for TensorRT @FAMILY@.x (@VERSION@), and this device has $major.$minor" \
        "on the desk: set version = \"$major.$minor\" under [backend_options] of the target, and build again"
    say "TensorRT $major.$minor: $trtexec"
    [ "$major.$minor" = @VERSION@ ] || say "  (the files were validated for @VERSION@, of the same family)"
}

check_files() {
    for one; do
        candidates | cut -d ' ' -f 1 | grep -qxF -e "$one" ||
            stop 2 "there is no candidate $one" "there are: $(candidates | cut -d ' ' -f 1 | tr '\n' ' ')"
    done
    while read -r name precision digest; do
        wanted "$name" "$@" || continue
        [ -f "$name.onnx" ] || stop 2 "$name.onnx is not here" "copy the whole folder to the device"
        [ "$(sha256sum <"$name.onnx" | cut -c 1-64)" = "$digest" ] ||
            stop 2 "$name.onnx is not the file that was made for this script" "copy the whole folder again"
    done <<END
$(candidates)
END
}

choose_workspace() {
    workspace=${WORKSPACE_MB:-$(awk '/^MemAvailable:/ { m = int($2 / 4096); print(m > 2048 ? 2048 : m) }' /proc/meminfo)}
    case $workspace in
    '' | *[!0-9]* | 0) stop 2 "WORKSPACE_MB=$workspace is not a number of MiB" ;;
    esac
}

describe_device() { # what the times depend on; what cannot be told is unknown
    say "date: $(date -u +%Y-%m-%dT%H:%M:%SZ)"
    say "model: $( (tr -d '\000' </proc/device-tree/model) 2>/dev/null || say unknown)"
    say "jetson linux: $( (sed -n 1p /etc/nv_tegra_release) 2>/dev/null || say unknown)"
    say "kernel: $(uname -srm)"
    say "tensorrt: $major.$minor ($version)"
    say "power mode: $( (nvpmodel -q 2>/dev/null || say unknown) | tr '\n' ' ')"
    say "workspace: $workspace MiB"
}

build() { # name precision
    name=$1
    case $2 in
@PRECISIONS@
    *) stop 2 "precision $2 is not known" ;;
    esac
    for old in plan plan.sha256 times.json layers.json profile.json; do
        rm -f "$out/$name.$old"
    done
    say "$name: building, which takes minutes (log: $out/$name.log)"
    if ! @COMMAND@ "$@" >"$out/$name.log" 2>&1 </dev/null; then
        say "$name: FAILED"
        sed -n '/\[E\]/p' "$out/$name.log" | sed -n '1,5s/^/  /p'
        return 1
    fi
    for made in plan times.json layers.json; do
        [ -s "$out/$name.$made" ] || {
            say "$name: FAILED: trtexec ended well but wrote no $out/$name.$made"
            return 1
        }
    done
    (cd "$out" && sha256sum "$name.plan" >"$name.plan.sha256")
    median=$(sed -n 's/.*\] GPU Compute Time: .*median = \([0-9.]*\) ms.*/\1/p' "$out/$name.log" | sed -n 1p)
    say "$name: $(wc -c <"$out/$name.plan" | tr -d ' ') bytes, median GPU time ${median:-unknown} ms"
}

find_trtexec
case ${OUT:-} in
    "") out=engines ;; # beside this script
    /*) out=$OUT ;;
    *) out=$PWD/$OUT ;;
esac
cd -- "$(dirname -- "$0")" || exit 2
check_version
check_files "$@"
choose_workspace
mkdir -p -- "$out" || exit 2
describe_device >"$out/device.txt"

failed=
while read -r each precision digest; do
    wanted "$each" "$@" || continue
    build "$each" "$precision" || failed="$failed $each"
done <<END
$(candidates)
END

[ -z "$failed" ] || stop 1 "not built:$failed" "the whole log of each is in $out; please report it with $out/device.txt"
say "Built in $out. These are trtexec's times in the device's present power mode; accuracy was not measured."
say "On the desk: edgetune device-times $out"
