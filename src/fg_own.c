/*-------------------------------------------------------------------------
 *
 * fg_own.c
 *		What is the guard's own, and whether it is guarded now.
 *
 * The guard's own are: the extension, the schemas fortress, fortress_shadow and
 * fortress_trash as long as they belong to it, all that is in them, and the
 * three triggers of each protected table.  It stands on
 * PostgreSQL's catalogs: one row of pg_trigger less, and a table is unguarded.
 * So writing catalogs is asked for like writing fortress.policy, but for
 * those that only describe or hold data:
 *
 *		pg_statistic, pg_statistic_ext_data, pg_description, pg_shdescription,
 *		pg_largeobject, pg_largeobject_metadata
 *
 * Naming the harmless ones errs on the safe side: what a later version adds is
 * guarded.  Catalogs are asked for only in a database with protected tables,
 * shared ones only in a cluster with such a database.  With setting
 * allow_system_table_mods a superuser can also alter them, put triggers and
 * rules on them and empty them, some of which crashes the server; that is asked
 * for likewise, and so are the functions, operators and views of pg_catalog,
 * which everybody finds first, the guard included.
 *
 * Loading a dump.  pg_restore makes what it restores as a superuser, with plain
 * SQL: rows of fortress.policy and the other tables by COPY or INSERT; archives
 * by CREATE TABLE in fortress_shadow, ALTER TABLE and TRUNCATE while they are
 * empty, CREATE INDEX when they are full; tables in fortress_trash with all that
 * they have; and rights by GRANT and REVOKE, long
 * after the rows of fortress.policy are there.  These, and nothing else, pass
 * for superusers in a database without the label "protected" (fg_label.c),
 * which the guard's own functions give, or the first use after loading.  It is the narrowest rule that we
 * found: whatever pg_restore says about itself somebody else could say too, and
 * a database in which nothing has been protected but by loading rows has little
 * to lose yet.  Never free are changes of what the extension made and of
 * archives with rows, nor UPDATE and DELETE.  The same rule lets pass what a
 * dump does to protected tables themselves after their policies are loaded
 * (fg_ddl_command.h): triggers, rules, policies and the like, and TRUNCATE of an
 * empty one.  Loading into a database that is
 * labelled takes an admin token, which PGOPTIONS can carry.
 *
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_description.h"
#include "catalog/pg_largeobject.h"
#include "catalog/pg_largeobject_metadata.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_shdescription.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_statistic_ext_data.h"
#include "catalog/pg_subscription_rel.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "fg_auth.h"
#include "fg_catalog.h"
#include "fg_decide.h"
#include "fg_event.h"
#include "fg_guc.h"
#include "fg_install.h"
#include "fg_label.h"
#include "fg_own.h"
#include "fg_policy.h"

#define EXTENSION		"fortress_guard"
#define N_SCHEMAS		3

static const char *const schema_names[N_SCHEMAS] = {
	"fortress", "fortress_shadow", "fortress_trash"
};

/* our schemas, InvalidOid where there is none; valid if schemas_known */
static Oid	schemas[N_SCHEMAS];
static bool schemas_known = false;
static uint64 n_changes = 0;	/* of schemas, as far as we heard */

/*
 * Relations that are known not to be ours: the slot of a relation is its oid
 * modulo the size.  Nearly every statement that writes asks.
 */
#define N_FOREIGN		256
static Oid	foreign_relations[N_FOREIGN];

static void
forget_schemas(Datum arg, int cacheid, uint32 hashvalue)
{
	n_changes++;
	schemas_known = false;
	memset(foreign_relations, 0, sizeof(foreign_relations));
}

static void
forget_relation(Datum arg, Oid relid)
{
	if (OidIsValid(relid))
		foreign_relations[relid % N_FOREIGN] = InvalidOid;
	else
		memset(foreign_relations, 0, sizeof(foreign_relations));
}

void
fg_own_setup(void)
{
	CacheRegisterSyscacheCallback(NAMESPACEOID, forget_schemas, (Datum) 0);
	CacheRegisterRelcacheCallback(forget_relation, (Datum) 0);
}

/* ----------------------------------------------------------------
 *		Is it guarded?
 * ----------------------------------------------------------------
 */

static bool
own_script(void)
{
	return creating_extension &&
		CurrentExtensionObject == get_extension_oid(EXTENSION, true);
}

/*
 * Commands that run now within the script of an extension, each within the one
 * before.  The first is the script's.  What else runs meanwhile, an event
 * trigger's function say, is somebody else's.
 */
static int	script_commands = 0;

/* DO runs the script's own words. */
bool
fg_own_script_begin(Node *stmt)
{
	if (!creating_extension || IsA(stmt, DoStmt))
		return false;
	script_commands++;
	return true;
}

void
fg_own_script_end(void)
{
	script_commands--;
}

/* Does a script write rows, or run a command, itself? */
static bool
script_writes(void)
{
	return creating_extension && script_commands == 0;
}

bool
fg_own_script_command(void)
{
	return creating_extension && script_commands <= 1;
}

/* On a standby the server refuses all that could be asked. */
bool
fg_own_guarded(void)
{
	return fg_policy_active() && !fg_install_own_work() && !own_script() && !RecoveryInProgress();
}

static bool
cluster_active(void)
{
	return fg_preloaded && fg_enabled && !IsBinaryUpgrade && OidIsValid(MyDatabaseId) &&
		IsTransactionState() && !RecoveryInProgress();
}

bool
fg_own_cluster_guarded(void)
{
	return cluster_active() && !fg_install_own_work() && !own_script();
}

bool
fg_own_loading(Oid schema)
{
	/* archives are made anew, what the extension makes is there */
	if (OidIsValid(schema) && schema == fg_catalog_schema())
		return false;
	return superuser() && !fg_label_protected(MyDatabaseId);
}

bool
fg_own_loading_empty(Oid relid)
{
	Relation	rel;
	bool		empty;

	if (get_rel_relkind(relid) != RELKIND_RELATION || !fg_own_loading(InvalidOid))
		return false;
	rel = table_open(relid, AccessShareLock);
	empty = RelationGetNumberOfBlocks(rel) == 0;
	table_close(rel, AccessShareLock);
	return empty;
}

bool
fg_own_loading_archive(Oid relid, bool only_empty)
{
	return fg_own_loading(get_rel_namespace(relid)) &&
		(!only_empty || fg_own_loading_empty(relid));
}

/* ----------------------------------------------------------------
 *		Is it ours?
 * ----------------------------------------------------------------
 */

/* A schema that only has the name of ours, in whatever database, is nobody's. */
static void
find_schemas(void)
{
	Oid			found[N_SCHEMAS];
	uint64		started;

	do
	{
		Oid			extension;

		started = n_changes;
		extension = get_extension_oid(EXTENSION, true);
		for (int i = 0; i < N_SCHEMAS; i++)
		{
			found[i] = get_namespace_oid(schema_names[i], true);
			if (OidIsValid(found[i]) &&
				(!OidIsValid(extension) ||
				 getExtensionOfObject(NamespaceRelationId, found[i]) != extension))
				found[i] = InvalidOid;
		}
		/* again if they changed meanwhile, unless the server only tests that */
	} while (n_changes != started && debug_discard_caches == 0);
	memcpy(schemas, found, sizeof(schemas));
	schemas_known = true;
}

bool
fg_own_schema(Oid schema)
{
	if (!OidIsValid(schema))
		return false;
	if (!schemas_known)
		find_schemas();
	for (int i = 0; i < N_SCHEMAS; i++)
	{
		if (schemas[i] == schema)
			return true;
	}
	return false;
}

bool
fg_own_known_foreign(Oid relid)
{
	return foreign_relations[relid % N_FOREIGN] == relid;
}

bool
fg_own_relation(Oid relid)
{
	Oid		   *slot = &foreign_relations[relid % N_FOREIGN];

	if (relid < FirstNormalObjectId || *slot == relid)
		return false;
	if (fg_own_schema(get_rel_namespace(relid)))
		return true;
	*slot = relid;
	return false;
}

/* A catalog whose rows say how the server works. */
static bool
telling_catalog(Oid relid)
{
	if (!IsCatalogRelationOid(relid))
		return false;
	switch (relid)
	{
		case StatisticRelationId:
		case StatisticExtDataRelationId:
		case DescriptionRelationId:
		case SharedDescriptionRelationId:
		case LargeObjectRelationId:
		case LargeObjectMetadataRelationId:
			return false;
		default:
			return true;
	}
}

/* ----------------------------------------------------------------
 *		Asking
 * ----------------------------------------------------------------
 */

static void
ask(const char *what, const char *object, Oid relid, const char *why, Oid database)
{
	FgRequest	request = {.question = FG_ASK_ADMIN,.op = FG_OP_ADMIN};
	FgVerdict	verdict;

	request.relid = relid;
	request.role = GetUserId();
	request.what = what;
	request.object = object;
	request.why = why;
	request.database = database;
	fg_decide(&request, &verdict);
}

void
fg_own_ask(const char *what, const char *object, Oid relid, const char *why)
{
	ask(what, object, relid, why, InvalidOid);
}

void
fg_own_ask_relation(const char *what, Oid relid)
{
	ask(what, psprintf("\"%s\"", fg_event_relation(relid)), relid, NULL, InvalidOid);
}

/* What is tried in a database without a log goes to one that it concerns. */
void
fg_own_ask_cluster(const char *what, const char *object, const char *why)
{
	ask(what, object, InvalidOid, why,
		fg_catalog_present() ? InvalidOid : fg_label_any_protected());
}

/*
 * What a subscription brings comes in below the executor, where nobody asks; so
 * none may have a relation of ours.  The command has written which ones it has.
 */
void
fg_own_check_subscriptions(const char *what)
{
	Relation	catalog;
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *relids = NIL;
	ListCell   *lc;

	if (!fg_own_guarded())
		return;
	CommandCounterIncrement();
	catalog = table_open(SubscriptionRelRelationId, AccessShareLock);
	scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		Oid			relid = ((Form_pg_subscription_rel) GETSTRUCT(tuple))->srrelid;

		if (fg_own_relation(relid))
			relids = lappend_oid(relids, relid);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	foreach(lc, relids)
		ask(what, psprintf("\"%s\"", fg_event_relation(lfirst_oid(lc))), lfirst_oid(lc),
			"What a subscription brings would be written without a question.", InvalidOid);
}

static bool
system_relation(Oid relid)
{
	Oid			schema = get_rel_namespace(relid);

	return IsCatalogNamespace(schema) || IsToastNamespace(schema);
}

/*
 * Extensions may have something in pg_catalog, or in its indexes; their scripts
 * say so.  Event triggers that fire meanwhile are no part of them.
 */
static bool
system_guarded(void)
{
	return !fg_own_script_command() && !fg_install_own_work() && fg_policy_active() &&
		fg_label_protected(MyDatabaseId);
}

/*
 * Without allow_system_table_mods the server itself says no to nearly
 * everything, and so it does to all who are no superusers.
 */
void
fg_own_ask_catalog(const char *what, Oid relid, bool always)
{
	if (relid >= FirstNormalObjectId || !superuser() ||
		(!always && !allowSystemTableMods) ||
		!system_relation(relid) || !system_guarded())
		return;
	fg_own_ask(what, psprintf("catalog %s", fg_event_relation(relid)), relid,
			   "The server and the guard rely on it as it is.");
}

/* Collations come from the operating system, by pg_import_system_collations(). */
void
fg_own_ask_system(const char *what, Oid class, Oid object, bool drops)
{
	ObjectAddress address;
	char	   *description;

	if (class == CollationRelationId || !system_guarded() ||
		(drops && (object >= FirstNormalObjectId ||
				   OidIsValid(getExtensionOfObject(class, object)))))
		return;
	ObjectAddressSet(address, class, object);
	description = getObjectDescription(&address, true);
	fg_own_ask(what, description != NULL ? description : "an object of schema pg_catalog",
			   InvalidOid, "The server and the guard look there first for what they call.");
}

/*
 * Where nothing is guarded, because the configuration file says so, nobody is
 * asked either.
 */
void
fg_own_ask_approval(const char *function, const char *object, Oid relid)
{
	if (fg_own_guarded() && fg_auth_needs_approval(FG_OP_ADMIN, InvalidOid))
		ask(function, object, relid, "Changing the guard takes a second person here.", InvalidOid);
}

void
fg_own_require_admin(const char *function, const char *object, Oid relid)
{
	fg_auth_require_admin();
	fg_own_ask_approval(function, object, relid);
}

/*
 * The guard's own DDL writes no rows by the executor, so what does so in its
 * midst is somebody else's event trigger or type.
 */
void
fg_own_ask_write(const char *what, Oid relid, bool adds)
{
	if (relid >= FirstNormalObjectId)
	{
		if (fg_own_known_foreign(relid) ||
			!fg_policy_active() || own_script() || !fg_own_relation(relid))
			return;
		if (!adds || !fg_own_loading(InvalidOid))
			fg_own_ask_relation(what, relid);
		else if (relid == fg_catalog_relation("policy"))
			fg_label_policies_loaded();
	}
	else if (telling_catalog(relid) && !script_writes())
	{
		const char *why = "Its rows say what is guarded, and how the server works.";
		char	   *object = psprintf("catalog %s", fg_event_relation(relid));

		if (IsSharedRelation(relid))
		{
			if (cluster_active() && OidIsValid(fg_label_any_protected()))
				fg_own_ask_cluster(what, object, why);
		}
		else if (fg_policy_active() && fg_label_protected(MyDatabaseId))
			fg_own_ask(what, object, relid, why);
	}
}
