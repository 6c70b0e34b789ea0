/*-------------------------------------------------------------------------
 *
 * fg_budget.c
 *		Windows: how many rows of a table went in the last interval, over all
 *		sessions, in shared memory.
 *
 * A limit per interval has to be exact while many sessions delete at once, and
 * cheap for each of them.  So rows are reserved in their window before the
 * transaction ends: what is used and what is reserved together never exceed
 * the limit, in whatever order the transactions end.  The end of the
 * transaction turns its reservations into use or takes them back, each window
 * in one step under its lock, so that no row is ever counted nowhere.
 *
 * The table itself is in fg_budget_window.c, the file in fg_budget_file.c;
 * this file has the transaction's side.  It remembers what the running
 * transaction holds in each window, by savepoint, in a small chained hash
 * table that costs nothing to set up, as most transactions touch one or two
 * windows.  Memory is allocated before shared memory is changed: in the abort
 * path, which gives everything back, nothing may fail.
 *
 * Locks: a window's fields are read and changed under its partition's lock
 * (see fg_budget_window.c), of which never more than one is held here.
 * Reservations are local to the backend.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "common/int.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "fg_budget.h"
#include "fg_budget_file.h"
#include "fg_budget_window.h"
#include "fg_client.h"
#include "fg_counter.h"
#include "fg_xact.h"

#define N_CHAINS			256
#define N_RECENT			16	/* windows whose hash is kept at hand */

/* what the running transaction has reserved in one window */
typedef struct FgReservation
{
	FgWindowKey key;
	uint32		hashcode;
	FgWindow   *window;			/* pinned; NULL: not yet */
	FgCounter	held;			/* rows, by savepoint */
	int64		stuck;			/* of them: rows of refused statements */
	struct FgReservation *chain;	/* next with the same place in chains[] */
	struct FgReservation *next; /* next of this transaction */
} FgReservation;

/* reservations of this transaction: the first one, others in TopTransactionContext */
static FgReservation *reservations = NULL;
static FgReservation first_reservation;
static FgReservation *chains[N_CHAINS];

static void require_shared(void);
static FgReservation *reservation_find(const FgWindowKey *key, uint32 hashcode);
static FgReservation *reservation_get(const FgWindowKey *key);
static void reservation_rolled_back(FgCounter *counter, int64 amount);
static void reservations_settle(bool keep);
static void budget_xact(XactEvent event);
static void save_at_exit(int code, Datum arg);

static void
require_shared(void)
{
	if (fg_budget_shared == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("fortress_guard must be loaded through shared_preload_libraries")));
}

/*
 * The key of a window for the current session.  The role is the session
 * user, so that SET ROLE opens no second window.  A client on this machine can
 * choose among millions of loopback addresses, so they are all one client.
 */
void
fg_budget_key(FgWindowKey *key, Oid relid, FgOperation op, FgBy by, int64 interval)
{
	static const uint8 local[FG_ADDRESS_LENGTH] =
	{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};
	static const uint8 local6[FG_ADDRESS_LENGTH] = {0};	/* the /64 of ::1 */

	StaticAssertStmt(sizeof(key->who) == FG_ADDRESS_LENGTH, "an address fits into a key");

	memset(key, 0, sizeof(*key));
	key->database = MyDatabaseId;
	key->relid = relid;
	key->interval = interval;
	key->op = (uint8) op;
	key->by = (uint8) by;

	if (by == FG_BY_ROLE)
	{
		Oid			role = GetSessionUserId();

		memcpy(key->who, &role, sizeof(role));
	}
	else if (by == FG_BY_CLIENT)
	{
		fg_client_address(key->who);
		if (memcmp(key->who, local, 13) == 0 ||
			memcmp(key->who, local6, sizeof(local6)) == 0)
			memcpy(key->who, local, sizeof(local));
	}
}

/* memcmp() for what a transaction asks most: a key is five words. */
static inline bool
same_key(const FgWindowKey *a, const FgWindowKey *b)
{
	const uint64 *x = (const uint64 *) a;
	const uint64 *y = (const uint64 *) b;

	StaticAssertStmt(sizeof(FgWindowKey) == 5 * sizeof(uint64), "a key is five words");
	return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4])) == 0;
}

static FgReservation *
reservation_find(const FgWindowKey *key, uint32 hashcode)
{
	FgReservation *reservation;

	for (reservation = chains[hashcode % N_CHAINS];
		 reservation != NULL;
		 reservation = reservation->chain)
	{
		if (reservation->hashcode == hashcode && same_key(&reservation->key, key))
			break;
	}
	return reservation;
}

/* Most sessions ask for the same few windows again and again. */
static uint32
window_hash(const FgWindowKey *key)
{
	static struct
	{
		FgWindowKey key;
		uint32		hash;
		bool		known;
	}			recent[N_RECENT];
	int			place = murmurhash32(key->relid ^ (uint32) key->interval ^ (key->op << 8) ^ key->by) % N_RECENT;

	if (!recent[place].known || !same_key(&recent[place].key, key))
	{
		recent[place].hash = get_hash_value(fg_windows, key);
		recent[place].key = *key;
		recent[place].known = true;
	}
	return recent[place].hash;
}

static FgReservation *
reservation_get(const FgWindowKey *key)
{
	FgReservation *reservation;
	uint32		hashcode;

	/* the transaction's first is mostly the one that the last transaction had */
	if (reservations == NULL && same_key(&first_reservation.key, key))
		hashcode = first_reservation.hashcode;
	else
	{
		hashcode = window_hash(key);
		reservation = reservation_find(key, hashcode);
		if (reservation != NULL)
			return reservation;
	}

	if (reservations == NULL)
		reservation = &first_reservation;
	else
		reservation = (FgReservation *) MemoryContextAlloc(TopTransactionContext,
														   sizeof(FgReservation));
	reservation->key = *key;
	reservation->hashcode = hashcode;
	reservation->window = NULL;
	reservation->stuck = 0;
	fg_counter_init(&reservation->held, reservation_rolled_back, reservation);
	reservation->chain = chains[hashcode % N_CHAINS];
	chains[hashcode % N_CHAINS] = reservation;
	reservation->next = reservations;
	reservations = reservation;
	return reservation;
}

/*
 * A subtransaction was rolled back.  Locks that it held when it failed have
 * been released by now.
 */
static void
reservation_rolled_back(FgCounter *counter, int64 amount)
{
	FgReservation *reservation = (FgReservation *) counter->arg;

	if (reservation->window == NULL)
		return;
	LWLockAcquire(fg_window_lock(reservation->hashcode), LW_EXCLUSIVE);
	reservation->window->reserved -= amount;
	LWLockRelease(fg_window_lock(reservation->hashcode));
}

/*
 * What can fail for lack of memory is done first, on the backend's side; then
 * the shared side, where nothing fails, follows or the first is undone.
 */
FgReserve
fg_budget_reserve(const FgWindowKey *key, int64 rows, int64 max_rows, bool force,
				  int64 *used)
{
	FgReservation *reservation;
	FgReserve	result = FG_RESERVE_NO_ROOM;
	TimestampTz now = GetCurrentTimestamp();
	LWLock	   *lock;

	require_shared();
	if (rows < 0)
		elog(ERROR, "cannot reserve a negative number of rows");
	if (IsParallelWorker())
		elog(ERROR, "cannot reserve rows in a parallel worker");

	*used = 0;
	reservation = reservation_get(key);
	fg_counter_add(&reservation->held, rows);

	lock = fg_window_lock(reservation->hashcode);
	LWLockAcquire(lock, LW_EXCLUSIVE);
	if (reservation->window == NULL)
		reservation->window = fg_window_enter(key, reservation->hashcode, now);
	if (reservation->window == NULL)
	{
		LWLockRelease(lock);
		fg_window_evict(now);
		LWLockAcquire(lock, LW_EXCLUSIVE);
		reservation->window = fg_window_enter(key, reservation->hashcode, now);
	}
	if (reservation->window != NULL)
	{
		FgWindow   *window = reservation->window;
		bool		overflow;

		fg_window_turn(window, now);
		overflow = pg_add_s64_overflow(fg_window_use(window, now),
									   window->reserved, used) ||
			pg_add_s64_overflow(*used, rows, used);
		if (overflow)
			*used = PG_INT64_MAX;
		if (overflow || (!force && *used > max_rows))
			result = FG_RESERVE_FULL;
		else
		{
			window->reserved += rows;
			result = FG_RESERVE_DONE;
		}
	}
	LWLockRelease(lock);

	if (result != FG_RESERVE_DONE)
		fg_counter_add(&reservation->held, -rows);
	return result;
}

void
fg_budget_give_back(const FgWindowKey *key, int64 rows)
{
	FgReservation *reservation;

	require_shared();
	reservation = reservation_find(key, window_hash(key));
	if (reservation == NULL || reservation->window == NULL)
		return;
	rows = Min(rows, reservation->held.total);
	if (rows <= 0)
		return;
	fg_counter_add(&reservation->held, -rows);
	LWLockAcquire(fg_window_lock(reservation->hashcode), LW_EXCLUSIVE);
	reservation->window->reserved -= rows;
	LWLockRelease(fg_window_lock(reservation->hashcode));
}

void
fg_budget_stick(const FgWindowKey *key, int64 rows)
{
	FgReservation *reservation;

	require_shared();
	reservation = reservation_find(key, window_hash(key));
	if (reservation != NULL)
	{
		fg_counter_stick(&reservation->held, rows);
		reservation->stuck += rows;
	}
}

void
fg_budget_mark(const FgWindowKey *key)
{
	uint32		hashcode;
	LWLock	   *lock;
	FgWindow   *window;
	TimestampTz now = GetCurrentTimestamp();

	require_shared();
	hashcode = window_hash(key);
	lock = fg_window_lock(hashcode);
	LWLockAcquire(lock, LW_EXCLUSIVE);
	window = fg_window_enter(key, hashcode, now);
	if (window == NULL)
	{
		LWLockRelease(lock);
		fg_window_evict(now);
		LWLockAcquire(lock, LW_EXCLUSIVE);
		window = fg_window_enter(key, hashcode, now);
	}
	if (window != NULL)
	{
		fg_window_turn(window, now);
		fg_window_add(window, 1);
		pg_atomic_fetch_add_u64(&fg_budget_shared->changes, 1);
		fg_window_unpin(window, hashcode, now);
	}
	LWLockRelease(lock);
}

int64
fg_budget_used(const FgWindowKey *key)
{
	uint32		hashcode;
	FgWindow   *window;
	int64		rows = 0;

	require_shared();
	hashcode = window_hash(key);
	LWLockAcquire(fg_window_lock(hashcode), LW_SHARED);
	window = (FgWindow *) hash_search_with_hash_value(fg_windows, key, hashcode,
													  HASH_FIND, NULL);
	if (window != NULL)
		rows = fg_window_use(window, GetCurrentTimestamp()) + window->reserved;
	LWLockRelease(fg_window_lock(hashcode));
	return rows;
}

int64
fg_budget_list(Oid relid, FgWindowUse **uses)
{
	require_shared();
	return fg_window_list(MyDatabaseId, relid, uses);
}

/*
 * Ends all reservations of this transaction: as use, or as if they had never
 * been.  Runs when the transaction's fate is sealed, so nothing may fail.
 */
static void
reservations_settle(bool keep)
{
	TimestampTz now;

	if (reservations == NULL)
		return;

	now = GetCurrentTransactionStopTimestamp();
	for (FgReservation *reservation = reservations;
		 reservation != NULL;
		 reservation = reservation->next)
	{
		FgWindow   *window = reservation->window;
		int64		rows = reservation->held.total;
		int64		use = rows - reservation->stuck;
		LWLock	   *lock = fg_window_lock(reservation->hashcode);

		chains[reservation->hashcode % N_CHAINS] = NULL;
		if (window == NULL)
			continue;

		/* in one step: nobody sees the rows neither reserved nor used */
		LWLockAcquire(lock, LW_EXCLUSIVE);
		window->reserved -= rows;
		if (keep && use > 0 && FG_KEEPS_USE(&window->key))
		{
			fg_window_turn(window, now);
			fg_window_add(window, use);
			pg_atomic_fetch_add_u64(&fg_budget_shared->changes, 1);
		}
		fg_window_unpin(window, reservation->hashcode, now);
		LWLockRelease(lock);
	}
	reservations = NULL;
}

/*
 * After a PREPARE TRANSACTION nobody is left to give the rows back, so they
 * are used, whatever becomes of the prepared transaction.
 */
static void
budget_xact(XactEvent event)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			reservations_settle(true);
			break;
		case XACT_EVENT_ABORT:
			reservations_settle(false);
			break;
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			break;
	}
}

void
fg_budget_setup(void)
{
	fg_xact_register(budget_xact, NULL, FG_XACT_ROWS);
}

Size
fg_budget_shmem_size(void)
{
	return fg_window_shmem_size();
}

void
fg_budget_shmem_init(void)
{
	if (fg_window_shmem_init())
		fg_budget_file_load();
	if (!IsUnderPostmaster)
		on_shmem_exit(save_at_exit, (Datum) 0);
}

void
fg_budget_save(void)
{
	if (fg_budget_shared != NULL)
		fg_budget_file_save(true);
}

/*
 * The last save of a clean shutdown, in the postmaster or in single-user
 * mode.  No other process is left, and this one is no longer able to wait
 * for a lock.
 */
static void
save_at_exit(int code, Datum arg)
{
	if (code == 0 && fg_budget_shared != NULL)
		fg_budget_file_save(false);
}
