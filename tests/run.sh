#!/usr/bin/env bash
# Runs the whole suite: everything but the window tests, then these, each process on a virtual screen of its own
# (pytest-xvfb opens it).
# System libraries that a window needs are installed where that is allowed; elsewhere the window tests are skipped
# and say which libraries are missing.
set -u
bin=.venv/bin
libraries=(xvfb libegl1 libgl1 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0
    libxcb-image0 libxcb-randr0 libxcb-render-util0 libxcb-xinerama0 libdbus-1-3 libfontconfig1 libglib2.0-0)

install_libraries() {
    command -v apt-get >/dev/null || return 1
    command -v dpkg-query >/dev/null && dpkg-query -W "${libraries[@]}" >/dev/null 2>&1 && return 0
    local sudo=()
    [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null && sudo=(sudo -n) || return 1; }
    "${sudo[@]}" apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
        "${sudo[@]}" apt-get install -qq -y --no-install-recommends "${libraries[@]}" >/dev/null
}

install_libraries || echo "Could not install the libraries for a window (${libraries[*]}): window tests will be skipped"

status=0
tests=("$bin/python" -m pytest -n auto --dist loadfile)
QT_QPA_PLATFORM=offscreen "${tests[@]}" --no-xvfb -m "not window" "$@" || status=$?
QT_QPA_PLATFORM=xcb "${tests[@]}" -m window "$@" || status=$?
exit "$status"
