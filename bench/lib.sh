# shellcheck shell=bash
# What the commands of this directory share: the packages they need, the three
# servers, and handing over to Python.
#
# A command sources this file and calls bench MODULE ARGUMENT...; the module
# (a file of this directory) measures and prints.  The servers come from one
# initdb and have the same settings:
#
#	plain	nothing preloaded
#	guarded	preloads fortress_guard
#	audited	preloads pgaudit, if the server has it
#
# They lie in a directory of their own, which is removed at the end, whatever
# ends the command.  Python starts and stops them.

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

# Large enough for the tables to stay in memory; nothing works by itself in
# between; commits do not wait for the disk (that is the disk's speed); the
# files of the log are used again, as on a server that has run for a while.
bench_settings=("autovacuum = off" "shared_buffers = 512MB" "max_wal_size = 16GB" "min_wal_size = 4GB"
	"checkpoint_timeout = 1h" "wal_level = minimal" "max_wal_senders = 0" "maintenance_work_mem = 256MB" "jit = off"
	"max_parallel_workers_per_gather = 0" "log_min_messages = warning" "max_connections = 1100"
	"max_locks_per_transaction = 256")

# bench_library NAME PACKAGE: is there an extension of this name, after trying
# to install it where the server is the distribution's own?
bench_library()
{
	local control version
	control=$("$PG_CONFIG" --sharedir)/extension/$1.control
	version=$("$PG_CONFIG" --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')

	if [ ! -e "$control" ] && [ "${control%/*/*}" = "/usr/share/postgresql/$version" ] &&
		apt-cache show "postgresql-$version-$2" >/dev/null 2>&1; then
		(fg_install "postgresql-$version-$2") >&2 || true
	fi
	[ -e "$control" ]
}

# bench MODULE ARGUMENT...
bench()
{
	local module=$1 extensions=() server settings missing=() status=0

	shift
	# a wrong option or --help needs no server
	if command -v "$(bench_python)" >/dev/null; then
		"$(bench_python)" -B "$FG_ROOT/bench/$module.py" --check "$@" || exit $?
		case " $* " in
			*' --help '*|*' -h '*) exit 0 ;;
		esac
	fi

	fg_begin
	[ -x "$(command -v python3)" ] || missing+=(python3)
	case " $* " in
		*' --no-instructions '*) ;;
		*) missing+=(valgrind) ;;
	esac
	fg_need ${missing[@]+"${missing[@]}"} >&2
	fg_build >&2
	for server in pgaudit:pgaudit periods:periods table_log:tablelog; do
		if bench_library "${server%:*}" "${server#*:}"; then
			extensions+=("${server%:*}")
		fi
	done
	for server in plain guarded audited; do
		settings=("${bench_settings[@]}")
		case $server in
			guarded) settings+=("shared_preload_libraries = 'fortress_guard'") ;;
			audited) [[ " ${extensions[*]} " == *' pgaudit '* ]] || continue
				settings+=("shared_preload_libraries = 'pgaudit'" "pgaudit.log = 'write, ddl'") ;;
		esac
		fg_server_init $server "${settings[@]}"
		# Python starts it; fg_end stops it, if it runs
		FG_SERVERS+=("$FG_TMP/$server/data")
	done
	FG_EXTENSIONS=${extensions[*]-}
	FG_OWNER=
	[ ${#FG_RUN_AS[@]} = 0 ] || FG_OWNER=postgres
	export FG_TMP FG_BINDIR FG_OWNER FG_EXTENSIONS
	# behind the trap's back, so that Ctrl-C ends it at once
	"$(bench_python)" -B "$FG_ROOT/bench/$module.py" "$@" &
	fg_track $!
	wait $! || status=$?
	# gone: its number may be somebody else's by now
	FG_PIDS=()
	return $status
}

# the system's own, if it has one
bench_python()
{
	if [ -x /usr/bin/python3 ]; then
		echo /usr/bin/python3
	else
		echo python3
	fi
}
