/*-------------------------------------------------------------------------
 *
 * fg_policy.c
 *		Which policies govern a relation: the per-backend cache.
 *
 * A relation is governed by its own policy and by those of every relation
 * above it, through partitioning or inheritance.  Finding that out costs a
 * few index scans, so it is done once for each relation that a session
 * writes; after that an unprotected table costs one hash probe a statement.
 *
 * Changes reach every session as relcache invalidations: fg_policy_changed()
 * sends them for the whole tree, and since a statement locks its table before
 * it starts, it has processed them by then.  What a protected tree or anything
 * above a cached relation looks like can change in many ways (ATTACH, INHERIT,
 * new policy), so any news of a relation that others depend on throws the
 * whole arena away; news of a relation that nobody depends on costs its own
 * entry only.
 *
 * Locks: none of its own; catalog reads take AccessShareLock as usual.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "fg_catalog.h"
#include "fg_guc.h"
#include "fg_policy.h"

/*
 * Relations that are known to have no policy: the slot of a relation is its oid
 * modulo the size.  Nearly every statement that writes asks.
 */
#define N_UNGOVERNED	64

struct FgPolicyArena
{
	MemoryContext context;
	HTAB	   *relations;		/* Oid -> FgRelation */
	List	   *policies;		/* of FgPolicy * */
	Oid			ungoverned[N_UNGOVERNED];
	int			pins;
	bool		current;		/* false: goes away with its last pin */
};

static FgPolicyArena *arena = NULL;

/* the entry that was asked for last: a statement asks several times */
static FgRelation *last_entry = NULL;

/* counts invalidations, so that a load can tell that it was overtaken */
static uint64 generation = 0;

static bool warned_disabled = false;

/* ----------------------------------------------------------------
 *		Arena
 * ----------------------------------------------------------------
 */

static pg_noinline FgPolicyArena *
make_arena(void)
{
	MemoryContext context;
	HASHCTL		ctl = {0};
	FgPolicyArena *made;

	context = AllocSetContextCreate(TopMemoryContext, "fortress_guard policies",
									ALLOCSET_SMALL_SIZES);
	made = MemoryContextAllocZero(context, sizeof(FgPolicyArena));
	made->context = context;
	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(FgRelation);
	ctl.hcxt = context;
	made->relations = hash_create("fortress_guard relations", 64, &ctl,
								  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	made->current = true;
	arena = made;
	return made;
}

static inline FgPolicyArena *
arena_get(void)
{
	return arena != NULL ? arena : make_arena();
}

static void
arena_drop(void)
{
	FgPolicyArena *old = arena;

	last_entry = NULL;
	if (old == NULL)
		return;
	arena = NULL;
	old->current = false;
	if (old->pins == 0)
		MemoryContextDelete(old->context);
}

FgPolicyArena *
fg_policy_pin(void)
{
	FgPolicyArena *pinned = arena_get();

	pinned->pins++;
	return pinned;
}

void
fg_policy_pin_arena(FgPolicyArena *pinned)
{
	pinned->pins++;
}

bool
fg_policy_is_current(const FgPolicyArena *pinned)
{
	return pinned == arena;
}

void
fg_policy_unpin(FgPolicyArena *pinned)
{
	Assert(pinned->pins > 0);
	if (--pinned->pins == 0 && !pinned->current)
		MemoryContextDelete(pinned->context);
}

/* Relcache invalidation: must not raise errors nor touch catalogs. */
static void
forget_relation(Datum arg, Oid relid)
{
	FgRelation *entry;

	generation++;
	if (arena == NULL)
		return;
	if (!OidIsValid(relid))
	{
		arena_drop();
		return;
	}
	entry = hash_search(arena->relations, &relid, HASH_FIND, NULL);
	if (entry == NULL)
		return;
	arena->ungoverned[relid % N_UNGOVERNED] = InvalidOid;
	if (entry->watched || entry->n_policies > 0)
		arena_drop();
	else
	{
		last_entry = NULL;
		hash_search(arena->relations, &relid, HASH_REMOVE, NULL);
	}
}

/* The extension may have come or gone. */
static void
forget_all(Datum arg, int cacheid, uint32 hashvalue)
{
	generation++;
	arena_drop();
}

void
fg_policy_setup(void)
{
	CacheRegisterRelcacheCallback(forget_relation, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, forget_all, (Datum) 0);
}

/* ----------------------------------------------------------------
 *		Loading
 * ----------------------------------------------------------------
 */

/*
 * Did an invalidation come while something was read?  A server that throws its
 * caches away to test (debug_discard_caches) sends one at every look into a
 * catalog; they say nothing, and reading again would never end.
 */
static bool
overtaken(uint64 started)
{
	return generation != started && debug_discard_caches == 0;
}

/*
 * All relations above one, each once, nearest first.  Detached partitions
 * whose detaching is still pending count as partitions.
 */
List *
fg_policy_ancestors(Oid relid)
{
	List	   *todo = list_make1_oid(relid);
	List	   *found = NIL;
	Relation	inherits = table_open(InheritsRelationId, AccessShareLock);

	for (int i = 0; i < list_length(todo); i++)
	{
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple	tuple;

		ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(list_nth_oid(todo, i)));
		scan = systable_beginscan(inherits, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
		while ((tuple = systable_getnext(scan)) != NULL)
		{
			Oid			parent = ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent;

			if (!list_member_oid(found, parent))
			{
				found = lappend_oid(found, parent);
				todo = lappend_oid(todo, parent);
			}
		}
		systable_endscan(scan);
	}
	table_close(inherits, AccessShareLock);
	list_free(todo);
	return found;
}

static FgPolicy *
find_policy(FgPolicyArena *in, Oid relid)
{
	ListCell   *lc;

	foreach(lc, in->policies)
	{
		FgPolicy   *policy = lfirst(lc);

		if (policy->relid == relid)
			return policy;
	}
	return NULL;
}

/* Copies a policy and its limits into an arena. */
static FgPolicy *
add_policy(FgPolicyArena *to, const FgPolicyRow *row, List *limits)
{
	MemoryContext old = MemoryContextSwitchTo(to->context);
	FgPolicy   *policy = palloc0(sizeof(FgPolicy));
	ListCell   *lc;

	policy->arena = to;
	policy->relid = row->relid;
	policy->mode = row->mode;
	policy->require_where = row->require_where;
	policy->archive = row->archive;
	policy->all_columns = row->all_columns;
	policy->columns = palloc(sizeof(char *) * Max(list_length(row->columns), 1));
	foreach(lc, row->columns)
		policy->columns[policy->n_columns++] = pstrdup(lfirst(lc));
	policy->limits = palloc(sizeof(FgLimit) * Max(list_length(limits), 1));
	foreach(lc, limits)
		policy->limits[policy->n_limits++] = *(FgLimit *) lfirst(lc);
	to->policies = lappend(to->policies, policy);
	MemoryContextSwitchTo(old);
	return policy;
}

/* Must a tree's rows be archived one by one?  See fg_install.h. */
static bool
policy_by_row(Oid policy_relid, List *ancestors)
{
	if (ancestors != NIL)
		return true;
	return get_rel_relkind(policy_relid) == RELKIND_RELATION &&
		find_inheritance_children(policy_relid, NoLock) != NIL;
}

static FgRelation *
enter_relation(FgPolicyArena *in, Oid relid)
{
	bool		found;
	FgRelation *entry = hash_search(in->relations, &relid, HASH_ENTER, &found);

	if (!found)
	{
		memset(entry, 0, sizeof(FgRelation));
		entry->relid = relid;
	}
	return entry;
}

/*
 * Reads what governs a relation and enters it.  False if an invalidation came
 * in between: what was read may be old then, and nothing is entered.
 */
static bool
load_relation(Oid relid)
{
	uint64		started = generation;
	List	   *ancestors = fg_policy_ancestors(relid);
	List	   *relids = lcons_oid(relid, list_copy(ancestors));
	List	   *rows = NIL;
	List	   *limits = NIL;
	bool		partition = get_rel_relispartition(relid);
	bool		by_row = false;
	int			archive = 0;
	FgPolicyArena *to;
	FgRelation *entry;
	MemoryContext old;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, relids)
	{
		FgPolicyRow *row = fg_catalog_get_policy(lfirst_oid(lc));

		if (row == NULL)
			continue;
		rows = lappend(rows, row);
		limits = lappend(limits, fg_catalog_get_limits(row->relid));
		archive |= row->archive;
		by_row |= policy_by_row(row->relid, row->relid == relid ? ancestors :
								fg_policy_ancestors(row->relid));
	}
	if (overtaken(started))
		return false;

	to = arena_get();
	foreach(lc, ancestors)
		enter_relation(to, lfirst_oid(lc))->watched = true;
	entry = enter_relation(to, relid);
	old = MemoryContextSwitchTo(to->context);
	entry->policies = palloc(sizeof(FgPolicy *) * Max(list_length(rows), 1));
	entry->shadow_owners = palloc(sizeof(Oid) * Max(list_length(rows), 1));
	MemoryContextSwitchTo(old);
	entry->n_policies = 0;
	forboth(lc, rows, lc2, limits)
	{
		FgPolicyRow *row = lfirst(lc);
		FgPolicy   *policy = find_policy(to, row->relid);

		if (policy == NULL)
			policy = add_policy(to, row, lfirst(lc2));
		entry->shadow_owners[entry->n_policies] = partition ? row->relid : relid;
		entry->policies[entry->n_policies++] = policy;
	}
	entry->archive = archive;
	entry->by_row = by_row;
	entry->loaded = true;
	return true;
}

static pg_noinline FgRelation *
find_relation(Oid relid)
{
	FgRelation *entry;

	entry = hash_search(arena_get()->relations, &relid, HASH_FIND, NULL);
	while (entry == NULL || !entry->loaded)
	{
		MemoryContext work = AllocSetContextCreate(CurrentMemoryContext,
												   "fortress_guard policy load",
												   ALLOCSET_SMALL_SIZES);
		MemoryContext old = MemoryContextSwitchTo(work);

		CHECK_FOR_INTERRUPTS();
		(void) load_relation(relid);
		MemoryContextSwitchTo(old);
		MemoryContextDelete(work);
		entry = hash_search(arena_get()->relations, &relid, HASH_FIND, NULL);
	}
	last_entry = entry;
	return entry;
}

static inline FgRelation *
lookup_any(Oid relid)
{
	if (last_entry != NULL && last_entry->relid == relid)
		return last_entry;
	return find_relation(relid);
}

FgRelation *
fg_policy_lookup(Oid relid)
{
	FgRelation *entry;

	if (relid < FirstNormalObjectId)
		return NULL;
	entry = lookup_any(relid);
	if (entry->n_policies > 0)
		return entry;
	arena->ungoverned[relid % N_UNGOVERNED] = relid;
	return NULL;
}

bool
fg_policy_known_ungoverned(Oid relid)
{
	return arena != NULL && arena->ungoverned[relid % N_UNGOVERNED] == relid;
}

bool
fg_policy_protected_descendant(Oid relid)
{
	FgRelation *entry;
	List	   *descendants;
	bool		found = false;
	uint64		started;
	ListCell   *lc;

	if (relid < FirstNormalObjectId)
		return false;
	entry = lookup_any(relid);
	if (entry->descendants_known)
		return entry->protected_descendant;

	do
	{
		started = generation;
		found = false;
		descendants = find_all_inheritors(relid, NoLock, NULL);
		foreach(lc, descendants)
		{
			if (lfirst_oid(lc) != relid && fg_catalog_get_policy(lfirst_oid(lc)) != NULL)
				found = true;
		}
		entry = lookup_any(relid);
	} while (overtaken(started));

	foreach(lc, descendants)
		enter_relation(arena_get(), lfirst_oid(lc))->watched = true;
	entry->protected_descendant = found;
	entry->descendants_known = true;
	return found;
}

List *
fg_policy_protected_descendants(Oid relid)
{
	List	   *descendants;
	List	   *found = NIL;
	ListCell   *lc;

	if (!fg_policy_protected_descendant(relid))
		return NIL;
	descendants = find_all_inheritors(relid, NoLock, NULL);
	foreach(lc, descendants)
	{
		if (lfirst_oid(lc) != relid && fg_catalog_get_policy(lfirst_oid(lc)) != NULL)
			found = lappend_oid(found, lfirst_oid(lc));
	}
	list_free(descendants);
	return found;
}

/* ----------------------------------------------------------------
 *		The rest
 * ----------------------------------------------------------------
 */

Oid
fg_policy_shadow_owner(const FgRelation *entry, int archive_bit)
{
	for (int i = 0; i < entry->n_policies; i++)
	{
		const FgPolicy *policy = entry->policies[i];

		if (policy->mode != FG_MODE_OFF && (policy->archive & archive_bit) != 0)
			return entry->shadow_owners[i];
	}
	return InvalidOid;
}

bool
fg_policy_active(void)
{
	if (!fg_preloaded || IsBinaryUpgrade || !OidIsValid(MyDatabaseId) ||
		!IsTransactionState())
		return false;
	if (fg_guc_database_ignored() || !fg_catalog_present())
		return false;
	if (!fg_enabled)
	{
		if (!warned_disabled)
		{
			warned_disabled = true;
			ereport(WARNING,
					(errmsg("fortress_guard is switched off: protected tables are not guarded"),
					 errhint("Set fortress.enabled = on in the configuration file and reload.")));
		}
		return false;
	}
	return true;
}

void
fg_policy_changed(Oid relid)
{
	List	   *relids = list_concat(find_all_inheritors(relid, NoLock, NULL),
									 fg_policy_ancestors(relid));
	ListCell   *lc;

	foreach(lc, relids)
	{
		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(lfirst_oid(lc))))
			CacheInvalidateRelcacheByRelid(lfirst_oid(lc));
	}
	CommandCounterIncrement();
}

/*
 * Sum of the rows of a tree by its statistics; -1 while they are unknown for a
 * part of it.
 */
static double
estimated_rows(Oid relid)
{
	List	   *relids = find_all_inheritors(relid, NoLock, NULL);
	double		rows = 0;
	ListCell   *lc;

	foreach(lc, relids)
	{
		HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_class form;

		if (!HeapTupleIsValid(tuple))
			continue;
		form = (Form_pg_class) GETSTRUCT(tuple);
		if (form->relkind == RELKIND_RELATION)
			rows = (rows < 0 || form->reltuples < 0) ? -1 : rows + form->reltuples;
		ReleaseSysCache(tuple);
	}
	return rows;
}

/* What counts while a table's size is unknown: never "no limit". */
static int64
default_rows(const FgLimit *limit)
{
	bool		window = limit->per == FG_PER_INTERVAL;
	int			rows;

	if (limit->op == FG_OP_DELETE)
	{
		rows = window ? fg_default_window_delete_rows : fg_default_delete_rows;
		return rows > 0 ? rows : 100;
	}
	rows = window ? fg_default_window_update_rows : fg_default_update_rows;
	return rows > 0 ? rows : 1000;
}

int64
fg_policy_limit_rows(const FgPolicy *policy, const FgLimit *limit)
{
	double		rows;

	if (limit->max_rows >= 0)
		return limit->max_rows;
	rows = estimated_rows(policy->relid);
	if (rows < 0)
		return default_rows(limit);
	return (int64) (rows * limit->max_fraction);
}
