/*-------------------------------------------------------------------------
 *
 * fg_apply.c
 *		Brings the triggers and shadows of relations into step with their
 *		policies.
 *
 * Whatever changes what a relation needs ends up here: protect() and its kin,
 * a new partition, ALTER TABLE.  It looks at what should stand and what does,
 * and changes only the difference.
 *
 * Locks: ShareRowExclusiveLock on every relation of the tree, parents first,
 * kept to the end of the transaction, then the shadow's own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "storage/lmgr.h"
#include "utils/rel.h"

#include "fg_apply.h"
#include "fg_event.h"
#include "fg_install.h"
#include "fg_policy.h"
#include "fg_shadow.h"

/* Raises an error for a relation that the guard cannot watch. */
static void
check_protectable(Relation rel)
{
	const char *name = fg_event_relation(RelationGetRelid(rel));
	char		relkind = rel->rd_rel->relkind;

	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("\"%s\" cannot be protected", name),
				 errdetail("It is neither an ordinary nor a partitioned table.")));
	if (relkind == RELKIND_RELATION && rel->rd_rel->relam != HEAP_TABLE_AM_OID)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("\"%s\" cannot be protected", name),
				 errdetail("Only tables of the heap access method can.")));
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("\"%s\" cannot be protected", name),
				 errdetail("It is a temporary table.")));
}

static void
apply_relation(Oid relid, bool archives)
{
	Relation	rel = table_open(relid, NoLock);
	FgRelation *entry = fg_policy_lookup(relid);

	if (entry == NULL)
	{
		if (rel->rd_rel->relkind == RELKIND_RELATION ||
			rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
			fg_install_remove(rel);
	}
	else
	{
		int			archive = entry->archive;
		bool		by_row = entry->by_row;
		bool		shadow = false;

		for (int i = 0; i < entry->n_policies; i++)
		{
			if (archives && entry->policies[i]->archive != FG_ARCHIVE_NONE &&
				entry->shadow_owners[i] == relid)
				shadow = true;
		}
		check_protectable(rel);
		fg_install_triggers(rel, archive, by_row);
		if (shadow)
		{
			FgOwnerState saved;

			fg_install_become_owner(&saved);
			(void) fg_shadow_ensure(rel);
			fg_install_be_user_again(&saved);
		}
	}
	table_close(rel, NoLock);
}

static void
apply_tree(Oid relid, bool archives)
{
	List	   *relids;
	ListCell   *lc;

	LockRelationOid(relid, ShareRowExclusiveLock);	/* the next call leaves it out */
	relids = find_all_inheritors(relid, ShareRowExclusiveLock, NULL);
	foreach(lc, relids)
		apply_relation(lfirst_oid(lc), archives);
}

void
fg_apply_tree(Oid relid)
{
	apply_tree(relid, true);
}

void
fg_apply_triggers(Oid relid)
{
	apply_tree(relid, false);
}
