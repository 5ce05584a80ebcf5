#!/usr/bin/env bash
# Installs Linewarden on a device, upgrades it, or takes it away. Needs no network.
#
#   sudo ./install.sh [OPTION ...]             install, or upgrade to the wheels beside this script
#   ./install.sh check                         only say what this system lacks
#   sudo ./install.sh rollback [--restart]     go back to the version before the upgrade
#   sudo ./install.sh uninstall [--purge]      records and configuration stay, unless --purge
#
# options:
#   --line NAME=FILE   make FILE the configuration of the line NAME, a service; may be repeated
#   --drop-in NAME     for these lines: csi, gige, ...; may be repeated (the device's own is added)
#   --panel            make the web pages of all lines a service
#   --restart          restart lines and panel, so that they run the installed version at once
#   --untried          go on, on a system that is not in the list of `check`
#
# `linewarden service wheelhouse` makes the folder of wheels with this script in it. Each version
# has a virtual environment of its own below /opt/linewarden-versions, and /opt/linewarden is a link
# to one of them. The link changes in one step, after the new version has taken the configuration
# of every line; before that, nothing of the old one has changed.

set -euo pipefail
umask 022

readonly LIVE=/opt/linewarden
readonly VERSIONS=/opt/linewarden-versions
readonly COMMAND=/usr/local/bin/linewarden
readonly DONE=.installed # in a complete environment
readonly SYSTEMD_SINCE=249
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly HERE

lines=() drop_ins=() with_panel=no restart=no untried=no purge=no

say() { printf '%s\n' "$*"; }

die() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}

usage() { sed -n '/^#   /s/^# //p' "${BASH_SOURCE[0]}"; }

# --- what the system is

jetpack() { # 6, 7, or nothing on other machines
  case $(head -n 1 /etc/nv_tegra_release 2>/dev/null || true) in
    '') ;;
    *R36*) say 6 ;;
    *R38*) say 7 ;;
    *) say unknown ;;
  esac
}

has_nvidia_card() { [[ -e /proc/driver/nvidia/version && -z $(jetpack) ]]; }

system() { # as debian-12-x86_64 or jetpack-6-aarch64
  if [[ -n $(jetpack) ]]; then
    say "jetpack-$(jetpack)-$(uname -m)"
  else
    (
      # shellcheck disable=SC1091 # a file of the device
      . /etc/os-release
      say "${ID:-unknown}-${VERSION_ID:-unknown}-$(uname -m)"
    )
  fi
}

from_lock() { # the value of a word in the head of the lock: python, platforms
  sed -n "1s/.*\\<$1=\\([^ ]*\\).*/\\1/p" "$HERE/requirements.lock"
}

needed_python() { command -v "python$(from_lock python)"; }

# Each problem is one line on standard output, with what mends it.
problems() {
  case $(system) in
    ubuntu-22.04-x86_64 | ubuntu-24.04-x86_64 | debian-1[23]-x86_64 | jetpack-[67]-aarch64) ;;
    *)
      [[ $untried == yes ]] || say "$(system): not among Ubuntu 22.04 and 24.04, Debian 12 and 13 (x86_64)," \
        "JetPack 6 and 7; go on with --untried"
      ;;
  esac
  if ! command -v systemctl >/dev/null || [[ ! -d /run/systemd/system ]]; then
    say "systemd does not run here; for a container see docs/guides/deployment.md"
  elif (($(systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p') < SYSTEMD_SINCE)); then
    say "systemd is older than $SYSTEMD_SINCE"
  fi
  wheel_problems
}

wheel_problems() {
  local file version python needed_kb free_kb
  for file in requirements.lock SHA256SUMS; do
    if [[ ! -f $HERE/$file ]]; then
      say "$HERE has no $file: gather the wheels with linewarden service wheelhouse"
      return
    fi
  done
  (cd "$HERE" && sha256sum --check --quiet --strict SHA256SUMS 2>&1) || say "$HERE: carry the folder over again"
  version=$(from_lock python)
  if ! python=$(needed_python); then
    say "no python$version: apt install python$version, or gather the wheels with --python" \
      "$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || say VERSION)"
  elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    say "python$version makes no virtual environments: apt install python$version-venv"
  fi
  [[ $(from_lock platforms) == *_$(uname -m)* ]] ||
    say "the wheels are for $(from_lock platforms), and this machine is $(uname -m)"
  needed_kb=$(($(du -sk "$HERE" | cut -f 1) * 5))
  free_kb=$(df --output=avail -k /opt | tail -n 1)
  ((free_kb > needed_kb)) || say "/opt has $((free_kb / 1024)) MB free, and needs $((needed_kb / 1024)) MB"
}

check() {
  local found
  found=$(problems)
  if [[ -n $found ]]; then
    say "$found" >&2
    die "nothing was changed"
  fi
  say "$(system), systemd $(systemctl --version | sed -n '1s/[^(]*(\(.*\)).*/\1/p'), $(needed_python): ready"
}

require_root() {
  [[ $EUID -eq 0 ]] || die "needs root: sudo $0"
  exec 9>/run/linewarden-install.lock
  flock --nonblock 9 || die "another install.sh runs"
}

# --- one version

# TensorRT of JetPack, GStreamer and Aravis are packages of the system.
wants_system_packages() {
  [[ -n $(jetpack) || " ${drop_ins[*]-} " =~ \ (csi|gige)\  ]] ||
    compgen -G '/etc/systemd/system/linewarden@*.service.d/csi.conf' >/dev/null ||
    compgen -G '/etc/systemd/system/linewarden@*.service.d/gige.conf' >/dev/null
}

works() { [[ -f $1/$DONE ]] && "$1/bin/linewarden" --version >/dev/null 2>&1; }

build() { # an environment at its final place, which only $DONE makes valid
  local target=$1 options=()
  [[ $target != *-system ]] || options=(--system-site-packages)
  rm -rf "$target"
  mkdir -p "$VERSIONS"
  # shellcheck disable=SC2064 # the target of now
  trap "rm -rf '$target'" EXIT
  "$(needed_python)" -m venv "${options[@]}" "$target"
  "$target/bin/python" -m pip --isolated --quiet --disable-pip-version-check install \
    --no-index --find-links "$HERE" --require-hashes --requirement "$HERE/requirements.lock"
  "$target/bin/linewarden" --version
  touch "$target/$DONE"
  trap - EXIT
}

adopt_folder() { # an environment made by hand; its commands find it through the link
  [[ -d $LIVE && ! -L $LIVE ]] || return 0
  touch "$LIVE/$DONE"
  mv "$LIVE" "$VERSIONS/by-hand"
  switch_to "$VERSIONS/by-hand"
}

switch_to() { # in one step: rename(2) of a link
  ln -sfn "$1" "$LIVE.new"
  mv -T "$LIVE.new" "$LIVE"
}

services() { # the lines and the panel that start with the device
  systemctl list-unit-files --no-legend 'linewarden-panel.service' | awk '$2 == "enabled" { print $1 }'
  local link
  for link in /etc/systemd/system/multi-user.target.wants/linewarden@*.service; do
    [[ -L $link ]] && basename "$link"
  done
  return 0
}

restart_services() {
  local unit
  for unit in $(services); do
    if [[ $restart == no ]]; then
      say "to run this version:  systemctl restart $unit"
    elif ! systemctl restart "$unit"; then
      say "$unit did not start: journalctl --unit $unit" >&2
      return 1
    fi
  done
}

# --- actions

install() {
  local target before
  check
  require_root
  target=$VERSIONS/$(sha256sum "$HERE/SHA256SUMS" | cut -c 1-12)
  ! wants_system_packages || target+=-system
  if works "$target"; then
    say "$target: built already"
  else
    build "$target"
  fi
  settle "$target" --dry-run >/dev/null || die "the version before goes on"
  adopt_folder
  before=$(readlink "$LIVE" || true)
  switch_to "$target"
  ln -sfn "$LIVE/bin/linewarden" "$COMMAND"
  if ! settle "$LIVE" || ! restart_services; then
    [[ -n $before ]] || die "installed, and not complete: mend the above, and run this again"
    [[ $before != "$target" ]] || die "installed, and not complete: mend the above, and run this again"
    go_back "$before"
    die "back to the version before; configurations given by --line stay as given now"
  fi
  if [[ $before != "$target" ]]; then
    remember "$before"
  fi
  "$LIVE/bin/linewarden" doctor
}

# Brings the files of all services to those of a version; with --dry-run it only asks whether that
# version takes the configuration of every line. `|| return`: in a condition set -e does not end.
settle() {
  local command=$1/bin/linewarden line words=("${@:2}")
  ((${#drop_ins[@]} == 0)) || words+=(--drop-in "${drop_ins[@]}")
  "$command" service update "${@:2}" || return
  for line in "${lines[@]}"; do
    "$command" service install "${line%%=*}" --config "${line#*=}" "${words[@]}" || return
  done
  [[ $with_panel == no || ${2-} == --dry-run ]] || "$command" service panel
}

go_back() {
  switch_to "$1"
  keep_going_with_older_files
  restart_services || true # it has said which one
}

# An older version may not know the command, or refuse a configuration that is mended for the newer one.
keep_going_with_older_files() {
  "$LIVE/bin/linewarden" service update || say "units and rules stay those of the newer version" >&2
}

# Keeps the version before, for `rollback`, and those that a process runs; removes older ones.
remember() {
  local folder
  ln -sfn "${1:-$(readlink "$LIVE")}" "$VERSIONS/previous"
  for folder in "$VERSIONS"/*/; do
    folder=${folder%/}
    [[ -L $folder || $folder == "$(readlink "$LIVE")" || $folder == "$1" ]] ||
      grep --quiet --no-messages --fixed-strings "$folder/" /proc/[0-9]*/maps || rm -rf "$folder"
  done
}

rollback() {
  local before now
  require_root
  before=$(readlink "$VERSIONS/previous" || true)
  now=$(readlink "$LIVE" || true)
  [[ -n $before && $before != "$now" ]] || die "there is no version before this one"
  works "$before" || die "$before does not work"
  switch_to "$before"
  ln -sfn "$now" "$VERSIONS/previous"
  keep_going_with_older_files
  restart_services
}

uninstall() {
  require_root
  if [[ -x $LIVE/bin/linewarden ]]; then
    works "$LIVE" || die "$LIVE does not work, as after an upgrade of the system's Python: install once more, then uninstall"
    "$LIVE/bin/linewarden" service remove --all
  elif [[ $purge == no ]]; then
    die "$LIVE: nothing is installed"
  fi
  [[ $(readlink "$COMMAND") != "$LIVE/bin/linewarden" ]] || rm "$COMMAND"
  rm -rf "$LIVE" "$VERSIONS" /run/linewarden /run/linewarden-install.lock
  if [[ $purge == yes ]]; then
    rm -rf /etc/linewarden /var/lib/linewarden /var/lib/linewarden-panel
    for user in linewarden-panel linewarden; do
      ! getent passwd "$user" >/dev/null || userdel "$user"
    done
    say "removed with its records; files below /srv are yours"
  else
    say "removed; /etc/linewarden, /var/lib/linewarden, their users, and files below /srv stay"
  fi
}

# --- words of the command

action=install
case ${1-} in
  install | check | rollback | uninstall)
    action=$1
    shift
    ;;
esac
while (($#)); do
  case $action:$1 in
    install:--line)
      [[ ${2-} == ?*=?* ]] || die "--line: NAME=FILE"
      [[ -f ${2#*=} ]] || die "--line $2: no such file"
      lines+=("$2")
      shift
      ;;
    install:--drop-in)
      [[ -n ${2-} ]] || die "--drop-in: NAME"
      drop_ins+=("$2")
      shift
      ;;
    install:--panel) with_panel=yes ;;
    install:--restart | rollback:--restart) restart=yes ;;
    install:--untried | check:--untried) untried=yes ;;
    uninstall:--purge) purge=yes ;;
    *:--help | *:-h)
      usage
      exit
      ;;
    *) die "$action: unknown word $1; see --help" ;;
  esac
  shift
done
case $(jetpack) in 6 | 7) drop_ins+=("jetpack$(jetpack)") ;; esac
! has_nvidia_card || drop_ins+=(nvidia-x86)
"$action"
