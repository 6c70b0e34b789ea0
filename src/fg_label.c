/*-------------------------------------------------------------------------
 *
 * fg_label.c
 *		Shared security labels: what every database of the cluster must know
 *		of the others.
 *
 * Roles and databases belong to the cluster, policies and exemptions to one
 * database, and no session can look into another one.  So what matters outside
 * is written where all can read it, transactionally and crash-safe, into
 * pg_shseclabel:
 *
 *	a database with a policy	"protected", or
 *								"protected, may be dropped until SECONDS"
 *	one that is being loaded	"loading"
 *	a role with an exemption	"exempt in OID, OID until SECONDS, ..."
 *
 * A role that approves requests by fortress.require_approval() counts as one with
 * an exemption that does not end: whoever becomes it has permission too.
 *
 * OID is a database, SECONDS count from 1970 on.  An exemption that has expired
 * or whose database is gone does not count, without anybody cleaning up.
 *
 * Labels follow the tables, never the other way: before a transaction commits
 * that has changed policies or exemptions, they are worked out anew.  What
 * nobody announces has its effect with the next change; so a clone of a database
 * gets its labels with its next policy, and can be dropped until then.
 *
 * Where the policies come from a dump (fg_own.h), the labels must not come with
 * them, as more is to be loaded that would be refused then.  Nothing in a dump
 * says that it ends.  So the database is labelled "loading" meanwhile, which
 * nobody takes for protected, and protected when it is in use: when somebody has
 * written a protected table otherwise than by adding rows, or has met a refusal
 * that was recorded, and all protected tables have triggers of the guard, which
 * are the last that a dump makes.
 *
 * pg_dump and pg_dumpall write labels into their output as SECURITY LABEL
 * commands.  They are from another cluster, where the numbers meant something
 * else, so that such a command has no effect here, but is no error either.
 * Only pg_upgrade keeps databases and roles under their numbers.
 *
 * Locks: whoever works out the labels of a database holds a lock on the pair
 * (pg_shseclabel, its oid, 0) to the end of the transaction, so that everybody
 * sees what the one before has committed (a prepared transaction keeps it until
 * its end); whoever finds that a loaded database is in use does not wait for it.
 * A role's label, which several
 * databases write, is under (pg_shseclabel, the role's oid, 1); roles are taken
 * in the order of their oids.  Nobody else locks such pairs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_shseclabel.h"
#include "commands/dbcommands.h"
#include "commands/seclabel.h"
#include "commands/trigger.h"
#include "lib/ilist.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "fg_catalog.h"
#include "fg_catalog_auth.h"
#include "fg_catalog_request.h"
#include "fg_guc.h"
#include "fg_label.h"
#include "fg_xact.h"

#define LABEL_PROTECTED		"protected"
#define LABEL_MAY_DROP		"protected, may be dropped until "
#define LABEL_LOADING		"loading"
#define LABEL_EXEMPT		"exempt in "

/* An entry of a role's label. */
typedef struct FgExemptIn
{
	Oid			database;
	int64		until;			/* seconds from 1970 on; -1: no end */
} FgExemptIn;

/* A label that SECURITY LABEL has set; in TopTransactionContext. */
typedef struct FgSetAside
{
	dlist_node	link;
	ObjectAddress object;
	char	   *text;			/* what it was before; NULL: none */
	int			level;			/* nest level of the (sub)transaction that set it */
	int			replaced;		/* of the one that gave it another label of ours; 0: none */
} FgSetAside;

static dlist_head set_aside = DLIST_STATIC_INIT(set_aside);
static bool policies_dirty = false;
static bool exemptions_dirty = false;
static bool policies_loaded = false;
static bool loaded_in_use = false;

/* this session has seen that the database is not being loaded */
static bool not_loading = false;

/* ----------------------------------------------------------------
 *		Labels as they stand
 * ----------------------------------------------------------------
 */

static int64
to_seconds(TimestampTz when)
{
	return when / USECS_PER_SEC +
		(int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY;
}

static FgSetAside *
find_set_aside(Oid class, Oid object)
{
	dlist_iter	iter;

	dlist_foreach(iter, &set_aside)
	{
		FgSetAside *entry = dlist_container(FgSetAside, link, iter.cur);

		if (entry->object.classId == class && entry->object.objectId == object &&
			entry->replaced == 0)
			return entry;
	}
	return NULL;
}

/* The text of a label that counts; NULL: none. */
static char *
get_label(Oid class, Oid object)
{
	FgSetAside *entry = find_set_aside(class, object);
	ObjectAddress address;

	if (entry != NULL)
		return entry->text;
	ObjectAddressSet(address, class, object);
	return GetSecurityLabel(&address, FG_LABEL_PROVIDER);
}

static void
put_label(Oid class, Oid object, const char *text)
{
	FgSetAside *entry = find_set_aside(class, object);
	ObjectAddress address;

	if (entry != NULL)
		entry->replaced = GetCurrentTransactionNestLevel();
	ObjectAddressSet(address, class, object);
	SetSecurityLabel(&address, FG_LABEL_PROVIDER, text);
	CommandCounterIncrement();
}

/* The oids of all objects of a kind that have a label of ours, in their order. */
static List *
labelled_objects(Oid class)
{
	Relation	rel = table_open(SharedSecLabelRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *oids = NIL;

	ScanKeyInit(&keys[0], Anum_pg_shseclabel_classoid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(class));
	ScanKeyInit(&keys[1], Anum_pg_shseclabel_provider, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(FG_LABEL_PROVIDER));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 2, keys);
	while ((tuple = systable_getnext(scan)) != NULL)
		oids = lappend_oid(oids, ((Form_pg_shseclabel) GETSTRUCT(tuple))->objoid);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	list_sort(oids, list_oid_cmp);
	return oids;
}

/* ----------------------------------------------------------------
 *		Databases
 * ----------------------------------------------------------------
 */

bool
fg_label_protected(Oid database)
{
	char	   *label = get_label(DatabaseRelationId, database);

	return label != NULL && strncmp(label, LABEL_PROTECTED, strlen(LABEL_PROTECTED)) == 0;
}

static bool
being_loaded(void)
{
	char	   *label = get_label(DatabaseRelationId, MyDatabaseId);

	return label != NULL && strcmp(label, LABEL_LOADING) == 0;
}

bool
fg_label_may_drop(Oid database)
{
	char	   *label = get_label(DatabaseRelationId, database);

	if (label == NULL || strncmp(label, LABEL_MAY_DROP, strlen(LABEL_MAY_DROP)) != 0)
		return false;
	return strtoll(label + strlen(LABEL_MAY_DROP), NULL, 10) > to_seconds(GetCurrentTimestamp());
}

Oid
fg_label_any_protected(void)
{
	ListCell   *lc;

	foreach(lc, labelled_objects(DatabaseRelationId))
	{
		char	   *name = get_database_name(lfirst_oid(lc));

		if (name != NULL && fg_label_protected(lfirst_oid(lc)) && !fg_guc_name_ignored(name))
			return lfirst_oid(lc);
	}
	return InvalidOid;
}

/* ----------------------------------------------------------------
 *		Roles
 * ----------------------------------------------------------------
 */

/* The entries of a role's label, of FgExemptIn *; what can't be read is left out. */
static List *
parse_exempt(const char *label)
{
	List	   *entries = NIL;
	const char *p;

	if (label == NULL || strncmp(label, LABEL_EXEMPT, strlen(LABEL_EXEMPT)) != 0)
		return NIL;
	for (p = label + strlen(LABEL_EXEMPT); *p != '\0';)
	{
		FgExemptIn *entry = palloc0(sizeof(FgExemptIn));
		char	   *end;

		entry->database = (Oid) strtoul(p, &end, 10);
		entry->until = -1;
		if (end == p)
			break;
		p = end;
		if (strncmp(p, " until ", 7) == 0)
		{
			entry->until = strtoll(p + 7, &end, 10);
			p = end;
		}
		entries = lappend(entries, entry);
		if (strncmp(p, ", ", 2) != 0)
			break;
		p += 2;
	}
	return entries;
}

static bool
entry_counts(const FgExemptIn *entry)
{
	return (entry->until < 0 || entry->until > to_seconds(GetCurrentTimestamp())) &&
		SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(entry->database));
}

List *
fg_label_exempt_roles(void)
{
	List	   *roles = NIL;
	ListCell   *lc;

	foreach(lc, labelled_objects(AuthIdRelationId))
	{
		ListCell   *lc2;

		foreach(lc2, parse_exempt(get_label(AuthIdRelationId, lfirst_oid(lc))))
		{
			if (entry_counts(lfirst(lc2)))
				roles = list_append_unique_oid(roles, lfirst_oid(lc));
		}
	}
	return roles;
}

/*
 * A role's label with the entry of this database replaced; "mine" NULL: taken
 * out.  NULL if nothing is left.
 */
static char *
exempt_label(const char *label, const FgExemptIn *mine)
{
	List	   *entries = parse_exempt(label);
	StringInfoData buf;
	const char *separator = LABEL_EXEMPT;
	ListCell   *lc;

	initStringInfo(&buf);
	if (mine != NULL)
		entries = lappend(entries, unconstify(FgExemptIn *, mine));
	foreach(lc, entries)
	{
		FgExemptIn *entry = lfirst(lc);

		if (entry != mine && (entry->database == MyDatabaseId || !entry_counts(entry)))
			continue;
		appendStringInfo(&buf, "%s%u", separator, entry->database);
		if (entry->until >= 0)
			appendStringInfo(&buf, " until " INT64_FORMAT, entry->until);
		separator = ", ";
	}
	return buf.len > 0 ? buf.data : NULL;
}

static bool
same_label(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* The exemptions of this database, and what counts as one. */
static List *
exemptions_here(void)
{
	List	   *exemptions;
	ListCell   *lc;

	if (!fg_catalog_present())
		return NIL;
	exemptions = fg_catalog_exemptions_of(InvalidOid);
	foreach(lc, fg_catalog_rules())
	{
		FgApprovalRule *rule = lfirst(lc);
		FgExemptionRow *row;

		if (!OidIsValid(rule->approvers))
			continue;
		row = palloc0(sizeof(FgExemptionRow));
		row->role = rule->approvers;
		row->valid_until = DT_NOEND;
		exemptions = lappend(exemptions, row);
	}
	return exemptions;
}

/* How far a role is exempt in this database; false: not at all. */
static bool
exempt_here(List *exemptions, Oid role, FgExemptIn *mine)
{
	bool		found = false;
	ListCell   *lc;

	mine->database = MyDatabaseId;
	foreach(lc, exemptions)
	{
		FgExemptionRow *row = lfirst(lc);
		int64		until;

		if (row->role != role)
			continue;
		until = TIMESTAMP_IS_NOEND(row->valid_until) ? -1 : to_seconds(row->valid_until) + 1;
		if (!found || until < 0)
			mine->until = until;
		else if (mine->until >= 0)
			mine->until = Max(mine->until, until);
		found = true;
	}
	return found;
}

/* ----------------------------------------------------------------
 *		Labels follow the tables
 * ----------------------------------------------------------------
 */

static void
follow_exemptions(void)
{
	List	   *exemptions = exemptions_here();
	List	   *roles = labelled_objects(AuthIdRelationId);
	ListCell   *lc;

	foreach(lc, exemptions)
		roles = list_append_unique_oid(roles, ((FgExemptionRow *) lfirst(lc))->role);
	list_sort(roles, list_oid_cmp);
	foreach(lc, roles)
	{
		Oid			role = lfirst_oid(lc);
		FgExemptIn	mine;
		bool		exempt = exempt_here(exemptions, role, &mine);
		char	   *label = get_label(AuthIdRelationId, role);
		char	   *wanted = exempt_label(label, exempt ? &mine : NULL);

		if (same_label(label, wanted))
			continue;
		LockSharedObject(SharedSecLabelRelationId, role, 1, ExclusiveLock);
		label = get_label(AuthIdRelationId, role);
		wanted = exempt_label(label, exempt ? &mine : NULL);
		if (!same_label(label, wanted) &&
			SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)))
			put_label(AuthIdRelationId, role, wanted);
	}
}

static bool
any_policy(void)
{
	FgScan		scan;
	bool		found;

	if (!fg_catalog_present())
		return false;
	fg_scan_begin(&scan, "policy", NULL, AccessShareLock, 0, NULL);
	found = fg_scan_next(&scan) != NULL;
	fg_scan_end(&scan);
	return found;
}

/* True if the database was not labelled and now is. */
static bool
follow_policies(void)
{
	bool		labelled = fg_label_protected(MyDatabaseId);
	bool		wanted = any_policy();

	if (labelled != wanted || being_loaded())
		put_label(DatabaseRelationId, MyDatabaseId, wanted ? LABEL_PROTECTED : NULL);
	return wanted && !labelled;
}

/* Have all protected tables that are there been given their triggers? */
static bool
triggers_loaded(void)
{
	ListCell   *lc;

	foreach(lc, fg_catalog_policy_relids())
	{
		Oid			relid = lfirst_oid(lc);

		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)) &&
			!OidIsValid(get_trigger_oid(relid, "fortress_guard_truncate", true)))
			return false;
	}
	return true;
}

/* A database in use is not being loaded any more. */
static void
follow_use(void)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, SharedSecLabelRelationId, MyDatabaseId, 0);
	if (!being_loaded() || !triggers_loaded() ||
		LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL ||
		!being_loaded())
		return;
	if (follow_policies())
	{
		follow_exemptions();
		ereport(LOG,
				(errmsg("fortress_guard takes database \"%s\", whose policies were loaded from a dump, for protected: it is in use",
						get_database_name(MyDatabaseId))));
	}
}

/* What SECURITY LABEL has set goes back to what it was. */
static void
put_back(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &set_aside)
	{
		FgSetAside *entry = dlist_container(FgSetAside, link, iter.cur);
		bool		role = entry->object.classId == AuthIdRelationId;

		if (entry->replaced == 0 &&
			SearchSysCacheExists1(role ? AUTHOID : DATABASEOID,
								  ObjectIdGetDatum(entry->object.objectId)))
			put_label(entry->object.classId, entry->object.objectId, entry->text);
	}
	dlist_init(&set_aside);
}

/* The end of a transaction has no snapshot, which rows with a long text need. */
static void
follow_tables(bool prepares)
{
	PushActiveSnapshot(GetTransactionSnapshot());
	if (!dlist_is_empty(&set_aside))
		put_back();
	if (policies_dirty || exemptions_dirty || policies_loaded)
	{
		LockSharedObject(SharedSecLabelRelationId, MyDatabaseId, 0, ExclusiveLock);
		if (policies_dirty && follow_policies())
			exemptions_dirty = true;
		if (exemptions_dirty)
			follow_exemptions();
		if (policies_loaded && get_label(DatabaseRelationId, MyDatabaseId) == NULL)
			put_label(DatabaseRelationId, MyDatabaseId, LABEL_LOADING);
	}
	else if (loaded_in_use && !prepares)
		follow_use();
	PopActiveSnapshot();
}

static void
end_transaction(XactEvent event)
{
	if (event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PRE_PREPARE)
		dlist_init(&set_aside);
	else if (policies_dirty || exemptions_dirty || policies_loaded ||
			 loaded_in_use || !dlist_is_empty(&set_aside))
		follow_tables(event == XACT_EVENT_PRE_PREPARE);
	policies_dirty = false;
	exemptions_dirty = false;
	policies_loaded = false;
	loaded_in_use = false;
}

/*
 * With the label that was set the lock on its row goes, and others may give it
 * another one, which must not be put back.
 */
static void
end_subtransaction(SubXactEvent event, int level)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &set_aside)
	{
		FgSetAside *entry = dlist_container(FgSetAside, link, iter.cur);

		if (event == SUBXACT_EVENT_ABORT_SUB)
		{
			if (entry->level >= level)
				dlist_delete(&entry->link);
			else if (entry->replaced >= level)
				entry->replaced = 0;
		}
		else if (event == SUBXACT_EVENT_COMMIT_SUB)
		{
			entry->level = Min(entry->level, level - 1);
			entry->replaced = Min(entry->replaced, level - 1);
		}
	}
}

void
fg_label_setup(void)
{
	fg_xact_register(end_transaction, end_subtransaction, FG_XACT_EARLY);
}

void
fg_label_policies_changed(void)
{
	policies_dirty = true;
	fg_xact_touch();
}

void
fg_label_exemptions_changed(void)
{
	exemptions_dirty = true;
	fg_xact_touch();
}

void
fg_label_policies_loaded(void)
{
	policies_loaded = true;
	not_loading = false;
	fg_xact_touch();
}

void
fg_label_in_use(void)
{
	if (not_loading)
		return;
	if (!being_loaded())
		not_loading = true;
	else
	{
		loaded_in_use = true;
		fg_xact_touch();
	}
}

/* ----------------------------------------------------------------
 *		Labels that somebody sets
 * ----------------------------------------------------------------
 */

bool
fg_label_allow_drop(TimestampTz until)
{
	LockSharedObject(SharedSecLabelRelationId, MyDatabaseId, 0, ExclusiveLock);
	if (!fg_label_protected(MyDatabaseId))
		return false;
	put_label(DatabaseRelationId, MyDatabaseId,
			  psprintf("%s" INT64_FORMAT, LABEL_MAY_DROP, to_seconds(until)));
	return true;
}

void
fg_label_set_aside(const ObjectAddress *object)
{
	MemoryContext old;
	FgSetAside *entry;
	char	   *text;

	if (find_set_aside(object->classId, object->objectId) != NULL)
		return;
	text = GetSecurityLabel(object, FG_LABEL_PROVIDER);
	old = MemoryContextSwitchTo(TopTransactionContext);
	entry = palloc0(sizeof(FgSetAside));
	entry->object = *object;
	entry->text = text != NULL ? pstrdup(text) : NULL;
	entry->level = GetCurrentTransactionNestLevel();
	dlist_push_tail(&set_aside, &entry->link);
	MemoryContextSwitchTo(old);
	fg_xact_touch();
}
