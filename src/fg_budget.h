/*-------------------------------------------------------------------------
 *
 * fg_budget.h
 *		Windows: how many rows of a table went in the last interval, over all
 *		sessions, in shared memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_BUDGET_H
#define FG_BUDGET_H

#include "postgres.h"
#include "fg_types.h"

/*
 * What a window counts.  Make it with fg_budget_key(), which zeroes padding:
 * the key is hashed and compared as bytes.
 */
typedef struct FgWindowKey
{
	Oid			database;
	Oid			relid;			/* relation of the policy, or a token's id for
								 * FG_WINDOW_TOKEN */
	int64		interval;		/* microseconds; 0: reservations only */
	uint8		who[16];		/* role oid, IPv6 form of the address, or 0 */
	uint8		op;				/* FgOperation */
	uint8		by;				/* FgBy, or one of the two below */
	uint8		unused[6];
} FgWindowKey;

/* "by" of a key that bounds the running uses of a token: nothing is kept
 * after the transaction, so only what runs right now counts */
#define FG_WINDOW_TOKEN		100
/* "by" of a key that remembers that something was recorded: "who" is its hash */
#define FG_WINDOW_REMOTE	101

typedef enum FgReserve
{
	FG_RESERVE_DONE,			/* reserved */
	FG_RESERVE_FULL,			/* would exceed the maximum; nothing reserved */
	FG_RESERVE_NO_ROOM			/* no free entry in the table of windows */
} FgReserve;

extern Size fg_budget_shmem_size(void);
/* In shmem_startup_hook, under AddinShmemInitLock.  Loads the saved windows. */
extern void fg_budget_shmem_init(void);
extern void fg_budget_setup(void);	/* transaction callbacks, once at load */

extern void fg_budget_key(FgWindowKey *key, Oid relid, FgOperation op, FgBy by, int64 interval);

/*
 * Reserves "rows" in a window for this transaction, at the current
 * subtransaction level: rollback to a savepoint gives them back, abort gives
 * everything back, commit and PREPARE TRANSACTION make them use.  With "force"
 * the maximum is not looked at.  *used is what the window then holds (used and
 * reserved, of all sessions), or would hold where it was full.
 */
extern FgReserve fg_budget_reserve(const FgWindowKey *key, int64 rows, int64 max_rows,
								   bool force, int64 *used);
/* Gives rows back that this transaction reserved at the current level. */
extern void fg_budget_give_back(const FgWindowKey *key, int64 rows);
/*
 * Rows of a refused statement: they stay reserved until the transaction ends,
 * whatever its savepoints do, and never become use, as they have not gone.
 */
extern void fg_budget_stick(const FgWindowKey *key, int64 rows);
/*
 * Adds one row of use now, whatever becomes of this transaction.  Where there
 * is no room for the window, nothing happens.
 */
extern void fg_budget_mark(const FgWindowKey *key);
/* What a window holds now, used and reserved; 0 where there is none. */
extern int64 fg_budget_used(const FgWindowKey *key);

typedef struct FgWindowUse
{
	FgWindowKey key;
	int64		rows;			/* used and reserved */
} FgWindowUse;

/*
 * The windows of this database that hold rows, of one relation or, with
 * InvalidOid, of all, in no order; returns how many.  *uses is palloc'd.
 */
extern int64 fg_budget_list(Oid relid, FgWindowUse **uses);
/* Writes all windows to pg_fortress/windows; errors are logged, never raised. */
extern void fg_budget_save(void);

#endif							/* FG_BUDGET_H */
