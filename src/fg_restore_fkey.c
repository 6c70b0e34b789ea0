/*-------------------------------------------------------------------------
 *
 * fg_restore_fkey.c
 *		Which checks of foreign keys a batch of new rows can do without.
 *
 * The server looks up the referenced row for each new row, though most rows of a
 * table refer to few others.  A check locks what it finds until the transaction
 * ends.  So a second row with the same value would find the same, and one
 * check stands for all of them.
 *
 * That holds only as long as the row which is checked is still there then: a
 * check of a row that is gone is none.  Therefore nothing of a user's may run in
 * between: no other trigger after rows, no check that can be put off, and no
 * types other than the server's own, whose operators run in a check.
 *
 * "Same" means the same bytes.  Values are remembered up to a number, and then
 * anew: forgetting one costs a check.
 *
 * It refuses nothing.  Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "nodes/pg_list.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "fg_restore_fkey.h"

/* so many bytes of a value are remembered, and so many values */
#define FG_FKEY_BYTES	64
#define FG_FKEY_VALUES	16384

typedef struct FgForeignKey
{
	struct FgForeignKey *next;
	Trigger    *trigger;		/* in the statement's description */
	char		enabled;		/* as it was */
	int			n_columns;
	AttrNumber	columns[INDEX_MAX_KEYS];
	HTAB	   *seen;			/* of char[FG_FKEY_BYTES] */
} FgForeignKey;

struct FgForeignKeys
{
	MemoryContext context;
	TupleDesc	desc;
	FgForeignKey *first;
};

bool
fg_fkeys_alone(const TriggerDesc *triggers)
{
	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (TRIGGER_FOR_INSERT(trigger->tgtype) &&
			(trigger->tgfoid != F_RI_FKEY_CHECK_INS || trigger->tgdeferrable))
			return false;
	}
	return true;
}

static void
fg_fkey_forget(FgForeignKeys *fkeys, FgForeignKey *fkey)
{
	HASHCTL		ctl = {
		.keysize = FG_FKEY_BYTES,
		.entrysize = FG_FKEY_BYTES,
		.hcxt = fkeys->context
	};

	if (fkey->seen)
		hash_destroy(fkey->seen);
	fkey->seen = hash_create("fortress_guard checked foreign keys", 1024, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* The foreign key that a trigger checks, if values of it can be told apart here; else NULL */
static FgForeignKey *
fg_fkey_of(ResultRelInfo *info, Trigger *trigger)
{
	TupleDesc	desc = RelationGetDescr(info->ri_RelationDesc);
	List	   *keys = RelationGetFKeyList(info->ri_RelationDesc);
	FgForeignKey *fkey = palloc0(sizeof(FgForeignKey));
	ListCell   *lc;

	fkey->trigger = trigger;
	fkey->enabled = trigger->tgenabled;
	foreach(lc, keys)
	{
		const ForeignKeyCacheInfo *key = lfirst(lc);

		if (key->conoid != trigger->tgconstraint)
			continue;
		fkey->n_columns = key->nkeys;
		memcpy(fkey->columns, key->conkey, sizeof(AttrNumber) * key->nkeys);
	}
	for (int i = 0; i < fkey->n_columns; i++)
	{
		if (TupleDescAttr(desc, fkey->columns[i] - 1)->atttypid >= FirstNormalObjectId)
			return NULL;
	}
	return fkey->n_columns > 0 ? fkey : NULL;
}

FgForeignKeys *
fg_fkeys_begin(ResultRelInfo *info)
{
	FgForeignKeys *fkeys = NULL;
	TriggerDesc *triggers = info->ri_TrigDesc;

	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		FgForeignKey *fkey;

		if (triggers->triggers[i].tgfoid != F_RI_FKEY_CHECK_INS)
			continue;
		fkey = fg_fkey_of(info, &triggers->triggers[i]);
		if (fkey == NULL)
			continue;
		if (fkeys == NULL)
		{
			fkeys = palloc0(sizeof(FgForeignKeys));
			fkeys->context = CurrentMemoryContext;
			fkeys->desc = RelationGetDescr(info->ri_RelationDesc);
		}
		fg_fkey_forget(fkeys, fkey);
		fkey->next = fkeys->first;
		fkeys->first = fkey;
	}
	return fkeys;
}

/* The bytes of a row's value.  False: it has a NULL, or is too long. */
static bool
fg_fkey_value(const FgForeignKeys *fkeys, const FgForeignKey *fkey, TupleTableSlot *slot, char *bytes)
{
	Size		used = 0;

	memset(bytes, 0, FG_FKEY_BYTES);
	for (int i = 0; i < fkey->n_columns; i++)
	{
		Form_pg_attribute att = TupleDescAttr(fkeys->desc, fkey->columns[i] - 1);
		bool		isnull;
		Datum		value = slot_getattr(slot, fkey->columns[i], &isnull);
		const void *data = &value;
		Size		length = sizeof(Datum);

		if (isnull)
			return false;
		if (!att->attbyval)
		{
			data = DatumGetPointer(value);
			/* of varlena values only short ones, which lie as they are, with a length of one byte */
			if (att->attlen == -1 && (!VARATT_IS_1B(data) || VARATT_IS_1B_E(data)))
				return false;
			length = att->attlen == -1 ? VARSIZE_1B(data) : att->attlen == -2 ? strlen(data) + 1 : att->attlen;
		}
		if (used + length > FG_FKEY_BYTES)
			return false;
		memcpy(bytes + used, data, length);
		used += length;
	}
	return true;
}

void
fg_fkeys_row(FgForeignKeys *fkeys, TupleTableSlot *slot)
{
	for (FgForeignKey *fkey = fkeys->first; fkey; fkey = fkey->next)
	{
		char		bytes[FG_FKEY_BYTES];
		bool		found;

		fkey->trigger->tgenabled = fkey->enabled;
		if (!fg_fkey_value(fkeys, fkey, slot, bytes))
			continue;
		if (hash_get_num_entries(fkey->seen) >= FG_FKEY_VALUES)
			fg_fkey_forget(fkeys, fkey);
		(void) hash_search(fkey->seen, bytes, HASH_ENTER, &found);
		if (found)
			fkey->trigger->tgenabled = TRIGGER_DISABLED;
	}
}
