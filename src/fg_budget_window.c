/*-------------------------------------------------------------------------
 *
 * fg_budget_window.c
 *		The table of windows in shared memory, and the time in them.
 *
 * The windows are a hash table of fixed size, so that no number of clients can
 * make the guard take the shared memory of others.
 *
 * Use is kept in a ring of buckets, each a thirtieth of the interval wide.  A
 * bucket counts until all of it lies before the interval, so that a window may
 * remember a row a little too long but never too short.  The clock is trusted
 * to go forward only: as long as it shows less than the newest bucket, the
 * newest bucket's time is used, and if it falls back by more than an interval
 * everything counts as if it had just happened.
 *
 * A transaction pins the windows it uses: an entry with pins is never removed,
 * so that the transaction can keep a pointer to it.  A window that nobody pins
 * and that holds no use goes as soon as it is let go; the others expire later
 * and are evicted when the table is full.
 *
 * Locks: the windows are split into partitions by their hash code, and each
 * partition's lock protects all fields of its windows and their membership in
 * the hash table; whoever looks at all windows takes all the locks in
 * ascending order.  The numbers in FgBudgetShared are atomic or written only at
 * start.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "fg_budget_window.h"
#include "fg_guc.h"

#define BUCKETS_OF_INTERVAL	30

/* a look at all windows that found nothing to evict holds for so long */
#define EVICT_AGAIN_USECS	(10 * USECS_PER_SEC)

FgBudgetShared *fg_budget_shared = NULL;
HTAB	   *fg_windows = NULL;

static inline int64 floor_div(int64 a, int64 b);
static inline int64 bucket_width(const FgWindowKey *key);

/* ----------
 * Time
 * ----------
 */

/* a / b rounded down, for b > 0: timestamps before the year 2000 are negative */
static inline int64
floor_div(int64 a, int64 b)
{
	int64		quotient = a / b;

	return (a % b < 0) ? quotient - 1 : quotient;
}

static inline int64
bucket_width(const FgWindowKey *key)
{
	return Max(key->interval / BUCKETS_OF_INTERVAL, 1);
}

/*
 * The oldest bucket that still counts.  It may be newer than the newest one;
 * then none counts.
 */
int64
fg_window_oldest(const FgWindow *window, TimestampTz now)
{
	int64		width = bucket_width(&window->key);
	TimestampTz at = Max(now, window->newest * width);

	/* that bucket ends after at - interval, the ones before it do not */
	return Max(floor_div(at - window->key.interval, width),
			   window->newest - (FG_N_BUCKETS - 1));
}

/*
 * Rows used and not yet expired.
 */
int64
fg_window_use(const FgWindow *window, TimestampTz now)
{
	int64		rows = window->total;
	int64		oldest;

	if (!FG_KEEPS_USE(&window->key))
		return 0;
	oldest = fg_window_oldest(window, now);
	if (oldest > window->newest)
		return 0;

	/* nearly all of the ring counts, so all of it without those that do not */
	for (int64 number = window->newest - (FG_N_BUCKETS - 1); number < oldest; number++)
		rows -= window->used[FG_BUCKET_SLOT(number)];
	return rows;
}

/*
 * When the last use of a window expires.  False: it holds none.
 */
bool
fg_window_expiry(const FgWindow *window, TimestampTz now, TimestampTz *expiry)
{
	int64		oldest;

	if (!FG_KEEPS_USE(&window->key))
		return false;
	oldest = fg_window_oldest(window, now);
	for (int64 number = window->newest; number >= oldest; number--)
	{
		if (window->used[FG_BUCKET_SLOT(number)] != 0)
		{
			*expiry = (number + 1) * bucket_width(&window->key) +
				window->key.interval;
			return true;
		}
	}
	return false;
}

static void
clear_use(FgWindow *window)
{
	memset(window->used, 0, sizeof(window->used));
	window->total = 0;
}

/*
 * Turns the ring so that its newest bucket is the one that use belongs into
 * now.
 */
void
fg_window_turn(FgWindow *window, TimestampTz now)
{
	int64		width = bucket_width(&window->key);
	int64		current;

	/* whoever has waited since he looked at the clock does not set it back */
	if (window->newest * width > now + window->key.interval)
		now = Max(now, GetCurrentTimestamp());
	current = floor_div(now, width);

	if (current == window->newest)
		return;
	if (current - window->newest >= FG_N_BUCKETS)
	{
		clear_use(window);
		window->newest = current;
	}
	else if (window->newest * width > now + window->key.interval)
	{
		/* the clock was far ahead: whatever is left counts as used now */
		int64		rows = fg_window_use(window, now);

		clear_use(window);
		window->newest = current;
		fg_window_add(window, rows);
	}
	else
	{
		while (window->newest < current)
		{
			int64	   *oldest = &window->used[FG_BUCKET_SLOT(++window->newest)];

			window->total -= *oldest;
			*oldest = 0;
		}
	}
}

void
fg_window_add(FgWindow *window, int64 rows)
{
	window->used[FG_BUCKET_SLOT(window->newest)] += rows;
	window->total += rows;
}

void
fg_window_fill(FgWindow *window, const int64 *used)
{
	clear_use(window);
	for (int slot = 0; slot < FG_N_BUCKETS; slot++)
	{
		window->used[slot] = used[slot];
		window->total += used[slot];
	}
}

/* ----------
 * The table
 * ----------
 */

LWLock *
fg_window_lock(uint32 hashcode)
{
	return &fg_budget_shared->locks[hashcode % FG_N_PARTITIONS].lock;
}

void
fg_window_lock_all(LWLockMode mode)
{
	for (int i = 0; i < FG_N_PARTITIONS; i++)
		LWLockAcquire(&fg_budget_shared->locks[i].lock, mode);
}

void
fg_window_unlock_all(void)
{
	for (int i = FG_N_PARTITIONS - 1; i >= 0; i--)
		LWLockRelease(&fg_budget_shared->locks[i].lock);
}

/*
 * Finds or makes a window and pins it; NULL if there is no room.  The caller
 * holds the partition's lock exclusively.
 */
FgWindow *
fg_window_enter(const FgWindowKey *key, uint32 hashcode, TimestampTz now)
{
	FgWindow   *window;
	bool		found;

	window = (FgWindow *) hash_search_with_hash_value(fg_windows, key, hashcode,
													  HASH_ENTER_NULL, &found);
	if (window == NULL)
		return NULL;
	if (!found)
	{
		window->reserved = 0;
		window->newest = floor_div(now, bucket_width(key));
		window->pins = 0;
		clear_use(window);
	}
	window->pins++;
	return window;
}

/*
 * Lets go of a window, and removes it if it serves nobody any more.  The
 * caller holds the partition's lock exclusively.
 */
void
fg_window_unpin(FgWindow *window, uint32 hashcode, TimestampTz now)
{
	TimestampTz expiry;

	Assert(window->pins > 0);
	if (--window->pins > 0)
		return;
	if (fg_window_expiry(window, now, &expiry))
	{
		uint64		evict_at = pg_atomic_read_u64(&fg_budget_shared->evict_at);

		while ((TimestampTz) evict_at > expiry &&
			   !pg_atomic_compare_exchange_u64(&fg_budget_shared->evict_at, &evict_at,
											   (uint64) expiry))
			;
	}
	else
		hash_search_with_hash_value(fg_windows, &window->key, hashcode,
									HASH_REMOVE, NULL);
}

/*
 * Copies what the windows of a database hold, of one relation or of all.
 * Memory is taken before the locks, for as many windows as there were a moment
 * ago; if there are more by then, once again.
 */
int64
fg_window_list(Oid database, Oid relid, FgWindowUse **uses)
{
	TimestampTz now = GetCurrentTimestamp();
	int64		n = 0;
	HASH_SEQ_STATUS scan;
	FgWindow   *window;

	*uses = NULL;
	for (;;)
	{
		int64		room = hash_get_num_entries(fg_windows) + 64;

		if (*uses != NULL)
			pfree(*uses);
		*uses = palloc_extended(room * sizeof(FgWindowUse), MCXT_ALLOC_HUGE);
		fg_window_lock_all(LW_SHARED);
		if (hash_get_num_entries(fg_windows) <= room)
			break;
		fg_window_unlock_all();
	}

	hash_seq_init(&scan, fg_windows);
	while ((window = (FgWindow *) hash_seq_search(&scan)) != NULL)
	{
		FgWindowUse *use = &(*uses)[n];

		if (window->key.database != database || window->key.by >= FG_WINDOW_TOKEN ||
			(OidIsValid(relid) && window->key.relid != relid))
			continue;
		use->rows = fg_window_use(window, now) + window->reserved;
		if (use->rows == 0)
			continue;
		use->key = window->key;
		n++;
	}
	fg_window_unlock_all();
	return n;
}

/*
 * Removes the windows that have expired; the caller holds no locks.
 *
 * If all windows are in use, every statement that needs a new one comes here,
 * and a look at all of them under all locks each time would slow down
 * everybody.  So a look remembers when it will be worth while again.
 */
void
fg_window_evict(TimestampTz now)
{
	TimestampTz evict_at = PG_INT64_MAX;
	HASH_SEQ_STATUS scan;
	FgWindow   *window;

	/* a clock that was set back must not put it off for long */
	if ((TimestampTz) pg_atomic_read_u64(&fg_budget_shared->evict_at) > now &&
		now >= (TimestampTz) pg_atomic_read_u64(&fg_budget_shared->evict_tried) &&
		now - (TimestampTz) pg_atomic_read_u64(&fg_budget_shared->evict_tried) < EVICT_AGAIN_USECS)
		return;

	fg_window_lock_all(LW_EXCLUSIVE);
	hash_seq_init(&scan, fg_windows);
	while ((window = (FgWindow *) hash_seq_search(&scan)) != NULL)
	{
		TimestampTz expiry;

		if (window->pins > 0)
			continue;
		if (fg_window_expiry(window, now, &expiry))
			evict_at = Min(evict_at, expiry);
		else
			hash_search(fg_windows, &window->key, HASH_REMOVE, NULL);
	}
	pg_atomic_write_u64(&fg_budget_shared->evict_at, (uint64) evict_at);
	pg_atomic_write_u64(&fg_budget_shared->evict_tried, (uint64) now);
	fg_window_unlock_all();
}

Size
fg_window_shmem_size(void)
{
	return add_size(MAXALIGN(sizeof(FgBudgetShared)),
					hash_estimate_size(fg_max_windows, sizeof(FgWindow)));
}

bool
fg_window_shmem_init(void)
{
	HASHCTL		info = {0};
	bool		found;

	fg_budget_shared = (FgBudgetShared *) ShmemInitStruct("fortress_guard budget",
														  sizeof(FgBudgetShared),
														  &found);
	if (!found)
	{
		fg_budget_shared->tranche = LWLockNewTrancheId();
		pg_atomic_init_u64(&fg_budget_shared->changes, 0);
		pg_atomic_init_u64(&fg_budget_shared->saved, 0);
		pg_atomic_init_u64(&fg_budget_shared->evict_at, (uint64) PG_INT64_MAX);
		pg_atomic_init_u64(&fg_budget_shared->evict_tried, 0);
		LWLockInitialize(&fg_budget_shared->file_lock.lock, fg_budget_shared->tranche);
		for (int i = 0; i < FG_N_PARTITIONS; i++)
			LWLockInitialize(&fg_budget_shared->locks[i].lock, fg_budget_shared->tranche);
	}
	LWLockRegisterTranche(fg_budget_shared->tranche, "fortress_guard");

	info.keysize = sizeof(FgWindowKey);
	info.entrysize = sizeof(FgWindow);
	info.num_partitions = FG_N_PARTITIONS;
	fg_windows = ShmemInitHash("fortress_guard windows",
							   fg_max_windows, fg_max_windows, &info,
							   HASH_ELEM | HASH_BLOBS | HASH_PARTITION | HASH_FIXED_SIZE);
	return !found;
}
