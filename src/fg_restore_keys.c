/*-------------------------------------------------------------------------
 *
 * fg_restore_keys.c
 *		Are the keys of the chosen images all different?
 *
 * Most archives have their rows in the order of the keys, up or down, because
 * tables have them so: then each key differs from all others if it only differs
 * from the last one in the right direction.  Where the order breaks, everything
 * begins anew, and the hashes of all keys are kept; alike keys have the same
 * hash, so keys whose hashes differ do so too.  If two hashes are the same, or
 * there are too many for the memory, keys are perhaps repeated, and the caller has
 * to sort them.
 *
 * It refuses nothing.  Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/sortsupport.h"
#include "utils/typcache.h"

#include "fg_restore_keys.h"
#include "fg_shadow.h"

/* fg_op, fg_how, fg_natts and ctid are in front of the keys */
#define FG_KEYS_FIRST	4
#define FG_KEYS_MOST_OPERATIONS 8
#define FG_KEYS_LEAST_SLOTS	1024

struct FgKeys
{
	DestReceiver pub;			/* must be first */
	const char *operations;
	int			n_operations;
	bool		not_own;
	int			least_natts;

	int64		rows[FG_KEYS_MOST_OPERATIONS];
	int64		n_rows;
	ItemPointerData first;		/* of n_rows, by place, if that is told */
	ItemPointerData end;
	bool		unfit;
	bool		repeated;

	int			n_keys;
	FormData_pg_attribute *columns;
	bool		by_reference;
	MemoryContext context;		/* of all this */
	MemoryContext scratch;		/* for one comparison */

	/* by order */
	bool		ordered;		/* they are compared, and not hashed */
	bool		broken;			/* the order has just broken */
	int			direction;		/* of the keys so far; 0: not known yet */
	SortSupport sorts;
	Datum	   *last;
	MemoryContext last_context;

	/* by hash */
	FmgrInfo  **functions;
	uint64	   *slots;			/* 0: free */
	uint64		n_slots;		/* a power of 2 */
	uint64		n_used;
};

static void
fg_keys_startup(DestReceiver *self, int operation, TupleDesc desc)
{
	FgKeys	   *keys = (FgKeys *) self;
	MemoryContext old = MemoryContextSwitchTo(keys->context);

	memset(keys->rows, 0, sizeof(keys->rows));
	keys->n_rows = 0;
	keys->n_keys = desc->natts - FG_KEYS_FIRST;
	keys->sorts = palloc0(sizeof(SortSupportData) * keys->n_keys);
	keys->last = palloc0(sizeof(Datum) * keys->n_keys);
	keys->columns = palloc0(sizeof(FormData_pg_attribute) * keys->n_keys);
	keys->functions = palloc0(sizeof(FmgrInfo *) * keys->n_keys);
	for (int i = 0; i < keys->n_keys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i + FG_KEYS_FIRST);
		SortSupport sort = &keys->sorts[i];
		TypeCacheEntry *type = lookup_type_cache(att->atttypid,
												 TYPECACHE_LT_OPR | TYPECACHE_HASH_EXTENDED_PROC |
												 TYPECACHE_HASH_EXTENDED_PROC_FINFO);

		keys->columns[i] = *att;
		keys->by_reference |= !att->attbyval;
		sort->ssup_cxt = keys->context;
		sort->ssup_collation = att->attcollation;
		if (!OidIsValid(type->lt_opr))
			keys->ordered = false;
		else
			PrepareSortSupportFromOrderingOp(type->lt_opr, sort);
		if (OidIsValid(type->hash_extended_proc))
			keys->functions[i] = &type->hash_extended_proc_finfo;
	}
	for (int i = 0; i < keys->n_keys && !keys->ordered; i++)
		keys->repeated |= keys->functions[i] == NULL;
	MemoryContextSwitchTo(old);
}

/* Does the key come after the last one, in the direction of the others? */
static bool
fg_keys_follows(FgKeys *keys, const Datum *values)
{
	MemoryContext old = MemoryContextSwitchTo(keys->scratch);
	int			order = 0;

	if (keys->n_rows > 0)
	{
		for (int i = 0; i < keys->n_keys && order == 0; i++)
			order = ApplySortComparator(values[i], false, keys->last[i], false, &keys->sorts[i]);
		order = (order > 0) - (order < 0);
		if (order == 0 || order == -keys->direction)
		{
			MemoryContextSwitchTo(old);
			return false;
		}
		keys->direction = order;
	}
	if (keys->by_reference)
	{
		MemoryContextReset(keys->scratch);
		MemoryContextReset(keys->last_context);
		MemoryContextSwitchTo(keys->last_context);
	}
	for (int i = 0; i < keys->n_keys; i++)
		keys->last[i] = datumCopy(values[i], keys->columns[i].attbyval, keys->columns[i].attlen);
	MemoryContextSwitchTo(old);
	return true;
}

/* Keeps a hash.  False: it is there already. */
static bool
fg_keys_keep(FgKeys *keys, uint64 hash)
{
	uint64		i = hash & (keys->n_slots - 1);

	while (keys->slots[i] != 0)
	{
		if (keys->slots[i] == hash)
			return false;
		i = (i + 1) & (keys->n_slots - 1);
	}
	keys->slots[i] = hash;
	keys->n_used++;
	return true;
}

/* Doubles the room.  False: there is no more. */
static bool
fg_keys_grow(FgKeys *keys)
{
	uint64	   *slots = keys->slots;
	uint64		n_slots = keys->n_slots;

	if (slots != NULL && (n_slots * 2 + n_slots) * sizeof(uint64) > (uint64) maintenance_work_mem * 1024)
		return false;
	keys->n_slots = slots == NULL ? FG_KEYS_LEAST_SLOTS : n_slots * 2;
	keys->slots = MemoryContextAllocExtended(keys->context, keys->n_slots * sizeof(uint64),
											 MCXT_ALLOC_ZERO | MCXT_ALLOC_HUGE);
	keys->n_used = 0;
	for (uint64 i = 0; slots != NULL && i < n_slots; i++)
	{
		if (slots[i] != 0)
			(void) fg_keys_keep(keys, slots[i]);
	}
	if (slots)
		pfree(slots);
	return true;
}

/* Is the key's hash a new one? */
static bool
fg_keys_is_new(FgKeys *keys, const Datum *values)
{
	MemoryContext old = MemoryContextSwitchTo(keys->scratch);
	uint64		hash = 0;

	for (int i = 0; i < keys->n_keys; i++)
		hash = hash_combine64(hash, DatumGetUInt64(FunctionCall2Coll(keys->functions[i], keys->columns[i].attcollation,
																	 values[i], UInt64GetDatum(0))));
	if (keys->by_reference)
		MemoryContextReset(keys->scratch);
	MemoryContextSwitchTo(old);

	if (keys->n_used * 4 >= keys->n_slots * 3 && !fg_keys_grow(keys))
		return false;
	return fg_keys_keep(keys, Max(hash, 1));
}

static bool
fg_keys_receive(TupleTableSlot *slot, DestReceiver *self)
{
	FgKeys	   *keys = (FgKeys *) self;
	const Datum *values;
	int			operation = 0;

	slot_getallattrs(slot);
	while (operation < keys->n_operations && keys->operations[operation] != DatumGetChar(slot->tts_values[0]))
		operation++;
	if (operation == keys->n_operations ||
		(keys->not_own && DatumGetChar(slot->tts_values[1]) == FG_SHADOW_HOW_OWN) ||
		DatumGetInt16(slot->tts_values[2]) < keys->least_natts)
		keys->unfit = true;
	for (int i = 0; i < keys->n_keys; i++)
		keys->unfit |= slot->tts_isnull[FG_KEYS_FIRST + i];
	if (keys->unfit)
		return false;

	values = slot->tts_values + FG_KEYS_FIRST;
	if (keys->ordered && !fg_keys_follows(keys, values))
	{
		keys->ordered = false;
		keys->broken = true;
		return false;
	}
	if (!keys->ordered && !keys->repeated)
		keys->repeated = !fg_keys_is_new(keys, values);
	if (!slot->tts_isnull[3])
	{
		ItemPointer place = (ItemPointer) DatumGetPointer(slot->tts_values[3]);
		if (keys->n_rows == 0 || ItemPointerCompare(place, &keys->first) < 0)
			keys->first = *place;
		if (keys->n_rows == 0 || ItemPointerCompare(place, &keys->end) > 0)
			keys->end = *place;
	}
	keys->rows[operation]++;
	keys->n_rows++;
	return true;
}

static void
fg_keys_nothing(DestReceiver *self)
{
}

FgKeys *
fg_keys_begin(const char *operations, int n_operations, bool not_own, int least_natts)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "fortress_guard restored keys",
												  ALLOCSET_DEFAULT_SIZES);
	FgKeys	   *keys = MemoryContextAllocZero(context, sizeof(FgKeys));

	Assert(n_operations <= FG_KEYS_MOST_OPERATIONS);
	keys->pub.receiveSlot = fg_keys_receive;
	keys->pub.rStartup = fg_keys_startup;
	keys->pub.rShutdown = fg_keys_nothing;
	keys->pub.rDestroy = fg_keys_nothing;
	keys->pub.mydest = DestNone;
	keys->operations = operations;
	keys->n_operations = n_operations;
	keys->not_own = not_own;
	keys->least_natts = least_natts;
	keys->ordered = true;
	keys->context = context;
	keys->scratch = AllocSetContextCreate(context, "fortress_guard key", ALLOCSET_SMALL_SIZES);
	keys->last_context = AllocSetContextCreate(context, "fortress_guard last key", ALLOCSET_SMALL_SIZES);
	(void) fg_keys_grow(keys);
	return keys;
}

DestReceiver *
fg_keys_receiver(FgKeys *keys)
{
	return &keys->pub;
}

FgKeyVerdict
fg_keys_verdict(FgKeys *keys, int64 *rows)
{
	memcpy(rows, keys->rows, sizeof(int64) * keys->n_operations);
	if (keys->unfit)
		return FG_KEYS_UNFIT;
	if (keys->broken)
	{
		keys->broken = false;
		return FG_KEYS_AGAIN;
	}
	return keys->repeated ? FG_KEYS_REPEATED : FG_KEYS_DIFFERENT;
}

void
fg_keys_range(const FgKeys *keys, ItemPointer first, ItemPointer last)
{
	*first = keys->first;
	*last = keys->end;
}

bool
fg_keys_ascend(const FgKeys *keys)
{
	return keys->ordered && keys->direction > 0;
}

void
fg_keys_end(FgKeys *keys)
{
	MemoryContextDelete(keys->context);
}
