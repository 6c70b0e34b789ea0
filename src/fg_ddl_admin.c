/*-------------------------------------------------------------------------
 *
 * fg_ddl_admin.c
 *		The guard guards itself against commands.
 *
 * Refused without permission for "admin" (ZG011), for what is the guard's own
 * (fg_own.c says what that is):
 *
 *	DROP, ALTER, TRUNCATE, by whatever cascade, and CREATE in our schemas
 *	ALTER TABLE and its kin on our relations; INDEX, TRIGGER, RULE, POLICY,
 *			STATISTICS on them; inheriting from them; CREATE OR REPLACE VIEW
 *	GRANT, REVOKE and ALTER DEFAULT PRIVILEGES
 *	COPY FROM into our tables, or into a catalog
 *	DROP and ALTER EXTENSION fortress_guard, UPDATE included
 *	SECURITY LABEL FOR fortress_guard ... IS NULL
 *
 * for PostgreSQL's own in a database with protected tables
 *
 *	ALTER TABLE and its kin, INDEX, TRIGGER, RULE, POLICY, TRUNCATE of what is
 *			in pg_catalog
 *	CREATE, CREATE OR REPLACE, ALTER and DROP of functions and the like there
 *
 * and commands on roles and on the server's settings, for which see
 * fg_ddl_role.c and fg_ddl_database.c.  Passing: COMMENT, VACUUM, ANALYZE,
 * CLUSTER, REINDEX, LOCK, COPY TO, moving a whole tablespace, the guard's own
 * DDL, the script of the extension, pg_upgrade, and what loads a dump (fg_own.c).
 *
 * Two places watch, since neither sees all.  The object access hook sees what a
 * command really creates, alters and drops, at the end of any cascade.  It does
 * not see GRANT, nor which index a REINDEX makes anew; and its "altered" comes
 * for relations from so much that is harmless that there the command is looked
 * at instead.  A new object is looked at as it is (SnapshotSelf), since the
 * command has not made it visible yet; an altered one as it was, since moves
 * into our schemas name them.
 *
 * The guard's triggers on protected tables are looked at by fg_ddl_table.c and
 * fg_ddl_drop.c.
 *
 * Names are looked up without a lock, as the command itself has yet to take its
 * own; the object access hook is what a concurrent rename has to get past, and
 * nobody can rename what is ours.
 *
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_default_acl.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "commands/seclabel.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "parser/parse_func.h"
#include "parser/parse_type.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "fg_catalog.h"
#include "fg_compat.h"
#include "fg_ddl_admin.h"
#include "fg_ddl_database.h"
#include "fg_ddl_role.h"
#include "fg_decide.h"
#include "fg_guc.h"
#include "fg_install.h"
#include "fg_label.h"
#include "fg_own.h"
#include "fg_policy.h"
#include "fg_trash.h"

#define EXTENSION		"fortress_guard"

/* the command that began last, as messages name it; NULL: none yet */
static const char *current_command = NULL;

/*
 * Whom it was permitted to drop what is ours in that command.  A cascade is not
 * asked for piece by piece: the tables of permission may have gone by then.  So
 * may those of policies; what they govern is kept (TopMemoryContext).
 */
static Oid	drop_permitted_to = InvalidOid;
static bool tables_go = false;
static List *governed = NIL;	/* oids, once tables_go */

/* ----------------------------------------------------------------
 *		Objects, by their addresses
 * ----------------------------------------------------------------
 */

/* Where a row says what the object belongs to. */
typedef struct FgBelongs
{
	Oid			class;
	Oid			index;			/* on the oid */
	AttrNumber	oid;
	AttrNumber	owner;			/* column with the oid of a relation, or ... */
	bool		schema;			/* of a schema */
} FgBelongs;

/* kinds of objects that are in no schema of their own */
static const FgBelongs belongs_table[] = {
	{TriggerRelationId, TriggerOidIndexId, Anum_pg_trigger_oid, Anum_pg_trigger_tgrelid, false},
	{RewriteRelationId, RewriteOidIndexId, Anum_pg_rewrite_oid, Anum_pg_rewrite_ev_class, false},
	{PolicyRelationId, PolicyOidIndexId, Anum_pg_policy_oid, Anum_pg_policy_polrelid, false},
	{AttrDefaultRelationId, AttrDefaultOidIndexId, Anum_pg_attrdef_oid, Anum_pg_attrdef_adrelid, false},
	{DefaultAclRelationId, DefaultAclOidIndexId, Anum_pg_default_acl_oid, Anum_pg_default_acl_defaclnamespace, true}
};

static bool
how_it_belongs(Oid class, FgBelongs *how)
{
	for (int i = 0; i < lengthof(belongs_table); i++)
	{
		if (belongs_table[i].class == class)
		{
			*how = belongs_table[i];
			return true;
		}
	}
	if (!is_objectclass_supported(class) ||
		get_object_attnum_namespace(class) == InvalidAttrNumber)
		return false;
	how->class = class;
	how->index = get_object_oid_index(class);
	how->oid = get_object_attnum_oid(class);
	how->owner = get_object_attnum_namespace(class);
	how->schema = true;
	return true;
}

/* What comes with something else, which is looked at itself. */
static bool
is_part(Oid class, HeapTuple tuple, bool new)
{
	if (class == TypeRelationId)
	{
		Form_pg_type form = (Form_pg_type) GETSTRUCT(tuple);

		/* the row type of a relation, or the array type of any other */
		return OidIsValid(form->typrelid) || IsTrueArrayType(form);
	}
	if (class == RelationRelationId && new)
	{
		char		relkind = ((Form_pg_class) GETSTRUCT(tuple))->relkind;

		/* CREATE INDEX is asked for by its command, and REINDEX makes indexes too */
		return relkind == RELKIND_INDEX || relkind == RELKIND_PARTITIONED_INDEX;
	}
	return false;
}

/*
 * The schema that an object is in or that its table is in; InvalidOid: none,
 * or the object does not count by itself.
 */
static Oid
schema_of(Oid class, Oid object, bool new)
{
	FgBelongs	how;
	Relation	rel;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			schema = InvalidOid;

	if (class == NamespaceRelationId)
		return object;
	if (!how_it_belongs(class, &how))
		return InvalidOid;
	rel = table_open(class, AccessShareLock);
	ScanKeyInit(&key, how.oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(object));
	scan = systable_beginscan(rel, how.index, true, new ? SnapshotSelf : NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple) && !is_part(class, tuple, new))
	{
		bool		isnull;

		schema = DatumGetObjectId(heap_getattr(tuple, how.owner, RelationGetDescr(rel), &isnull));
		if (!how.schema)
			schema = get_rel_namespace(schema);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return schema;
}

/* Is the object ours?  *schema: the one that it is in, or InvalidOid. */
static bool
own_object(Oid class, Oid object, bool new, Oid *schema)
{
	*schema = InvalidOid;
	if (class == ExtensionRelationId)
		return object == get_extension_oid(EXTENSION, true);
	*schema = schema_of(class, object, new);
	return fg_own_schema(*schema);
}

/* The command that runs, as messages name it; or what happens to the object. */
static const char *
command_name(const char *what)
{
	return current_command != NULL ? current_command : what;
}

static void
ask_object(const char *what, Oid class, Oid object, Oid schema)
{
	ObjectAddress address;
	char	   *description;

	ObjectAddressSet(address, class, object);
	description = getObjectDescription(&address, true);
	if (description == NULL)
		description = psprintf("schema %s", get_namespace_name(schema));
	fg_own_ask(command_name(what), description,
			   class == RelationRelationId && get_rel_name(object) != NULL ? object : InvalidOid,
			   NULL);
}

/* What is made or altered, but for relations, whose commands say more. */
static void
check_changed_object(const char *what, Oid class, Oid object, bool new)
{
	Oid			schema;

	if (own_object(class, object, new, &schema))
	{
		if (!fg_own_loading(schema) || (!new && schema != get_namespace_oid("fortress_trash", true)))
			ask_object(what, class, object, schema);
	}
	else if (IsCatalogNamespace(schema))
		fg_own_ask_system(command_name(what), class, object, false);
}

/* From now on nobody can read what is governed: while it can still be, it is kept. */
static void
note_tables_go(void)
{
	List	   *relids = NIL;
	ListCell   *lc;
	MemoryContext old;

	foreach(lc, fg_catalog_policy_relids())
	{
		Oid			relid = lfirst_oid(lc);

		if (fg_catalog_get_policy(relid)->mode == FG_MODE_BLOCK)
			relids = list_concat_unique_oid(relids, find_all_inheritors(relid, NoLock, NULL));
	}
	old = MemoryContextSwitchTo(TopMemoryContext);
	governed = list_copy(relids);
	MemoryContextSwitchTo(old);
	tables_go = true;
}

/* The permission to drop the guard is none to drop a protected table with it. */
static void
check_goes_along(Oid relid)
{
	FgRequest	request = {.question = FG_ASK_TOGETHER,.op = FG_OP_DDL};
	FgVerdict	verdict;

	if (!list_member_oid(governed, relid))
		return;
	request.relid = relid;
	request.role = GetUserId();
	request.what = command_name("DROP");
	fg_decide(&request, &verdict);
}

static void
check_drop_object(Oid class, Oid object)
{
	Oid			schema;

	if (!own_object(class, object, false, &schema))
	{
		if (IsCatalogNamespace(schema))
			fg_own_ask_system(command_name("DROP"), class, object, true);
		return;
	}
	if (drop_permitted_to != GetUserId())
		ask_object("DROP", class, object, schema);
	drop_permitted_to = GetUserId();
	if (!tables_go && (class == ExtensionRelationId || schema == fg_catalog_schema()))
		note_tables_go();
}

bool
fg_ddl_admin_tables_go(void)
{
	return tables_go;
}

/* A table with a policy goes: the label of this database may have to follow. */
static void
note_dropped(Oid relid)
{
	if (tables_go || get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
		return;
	switch (get_rel_relkind(relid))
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
			if (fg_policy_lookup(relid) != NULL)
				fg_label_policies_changed();
			break;
		default:
			break;
	}
}

/* So it must when the extension goes, though its schema has gone before it. */
static void
note_extension_dropped(void)
{
	if (!fg_preloaded || IsBinaryUpgrade)
		return;
	fg_label_policies_changed();
	fg_label_exemptions_changed();
}

void
fg_ddl_admin_access(ObjectAccessType access, Oid classId, Oid objectId, int subId, void *arg)
{
	if (classId == ExtensionRelationId && access == OAT_DROP &&
		objectId == get_extension_oid(EXTENSION, true))
		note_extension_dropped();
	if (access == OAT_DROP && classId == RelationRelationId && tables_go)
		check_goes_along(objectId);
	if (access == OAT_TRUNCATE && objectId < FirstNormalObjectId)
	{
		fg_own_ask_write("TRUNCATE", objectId, false);	/* may be shared */
		return;
	}
	if (access == OAT_NAMESPACE_SEARCH || access == OAT_FUNCTION_EXECUTE || subId != 0 ||
		!fg_own_guarded())
		return;

	switch (access)
	{
		case OAT_TRUNCATE:
			if (fg_own_relation(objectId) && !fg_own_loading_archive(objectId, true))
				fg_own_ask_relation("TRUNCATE", objectId);
			break;

		case OAT_DROP:
			/* what the server makes and drops on the way to something else */
			if ((((ObjectAccessDrop *) arg)->dropflags & PERFORM_DELETION_INTERNAL) != 0)
				break;
			check_drop_object(classId, objectId);
			if (classId == RelationRelationId)
				note_dropped(objectId);
			break;

		case OAT_POST_ALTER:
			if (classId != RelationRelationId &&
				!((ObjectAccessPostAlter *) arg)->is_internal)
				check_changed_object("ALTER", classId, objectId, false);
			break;

		case OAT_POST_CREATE:
			if (!((ObjectAccessPostCreate *) arg)->is_internal)
				check_changed_object("CREATE", classId, objectId, true);
			break;

		default:
			break;
	}
}

/* ----------------------------------------------------------------
 *		Relations, as commands name them
 * ----------------------------------------------------------------
 */

/*
 * Never an error: what is wrong with a name is the command's to say, in its own
 * words and its own order; so is that the caller may not look into the schema.
 * A name that can only mean a temporary relation means none of ours.
 */
static Oid
named_relation(const RangeVar *name)
{
	Oid			schema;

	if (name == NULL || name->relpersistence == RELPERSISTENCE_TEMP)
		return InvalidOid;
	if (name->schemaname == NULL)
		return RelnameGetRelid(name->relname);
	schema = get_namespace_oid(name->schemaname, true);
	if (!OidIsValid(schema) || !fg_compat_may_use_schema(schema))
		return InvalidOid;
	return get_relname_relid(name->relname, schema);
}

/* The server says no to most of what concerns its catalogs, but not to all. */
static void
check_catalog(Node *stmt, Oid relid)
{
	switch (nodeTag(stmt))
	{
		case T_GrantStmt:
			break;				/* catalogs are guarded whatever the rights */
		case T_ViewStmt:
		case T_CreateStmt:
		case T_CreateForeignTableStmt:
			fg_own_ask_catalog(CreateCommandName(stmt), relid, true);
			break;
		default:
			fg_own_ask_catalog(CreateCommandName(stmt), relid, false);
			break;
	}
}

/* A dump that is loaded makes tables in the trash anew, with all that they have. */
static bool
loading_trash(Oid relid)
{
	return fg_trash_relation(relid) && fg_own_loading(get_rel_namespace(relid));
}

static void
check_relation(Node *stmt, const RangeVar *name)
{
	Oid			relid = named_relation(name);

	if (!OidIsValid(relid))
		return;
	if (fg_own_relation(relid))
	{
		if (!loading_trash(relid))
			fg_own_ask_relation(CreateCommandName(stmt), relid);
	}
	else
		check_catalog(stmt, relid);
}

/* The same for what may be done to an archive while a dump is loaded. */
static void
check_archive(Node *stmt, const RangeVar *name, bool only_empty)
{
	Oid			relid = named_relation(name);

	if (!OidIsValid(relid) || !fg_own_loading_archive(relid, only_empty))
		check_relation(stmt, name);
}

static void
check_relations(Node *stmt, List *names)
{
	ListCell   *lc;

	foreach(lc, names)
	{
		if (IsA(lfirst(lc), RangeVar))
			check_relation(stmt, lfirst(lc));
	}
}

static void
check_schema(Node *stmt, const char *name)
{
	if (name != NULL && fg_own_schema(get_namespace_oid(name, true)))
		fg_own_ask(CreateCommandName(stmt), psprintf("schema \"%s\"", name), InvalidOid, NULL);
}

static void
check_extension(Node *stmt, const char *name)
{
	if (strcmp(name, EXTENSION) == 0)
		fg_own_ask(CreateCommandName(stmt), "extension \"" EXTENSION "\"", InvalidOid, NULL);
}

/* Dumps leave out what belongs to an extension: no archive may. */
static void
check_contents(AlterExtensionContentsStmt *stmt)
{
	check_extension((Node *) stmt, stmt->extname);
	switch (stmt->objtype)
	{
		case OBJECT_TABLE:
		case OBJECT_SEQUENCE:
		case OBJECT_VIEW:
		case OBJECT_MATVIEW:
		case OBJECT_FOREIGN_TABLE:
			check_relation((Node *) stmt, makeRangeVarFromNameList((List *) stmt->object));
			break;
		default:
			break;				/* all else of ours belongs to our extension */
	}
}

/* What a dump without definitions does around the rows of each table. */
static bool
only_switches_triggers(AlterTableStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableType subtype = lfirst_node(AlterTableCmd, lc)->subtype;

		if (subtype != AT_DisableTrigAll && subtype != AT_EnableTrigAll)
			return false;
	}
	return true;
}

static void
check_alter_table(AlterTableStmt *stmt)
{
	ListCell   *lc;

	if (only_switches_triggers(stmt) && fg_own_loading(InvalidOid))
		return;
	check_archive((Node *) stmt, stmt->relation, true);
	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst(lc);

		if (cmd->subtype == AT_AddInherit)
			check_relation((Node *) stmt, (RangeVar *) cmd->def);
	}
}

static void
check_drop(DropStmt *stmt)
{
	ListCell   *lc;

	if (stmt->removeType != OBJECT_EXTENSION)
		return;
	foreach(lc, stmt->objects)
		check_extension((Node *) stmt, strVal(lfirst(lc)));
}

static void
check_rename(RenameStmt *stmt)
{
	check_relation((Node *) stmt, stmt->relation);
}

static void
check_set_schema(AlterObjectSchemaStmt *stmt)
{
	check_relation((Node *) stmt, stmt->relation);
	check_schema((Node *) stmt, stmt->newschema);
	if (superuser() && strcmp(stmt->newschema, "pg_catalog") == 0)
		fg_own_ask_system(CreateCommandName((Node *) stmt), NamespaceRelationId,
						  PG_CATALOG_NAMESPACE, false);
	if (stmt->objectType == OBJECT_EXTENSION)
		check_extension((Node *) stmt, strVal(stmt->object));
}

/* A function or the like; what does not exist is the command's to say. */
static void
check_function(Node *stmt, ObjectType type, ObjectWithArgs *name)
{
	Oid			function = LookupFuncWithArgs(type, name, true);

	if (OidIsValid(function) && fg_own_schema(get_func_namespace(function)))
		fg_own_ask(CreateCommandName(stmt), psprintf("function %s", format_procedure(function)),
				   InvalidOid, NULL);
}

static void
check_type(Node *stmt, List *name)
{
	Oid			type = LookupTypeNameOid(NULL, makeTypeNameFromNameList(name), true);
	Oid			schema = InvalidOid;
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));

	if (HeapTupleIsValid(tuple))
	{
		schema = ((Form_pg_type) GETSTRUCT(tuple))->typnamespace;
		ReleaseSysCache(tuple);
	}
	if (fg_own_schema(schema))
		fg_own_ask(CreateCommandName(stmt), format_type_be_qualified(type), InvalidOid, NULL);
}

static void
check_depends(AlterObjectDependsStmt *stmt)
{
	switch (stmt->objectType)
	{
		case OBJECT_FUNCTION:
		case OBJECT_PROCEDURE:
		case OBJECT_ROUTINE:
			check_function((Node *) stmt, stmt->objectType, (ObjectWithArgs *) stmt->object);
			break;
		default:
			break;
	}
	check_relation((Node *) stmt, stmt->relation);
}

static void
check_inherits(CreateStmt *stmt)
{
	check_relations((Node *) stmt, stmt->inhRelations);
}

static void
check_copy(CopyStmt *stmt)
{
	Oid			relid;

	if (!stmt->is_from)
		return;
	relid = named_relation(stmt->relation);
	if (OidIsValid(relid))
		fg_own_ask_write("COPY FROM", relid, true);
}

/* ----------------------------------------------------------------
 *		Rights
 * ----------------------------------------------------------------
 */

static void
check_grant_object(GrantStmt *stmt, Node *object)
{
	switch (stmt->objtype)
	{
		case OBJECT_TABLE:
		case OBJECT_SEQUENCE:
			check_relation((Node *) stmt, (RangeVar *) object);
			break;
		case OBJECT_FUNCTION:
		case OBJECT_PROCEDURE:
		case OBJECT_ROUTINE:
			check_function((Node *) stmt, stmt->objtype, (ObjectWithArgs *) object);
			break;
		case OBJECT_TYPE:
		case OBJECT_DOMAIN:
			check_type((Node *) stmt, (List *) object);
			break;
		case OBJECT_SCHEMA:
			check_schema((Node *) stmt, strVal(object));
			break;
		default:
			break;				/* nothing of the kind is ours */
	}
}

static void
check_grant(GrantStmt *stmt)
{
	ListCell   *lc;

	if (fg_own_loading(InvalidOid))
		return;
	foreach(lc, stmt->objects)
	{
		if (stmt->targtype == ACL_TARGET_ALL_IN_SCHEMA)
			check_schema((Node *) stmt, strVal(lfirst(lc)));
		else if (stmt->targtype == ACL_TARGET_OBJECT)
			check_grant_object(stmt, lfirst(lc));
	}
}

/* Without IN SCHEMA they concern all schemas, but only what is made later. */
static void
check_default_privileges(AlterDefaultPrivilegesStmt *stmt)
{
	ListCell   *lc;

	if (fg_own_loading(InvalidOid))
		return;
	foreach(lc, stmt->options)
	{
		DefElem    *option = lfirst(lc);
		ListCell   *lc2;

		if (strcmp(option->defname, "schemas") != 0)
			continue;
		foreach(lc2, (List *) option->arg)
			check_schema((Node *) stmt, strVal(lfirst(lc2)));
	}
}

/* ----------------------------------------------------------------
 *		Labels
 * ----------------------------------------------------------------
 */

/*
 * The provider's hook.  Labels come with dumps, and mean nothing here; but none
 * of ours may be taken away.
 */
static void
relabel(const ObjectAddress *object, const char *label)
{
	if (IsBinaryUpgrade)
		return;
	if (object->classId != AuthIdRelationId && object->classId != DatabaseRelationId)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("security labels of fortress_guard are for databases and roles only")));
	if (label == NULL)
	{
		if (fg_own_cluster_guarded() && GetSecurityLabel(object, FG_LABEL_PROVIDER) != NULL)
			fg_own_ask_cluster("SECURITY LABEL", getObjectDescription(object, false),
							   "Its label tells all databases of the cluster what is guarded.");
		return;
	}
	ereport(NOTICE,
			(errmsg("security label of %s is left out", getObjectDescription(object, false)),
			 errdetail("fortress_guard sets its labels by itself.")));
	fg_label_set_aside(object);
}

/*
 * The provider is made known only where somebody names it: a session in which
 * there is exactly one treats SECURITY LABEL without FOR in another way.
 */
static void
check_label(SecLabelStmt *stmt)
{
	static bool registered = false;

	if (registered || stmt->provider == NULL || strcmp(stmt->provider, FG_LABEL_PROVIDER) != 0)
		return;
	register_label_provider(FG_LABEL_PROVIDER, relabel);
	registered = true;
}

/* ----------------------------------------------------------------
 *		Commands
 * ----------------------------------------------------------------
 */

static void
check_command(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_AlterTableStmt:
			check_alter_table((AlterTableStmt *) stmt);
			break;
		case T_RenameStmt:
			check_rename((RenameStmt *) stmt);
			break;
		case T_AlterObjectSchemaStmt:
			check_set_schema((AlterObjectSchemaStmt *) stmt);
			break;
		case T_AlterObjectDependsStmt:
			check_depends((AlterObjectDependsStmt *) stmt);
			break;
		case T_AlterSeqStmt:
			check_relation(stmt, ((AlterSeqStmt *) stmt)->sequence);
			break;
		case T_IndexStmt:
			check_archive(stmt, ((IndexStmt *) stmt)->relation, false);
			break;
		case T_RuleStmt:
			check_relation(stmt, ((RuleStmt *) stmt)->relation);
			break;
		case T_ViewStmt:
			check_relation(stmt, ((ViewStmt *) stmt)->view);
			break;
		case T_CreateTrigStmt:
			check_relation(stmt, ((CreateTrigStmt *) stmt)->relation);
			break;
		case T_CreatePolicyStmt:
			check_relation(stmt, ((CreatePolicyStmt *) stmt)->table);
			break;
		case T_AlterPolicyStmt:
			check_relation(stmt, ((AlterPolicyStmt *) stmt)->table);
			break;
		case T_CreateStatsStmt:
			check_relations(stmt, ((CreateStatsStmt *) stmt)->relations);
			break;
		case T_CreateStmt:
		case T_CreateForeignTableStmt:	/* begins with a CreateStmt */
			check_inherits((CreateStmt *) stmt);
			break;
		case T_DropStmt:
			check_drop((DropStmt *) stmt);
			break;
		case T_GrantStmt:
			check_grant((GrantStmt *) stmt);
			break;
		case T_AlterDefaultPrivilegesStmt:
			check_default_privileges((AlterDefaultPrivilegesStmt *) stmt);
			break;
		case T_AlterExtensionStmt:
			check_extension(stmt, ((AlterExtensionStmt *) stmt)->extname);
			break;
		case T_AlterExtensionContentsStmt:
			check_contents((AlterExtensionContentsStmt *) stmt);
			break;
		default:
			break;
	}
}

/* The commands of check_command(), so that all others cost next to nothing. */
static bool
concerns_objects(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_AlterTableStmt:
		case T_RenameStmt:
		case T_AlterObjectSchemaStmt:
		case T_AlterObjectDependsStmt:
		case T_AlterSeqStmt:
		case T_IndexStmt:
		case T_RuleStmt:
		case T_ViewStmt:
		case T_CreateTrigStmt:
		case T_CreatePolicyStmt:
		case T_AlterPolicyStmt:
		case T_CreateStatsStmt:
		case T_CreateStmt:
		case T_CreateForeignTableStmt:
		case T_DropStmt:
		case T_GrantStmt:
		case T_AlterDefaultPrivilegesStmt:
		case T_AlterExtensionStmt:
		case T_AlterExtensionContentsStmt:
			return true;
		default:
			return false;
	}
}

void
fg_ddl_admin_utility(PlannedStmt *pstmt, ProcessUtilityContext context)
{
	Node	   *stmt = pstmt->utilityStmt;

	if (!fg_install_own_work())
	{
		drop_permitted_to = InvalidOid;
		tables_go = false;
		list_free(governed);
		governed = NIL;
		current_command = CreateCommandName(stmt);
	}
	if (IsA(stmt, SecLabelStmt))
		check_label((SecLabelStmt *) stmt);
	else if (IsA(stmt, AlterSystemStmt))
		fg_ddl_database_check_setting(((AlterSystemStmt *) stmt)->setstmt);
	else if (IsA(stmt, CopyStmt))
		check_copy((CopyStmt *) stmt);	/* its table may be shared */
	else
	{
		fg_ddl_role_check(stmt);
		if (concerns_objects(stmt) && fg_own_guarded())
			check_command(stmt);
	}
}
