# shellcheck shell=bash
# What the scripts of this directory share: packages, building, servers of
# their own, cleaning up.
#
# A script sets "set -euo pipefail", sources this file and calls fg_begin.
# From then on everything it makes lies in the directory $FG_TMP, and whatever
# ends the script (success, error, Ctrl-C), the servers and background
# processes that were started through this file are stopped and $FG_TMP is
# removed.  Servers listen on a socket in that directory only, so they never
# meet another server of the machine.
#
# PostgreSQL does not run as root.  As root the servers run as the user
# postgres, which the server's package makes; otherwise as whoever calls.

FG_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
FG_TMP=
FG_RUN_AS=()
FG_SERVERS=()
FG_PIDS=()
FG_DROP_IN=
FG_POLICY=

# a server's port only names its socket
FG_NEXT_PORT=54320

say()
{
	printf '%s\n' "$*"
}

fail()
{
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

#---------------------------------------------------------------------------
# Beginning and end
#---------------------------------------------------------------------------

fg_begin()
{
	local base=${TMPDIR:-/tmp}

	# before the working directory changes
	[ -z "${FG_CACHE:-}" ] || FG_CACHE=$(realpath -m "$FG_CACHE")
	# a socket's path has room for some hundred characters only
	[ ${#base} -le 40 ] || base=/tmp
	FG_TMP=$(mktemp -d "$base/fortress_guard.XXXXXX")
	chmod 755 "$FG_TMP"
	trap fg_end EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	# where the servers' user may be too
	cd "$FG_TMP" || exit 1
}

fg_end()
{
	local status=$?
	local pid data

	trap - EXIT
	set +e
	for pid in ${FG_PIDS[@]+"${FG_PIDS[@]}"}; do
		kill "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	for data in ${FG_SERVERS[@]+"${FG_SERVERS[@]}"}; do
		if [ -e "$data/postmaster.pid" ]; then
			fg_as "$FG_BINDIR/pg_ctl" -D "$data" -m immediate -w stop >/dev/null 2>&1
		fi
	done
	fg_drop_in_remove
	if [ -n "$FG_TMP" ]; then
		cd / && rm -rf "$FG_TMP"
	fi
	exit "$status"
}

# Remembers a background process, so that fg_end stops it.
fg_track()
{
	FG_PIDS+=("$1")
}

# Runs a command as the user that the servers belong to.
fg_as()
{
	${FG_RUN_AS[@]+"${FG_RUN_AS[@]}"} "$@"
}

# Runs a command as root.
fg_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		fail "this needs root: $* (there is no sudo here; run it as root, then try again)"
	fi
}

#---------------------------------------------------------------------------
# Packages
#---------------------------------------------------------------------------

# Installing a server makes Debian start a cluster "main", and installing
# another service starts that.  Nobody asked for them here: a drop-in and a
# policy switch that off while we install.
fg_drop_in_make()
{
	local dir=/etc/postgresql-common/createcluster.d
	local policy=/usr/sbin/policy-rc.d

	if [ ! -e "$policy" ]; then
		FG_POLICY=$policy
		printf '#!/bin/sh\nexit 101\n' | fg_root tee "$policy" >/dev/null
		fg_root chmod 755 "$policy"
	fi
	[ -e "$dir/zz_fortress_guard.conf" ] && return
	fg_root mkdir -p "$dir"
	FG_DROP_IN=$dir/zz_fortress_guard.conf
	echo 'create_main_cluster = false' | fg_root tee "$FG_DROP_IN" >/dev/null
}

fg_drop_in_remove()
{
	if [ -n "$FG_DROP_IN" ]; then
		fg_root rm -f "$FG_DROP_IN"
		FG_DROP_IN=
	fi
	if [ -n "$FG_POLICY" ]; then
		fg_root rm -f "$FG_POLICY"
		FG_POLICY=
	fi
}

# Newest version from 15 on whose binaries are here, but 15 if it is one of them.
fg_installed_version()
{
	local dir version best=

	for dir in /usr/lib/postgresql/*/; do
		version=$(basename "$dir")
		[[ $version =~ ^[0-9]+$ ]] && [ "$version" -ge 15 ] || continue
		[ -x "$dir/bin/postgres" ] || continue
		if [ "$version" = 15 ]; then
			best=15
			break
		fi
		if [ -z "$best" ] || [ "$version" -gt "$best" ]; then
			best=$version
		fi
	done
	echo "$best"
}

# The same of what apt could install.
fg_available_version()
{
	apt-cache pkgnames postgresql-server-dev- 2>/dev/null |
		sed -n 's/^postgresql-server-dev-\([0-9]*\)$/\1/p' |
		sort -n | awk '$1 == 15 { found = 1 } $1 >= 15 { best = $1 }
			END { if (found) print 15; else if (best) print best }'
}

# fg_need [TOOL...]: everything to build and to run a server, and the programs
# named, is there afterwards.
fg_need()
{
	local missing=() tool version=

	for tool in gcc make perl "$@"; do
		command -v "$tool" >/dev/null || missing+=("$(fg_package_of "$tool")")
	done
	perl -MIPC::Run -e1 2>/dev/null || missing+=(libipc-run-perl)
	perl -MTest::More -e1 2>/dev/null || missing+=(perl)

	if [ -z "${PG_CONFIG:-}" ]; then
		version=$(fg_installed_version)
		if [ -z "$version" ]; then
			missing+=(postgresql-server)
		else
			[ -f "/usr/lib/postgresql/$version/lib/pgxs/src/makefiles/pgxs.mk" ] ||
				missing+=("postgresql-server-dev-$version")
		fi
	fi

	if [ ${#missing[@]} -gt 0 ]; then
		fg_install "${missing[@]}"
	fi
	fg_choose
}

fg_package_of()
{
	case $1 in
		gcc) echo gcc libc6-dev ;;
		prove) echo perl ;;
		nm) echo binutils ;;
		*) echo "$1" ;;
	esac
}

fg_install()
{
	local wanted=() package version names

	command -v apt-get >/dev/null ||
		fail "missing: $* (only Debian's apt is known here; install them by hand, and set PG_CONFIG)"
	say "installing: $*"
	fg_root apt-get update -qq
	for package in "$@"; do
		if [ "$package" = postgresql-server ]; then
			version=$(fg_available_version)
			[ -n "$version" ] || fail "apt knows no PostgreSQL from version 15 on"
			wanted+=("postgresql-$version" "postgresql-server-dev-$version")
		else
			# one entry may name several packages
			read -r -a names <<<"$package"
			wanted+=("${names[@]}")
		fi
	done
	fg_drop_in_make
	fg_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends "${wanted[@]}" >"$FG_TMP/apt.log" 2>&1 || {
		tail -n 20 "$FG_TMP/apt.log" >&2
		fail "apt could not install: ${wanted[*]}"
	}
	fg_drop_in_remove
}

# Sets PG_CONFIG, FG_BINDIR and FG_PGXS (the directory of PostgreSQL's test tools).
# shellcheck disable=SC2034
fg_choose()
{
	local version

	if [ -z "${PG_CONFIG:-}" ]; then
		version=$(fg_installed_version)
		PG_CONFIG=/usr/lib/postgresql/$version/bin/pg_config
	fi
	export PG_CONFIG
	[ -x "$(command -v "$PG_CONFIG")" ] || fail "cannot run PG_CONFIG, which is \"$PG_CONFIG\""
	FG_BINDIR=$("$PG_CONFIG" --bindir)
	FG_PGXS=$(cd "$(dirname "$("$PG_CONFIG" --pgxs)")/../.." && pwd)
	[ -x "$FG_BINDIR/postgres" ] || fail "there is no server in $FG_BINDIR"
	PATH=$FG_BINDIR:$PATH
	export PATH

	if [ "$(id -u)" = 0 ]; then
		id postgres >/dev/null 2>&1 ||
			fail "PostgreSQL does not run as root, and there is no user postgres to run it as"
		FG_RUN_AS=(runuser -u postgres --)
	fi
}

#---------------------------------------------------------------------------
# PostgreSQL's source
#---------------------------------------------------------------------------

# fg_source: sets FG_MINOR, the server's version; FG_MAJOR; and FG_SOURCE, the
# directory with the source of the same version, if Debian's source package of
# it is to be had, or else the nearest: orig.tar.*, and beside it bin/psql if
# the versions differ.  It is kept in the directory FG_CACHE, if that is set.
#
# An older suite of tests is not made for a newer psql: one that has learnt to
# skip the lines after a COPY FROM STDIN that failed skips half of "privileges"
# and of "alter_table", where older suites have no line that ends the data.
fg_source()
{
	local version prepared=
	local cache=${FG_CACHE:-$FG_TMP/cache} apt=$FG_TMP/apt

	FG_MINOR=$("$FG_BINDIR/postgres" --version | sed -E 's/^[^0-9]*([0-9.]+).*/\1/')
	FG_MAJOR=${FG_MINOR%%.*}
	command -v bzip2 >/dev/null || fg_install bzip2
	mkdir -p "$cache" "$apt"
	: >"$apt/log"
	[ -n "$(fg_source_versions)" ] || {
		say "# apt's lists are empty: apt-get update"
		(fg_root apt-get update -qq) >>"$apt/log" 2>&1 || true
	}
	for version in $(fg_source_versions); do
		FG_SOURCE=$cache/source-$version
		[ ! -d "$FG_SOURCE" ] || return 0
		if [ -z "$prepared" ]; then
			fg_source_lists || break
			# a place without sources is no reason to give up the others
			fg_source_apt update || true
			prepared=yes
		fi
		if fg_source_download "$version"; then
			return
		fi
		say "# there is no source package postgresql-$FG_MAJOR $version to be had"
	done
	for FG_SOURCE in "$cache/source-$FG_MAJOR".*; do
		[ ! -d "$FG_SOURCE" ] || return 0
	done
	tail -n 20 "$apt/log" >&2
	fail "PostgreSQL's source package is neither in apt's reach nor in FG_CACHE"
}

# The versions of Debian's package that apt knows, one a line: those of the
# server's minor version first, then the newest first.
fg_source_versions()
{
	apt-cache madison "postgresql-$FG_MAJOR" 2>/dev/null |
		awk -F ' *[|] *' '$3 ~ /Packages$/ { print $2 }' | awk '!seen[$0]++' |
		awk -v wanted="$FG_MINOR" 'index($0, wanted "-") == 1 { print; next } { other[++n] = $0 }
			END { for (i = 1; i <= n; i++) print other[i] }'
}

# The machine's own places of packages, turned into places of sources, in a
# directory that apt is pointed to.  The machine's lists stay as they are.
fg_source_lists()
{
	local file uris n=0

	mkdir -p "$apt/parts" "$apt/lists/partial" "$apt/cache/archives/partial"
	uris=$(apt-cache madison "postgresql-$FG_MAJOR" 2>/dev/null |
		sed -nE 's,^.*\| *([a-z+]+:[^ ]+) .* Packages$,\1,p' | sort -u)
	[ -n "$uris" ] || return 1
	for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
		[ -r "$file" ] || continue
		grep -qF "$uris" "$file" || continue
		n=$((n + 1))
		case $file in
			*.sources) sed -E 's/^Types:.*/Types: deb-src/' "$file" >"$apt/parts/$n.sources" ;;
			*) sed -nE 's/^[ \t]*deb[ \t]+/deb-src /p' "$file" >"$apt/parts/$n.list" ;;
		esac
	done
	[ $n -gt 0 ]
}

fg_source_apt()
{
	(cd "$apt" && apt-get -q -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$apt/parts" \
		-o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt/cache" \
		-o Acquire::Retries=2 -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30 "$@") >>"$apt/log" 2>&1
}

# fg_source_download VERSION
fg_source_download()
{
	local new=$cache/new.$$

	rm -rf "$new"
	mkdir -p "$new"
	fg_source_apt source --download-only --tar-only "postgresql-$FG_MAJOR=$1" || return 1
	mv "$apt"/postgresql-*"${1%%-*}".orig.tar.* "$new" || return 1
	if [ "${1%%-*}" != "$FG_MINOR" ]; then
		(cd "$apt" && apt-get -q download "postgresql-client-$FG_MAJOR=$1" &&
			dpkg-deb -x "postgresql-client-${FG_MAJOR}"_*.deb client &&
			mkdir "$new/bin" && cp "client/usr/lib/postgresql/$FG_MAJOR/bin/psql" "$new/bin") >>"$apt/log" 2>&1 ||
			rm -rf "${new:?}/bin"
	fi
	mv "$new" "$cache/source-$1"
}

# fg_source_unpack DIRECTORY [PART]: what is in the source, or in this directory of it
fg_source_unpack()
{
	local part=${2:-}

	if [ -z "$part" ]; then
		tar -x -f "$FG_SOURCE"/*.orig.tar.* -C "$1" --strip-components=1
	else
		tar -x -f "$FG_SOURCE"/*.orig.tar.* -C "$1" --strip-components="$(($(tr -cd / <<<"$part" | wc -c) + 2))" \
			--wildcards "*/$part"
	fi
}

#---------------------------------------------------------------------------
# Building
#---------------------------------------------------------------------------

# fg_make TARGET...: make in the tree.  Bitcode for the JIT compiler is left
# out: a library of hooks gains nothing by it.
fg_make()
{
	make -C "$FG_ROOT" --no-print-directory PG_CONFIG="$PG_CONFIG" with_llvm=no "$@"
}

# Objects that were built for another server are thrown away.
fg_make_fresh()
{
	local stamp=$FG_ROOT/.built_for version

	version="$("$PG_CONFIG" --version) $("$PG_CONFIG" --pkglibdir)"
	if [ "$(cat "$stamp" 2>/dev/null)" != "$version" ]; then
		fg_make clean >/dev/null
		echo "$version" >"$stamp"
	fi
}

# Builds and installs; quiet unless something is wrong.
fg_build()
{
	fg_make_fresh
	fg_make all >"$FG_TMP/build.log" 2>&1 || {
		cat "$FG_TMP/build.log" >&2
		fail "it does not build"
	}
	fg_make_install
}

fg_make_install()
{
	local target

	target=$("$PG_CONFIG" --pkglibdir)
	if [ -w "$target" ]; then
		fg_make install >"$FG_TMP/install.log" 2>&1
	else
		fg_root make -C "$FG_ROOT" --no-print-directory PG_CONFIG="$PG_CONFIG" with_llvm=no \
			install >"$FG_TMP/install.log" 2>&1
	fi || {
		cat "$FG_TMP/install.log" >&2
		fail "it could not be installed into $target"
	}
}

#---------------------------------------------------------------------------
# Servers
#---------------------------------------------------------------------------

# fg_server_init NAME [SETTING...]: a new cluster in $FG_TMP/NAME, with lines
# of postgresql.conf, and those of FG_SETTINGS.  Clusters after the first are
# copies of the first.
fg_server_init()
{
	local dir=$FG_TMP/$1
	local template=$FG_TMP/template

	shift
	if [ ! -d "$template" ]; then
		mkdir "$template" && chmod 700 "$template"
		fg_own "$template"
		fg_as "$FG_BINDIR/initdb" -D "$template" -U postgres -A trust -E UTF8 --locale=C \
			--no-sync --no-instructions >"$FG_TMP/initdb.log" 2>&1 || {
			cat "$FG_TMP/initdb.log" >&2
			fail "initdb failed"
		}
	fi
	mkdir -p "$dir"
	cp -a "$template" "$dir/data"
	fg_own "$dir"
	{
		echo "listen_addresses = ''"
		echo "unix_socket_directories = '$dir'"
		echo "port = $FG_NEXT_PORT"
		echo "fsync = off"
		echo "log_line_prefix = '%m [%p] %e %q%u@%d '"
		echo "lc_messages = 'C'"
		printf '%s\n' "$@" "${FG_SETTINGS:-}"
	} >>"$dir/data/postgresql.conf"
	echo "$FG_NEXT_PORT" >"$dir/port"
	FG_NEXT_PORT=$((FG_NEXT_PORT + 1))
}

fg_own()
{
	[ "$(id -u)" != 0 ] || chown postgres: "$1"
}

# fg_server_start NAME, fg_server_stop NAME [MODE]
fg_server_start()
{
	local dir=$FG_TMP/$1

	FG_SERVERS+=("$dir/data")
	fg_as "$FG_BINDIR/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 60 start >"$FG_TMP/pg_ctl.log" 2>&1 || {
		tail -n 30 "$dir/log" >&2
		fail "the server $1 did not start"
	}
	fg_server_use "$1"
}

fg_server_stop()
{
	fg_as "$FG_BINDIR/pg_ctl" -D "$FG_TMP/$1/data" -m "${2:-fast}" -w -t 120 stop >"$FG_TMP/pg_ctl.log" 2>&1
}

# What is called from now on talks to this server, as its superuser.
fg_server_use()
{
	export PGHOST=$FG_TMP/$1
	export PGUSER=postgres PGDATABASE=postgres
	PGPORT=$(cat "$FG_TMP/$1/port")
	export PGPORT
	unset PGSERVICE PGPASSWORD PGOPTIONS PGAPPNAME
	export PGCONNECT_TIMEOUT=30 PGTZ=UTC PGCLIENTENCODING=UTF8
}

# fg_sql DATABASE [psql's arguments]: rows and nothing else; an error ends it.
fg_sql()
{
	local database=$1

	shift
	psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$database" "$@"
}

# fg_one DATABASE SQL: the one value that a query gives.
fg_one()
{
	fg_sql "$1" -c "$2"
}
