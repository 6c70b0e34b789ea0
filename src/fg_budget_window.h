/*-------------------------------------------------------------------------
 *
 * fg_budget_window.h
 *		The table of windows in shared memory: for fg_budget and its file only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_BUDGET_WINDOW_H
#define FG_BUDGET_WINDOW_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "utils/hsearch.h"
#include "fg_budget.h"

#define FG_N_PARTITIONS		16	/* a power of two */
#define FG_N_BUCKETS		32	/* a power of two, and room for the 30 of an
								 * interval and the two at its ends */

/* an entry of the shared hash table; its partition's lock protects it */
typedef struct FgWindow
{
	FgWindowKey key;			/* hash key */
	int64		reserved;		/* rows of running transactions */
	int64		newest;			/* absolute number of the newest bucket */
	uint32		pins;			/* transactions with a pointer to it */
	int64		total;			/* sum of used[] */
	int64		used[FG_N_BUCKETS]; /* rows, by FG_BUCKET_SLOT() */
} FgWindow;

/* the place of a bucket in the ring; right for negative numbers as well */
#define FG_BUCKET_SLOT(number)	((uint64) (number) & (FG_N_BUCKETS - 1))

/* does anything stay in a window when its reservations end? */
#define FG_KEEPS_USE(key)		((key)->interval > 0 && (key)->by != FG_WINDOW_TOKEN)

typedef struct FgBudgetShared
{
	int			tranche;		/* set at start */
	pg_atomic_uint64 changes;	/* grows with every use that is added, under
								 * its partition's lock */
	pg_atomic_uint64 saved;		/* "changes" that the file has; file lock */
	pg_atomic_uint64 evict_at;	/* earliest time at which a window that nobody
								 * pins expires; lowered under its partition's
								 * lock, raised under all */
	pg_atomic_uint64 evict_tried;	/* when that was last worked out; under all
									 * partitions' locks */
	LWLockPadded file_lock;
	LWLockPadded locks[FG_N_PARTITIONS];
} FgBudgetShared;

/* both NULL if the library was not preloaded */
extern FgBudgetShared *fg_budget_shared;
extern HTAB *fg_windows;

extern Size fg_window_shmem_size(void);
/* Attaches to shared memory; true if it was set up by this call. */
extern bool fg_window_shmem_init(void);

extern LWLock *fg_window_lock(uint32 hashcode);
extern void fg_window_lock_all(LWLockMode mode);
extern void fg_window_unlock_all(void);

/* The functions on one window need its partition's lock; those that change
 * something need it exclusively. */
extern int64 fg_window_oldest(const FgWindow *window, TimestampTz now);
extern int64 fg_window_use(const FgWindow *window, TimestampTz now);
extern bool fg_window_expiry(const FgWindow *window, TimestampTz now, TimestampTz *expiry);
extern void fg_window_turn(FgWindow *window, TimestampTz now);
/* Adds use to the newest bucket. */
extern void fg_window_add(FgWindow *window, int64 rows);
/* Gives a window this use, by slot, in place of its own. */
extern void fg_window_fill(FgWindow *window, const int64 *used);
extern FgWindow *fg_window_enter(const FgWindowKey *key, uint32 hashcode, TimestampTz now);
extern void fg_window_unpin(FgWindow *window, uint32 hashcode, TimestampTz now);
/* For fg_budget_list(), which see; to be called without locks. */
extern int64 fg_window_list(Oid database, Oid relid, FgWindowUse **uses);
/* Makes room; to be called without locks. */
extern void fg_window_evict(TimestampTz now);

#endif							/* FG_BUDGET_WINDOW_H */
