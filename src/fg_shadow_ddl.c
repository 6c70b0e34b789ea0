/*-------------------------------------------------------------------------
 *
 * fg_shadow_ddl.c
 *		Archiving: makes shadow tables and keeps them in step.
 *
 * Column k of the base table belongs to column k + 8 of its shadow, so that
 * rows can be archived as bytes (fg_shadow.c).  What happens to the base table
 * afterwards is carried over without touching a row of the shadow:
 *
 *	- ADD COLUMN adds a column; RENAME renames it;
 *	- DROP COLUMN keeps the old data under the name <name>_dropped_<number>;
 *	- ALTER TYPE keeps it under <name>_was_<type>, and a column of the new
 *	  type is added behind all others.  From then on rows go by column names.
 *
 * Where position alone does not tell which column of the base table a column
 * belongs to, its comment does: "current column 3 of the table" or "former
 * column 3 of the table ...".  Comments travel with pg_dump, and people read
 * them too.  After a dump and restore the base table's columns have new
 * numbers; then (the shadow's name does not end with the table's oid) columns
 * are matched by name once, and the comments are written anew.
 *
 * A domain's column has the domain's base type here, since a later ALTER
 * DOMAIN must not trip over old rows; nothing is NOT NULL, generated or
 * has a default.  A dropped column of the base table needs a dropped column
 * of the same length and alignment here.
 *
 * All of it runs as the owner of the extension, with a search path of its
 * own.  Refused: tables with columns named like the archive's own, with too
 * many columns, and temporary ones.
 *
 * Locks: the caller has the base table locked so that its columns stay; the
 * shadow's own lock is that of the ALTER TABLE run on it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/comment.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "fg_catalog.h"
#include "fg_errors.h"
#include "fg_shadow.h"

#define FG_SHADOW_SCHEMA	"fortress_shadow"

/* how the comments of columns that are not in their place begin */
#define FG_CURRENT			"current column "
#define FG_FORMER			"former column "

/* in the order of FgShadowMeta */
static const struct
{
	const char *name;
	const char *type;
}			fg_meta_columns[FG_SHADOW_N_META] =
{
	{"fg_at", "timestamptz"},
	{"fg_xid", "xid8"},
	{"fg_actor", "regrole"},
	{"fg_relation", "regclass"},
	{"fg_seq", "int4"},
	{"fg_natts", "int2"},
	{"fg_op", "\"char\""},
	{"fg_how", "\"char\""}
};

/* A column of a shadow behind the metadata, as the plan for it goes on. */
typedef struct FgShadowColumn
{
	char	   *name;
	Oid			type;
	int32		typmod;
	Oid			collation;
	bool		dropped;
	bool		former;			/* keeps data of a column that is gone */
	bool		commented;		/* has one of our comments */
	int			origin;			/* attribute number in the base table */
} FgShadowColumn;

/* A shadow being brought into step. */
typedef struct FgSync
{
	Oid			shadow;
	char	   *table;			/* qualified and quoted */
	int			n_columns;		/* without metadata */
	FgShadowColumn *columns;	/* [MaxHeapAttributeNumber] */
} FgSync;

/* What to put back after running DDL. */
typedef struct FgDdlState
{
	Oid			userid;
	int			sec_context;
	int			guc_level;
} FgDdlState;


/* ---------------------------------------------------------------------
 * Running DDL as the extension's owner
 *
 * An error in between needs no care: the end of the (sub)transaction puts
 * user and settings back.
 * ---------------------------------------------------------------------
 */

static void
fg_ddl_begin(FgDdlState *state)
{
	Oid			owner = fg_catalog_owner();

	GetUserIdAndSecContext(&state->userid, &state->sec_context);
	SetUserIdAndSecContext(owner, state->sec_context |
						   SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	state->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("default_tablespace", "", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

static void
fg_ddl_end(FgDdlState *state)
{
	SPI_finish();
	AtEOXact_GUC(true, state->guc_level);
	SetUserIdAndSecContext(state->userid, state->sec_context);
}

static void fg_ddl_run(const char *format,...) pg_attribute_printf(1, 2);

static void
fg_ddl_run(const char *format,...)
{
	StringInfoData sql;
	int			result;

	initStringInfo(&sql);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, format);
		needed = appendStringInfoVA(&sql, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&sql, needed);
	}
	result = SPI_execute(sql.data, false, 0);
	if (result != SPI_OK_UTILITY)
		elog(ERROR, "could not run \"%s\": %s", sql.data, SPI_result_code_string(result));
	pfree(sql.data);
}


/* ---------------------------------------------------------------------
 * Columns
 * ---------------------------------------------------------------------
 */

static void
fg_base_check(Relation base)
{
	TupleDesc	desc = RelationGetDescr(base);

	if (base->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot archive rows of temporary table \"%s\"", RelationGetRelationName(base)),
				 errtable(base)));

	if (desc->natts + FG_SHADOW_N_META > MaxHeapAttributeNumber)
		ereport(ERROR,
				(errcode(ERRCODE_TOO_MANY_COLUMNS),
				 errmsg("cannot archive rows of table \"%s\"", RelationGetRelationName(base)),
				 errdetail("It has %d columns, counting dropped ones; the most that can be archived is %d.",
						   desc->natts, MaxHeapAttributeNumber - FG_SHADOW_N_META),
				 errtable(base)));

	for (int i = 0; i < desc->natts; i++)
		for (int m = 0; m < FG_SHADOW_N_META; m++)
		{
			Form_pg_attribute att = TupleDescAttr(desc, i);

			if (!att->attisdropped && strcmp(NameStr(att->attname), fg_meta_columns[m].name) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_RESERVED_NAME),
						 errmsg("cannot archive rows of table \"%s\"", RelationGetRelationName(base)),
						 errdetail("The name of its column \"%s\" is one that the archive needs for itself.",
								   NameStr(att->attname)),
						 errhint("Rename the column, or protect the table with archive 'none'."),
						 errtablecol(base, i + 1)));
		}
}

/* "type COLLATE collation" of the archived column; palloc'd */
static char *
fg_column_type(Form_pg_attribute att)
{
	int32		typmod = att->atttypmod;
	Oid			type = getBaseTypeAndTypmod(att->atttypid, &typmod);
	char	   *text = format_type_extended(type, typmod,
											FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);

	if (OidIsValid(att->attcollation))
		text = psprintf("%s COLLATE %s", text, generate_collation_name(att->attcollation));
	return text;
}

static int32
fg_column_typmod(Form_pg_attribute att)
{
	int32		typmod = att->atttypmod;

	(void) getBaseTypeAndTypmod(att->atttypid, &typmod);
	return typmod;
}

/*
 * Storage of the archived column, or NULL if its type's own is right.  PLAIN
 * is not carried over where the type can do better: values that were TOASTed
 * before must find room here.
 */
static const char *
fg_column_storage(Form_pg_attribute att)
{
	char		own = get_typstorage(getBaseType(att->atttypid));

	if (att->attstorage == own || att->attstorage == TYPSTORAGE_PLAIN || own == TYPSTORAGE_PLAIN)
		return NULL;
	switch (att->attstorage)
	{
		case TYPSTORAGE_EXTERNAL:
			return "EXTERNAL";
		case TYPSTORAGE_EXTENDED:
			return "EXTENDED";
		case TYPSTORAGE_MAIN:
			return "MAIN";
		default:
			return NULL;
	}
}

/*
 * What stands in for a dropped column until it is dropped here too.  Not under
 * the name that the server gave to the dropped one: it gives names by number,
 * and the numbers are others here.
 */
static const char *
fg_placeholder_name(Form_pg_attribute att)
{
	return quote_identifier(psprintf("........fg.placeholder.%d........", att->attnum));
}

static const char *
fg_placeholder_type(Form_pg_attribute att)
{
	/* a varlena one also sees to it that there is a TOAST table */
	return att->attlen == -1 ? "pg_catalog.text" : "pg_catalog.int4";
}

/*
 * Gives a dropped column of the shadow the length and alignment of the base
 * table's.  No row of the shadow can have a value there yet, so nothing is
 * reinterpreted.
 */
static void
fg_placeholder_align(Oid shadow, AttrNumber attnum, Form_pg_attribute base)
{
	Relation	catalog = table_open(AttributeRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy2(ATTNUM, ObjectIdGetDatum(shadow), Int16GetDatum(attnum));
	Form_pg_attribute att;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for attribute %d of relation %u", attnum, shadow);
	att = (Form_pg_attribute) GETSTRUCT(tuple);
	Assert(att->attisdropped);
	if (att->attlen != base->attlen || att->attalign != base->attalign || att->attbyval != base->attbyval)
	{
		att->attlen = base->attlen;
		att->attalign = base->attalign;
		att->attbyval = base->attbyval;
		att->attstorage = base->attlen == -1 ? TYPSTORAGE_EXTENDED : TYPSTORAGE_PLAIN;
		CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
		CacheInvalidateRelcacheByRelid(shadow);
		CommandCounterIncrement();
	}
	heap_freetuple(tuple);
	table_close(catalog, RowExclusiveLock);
}

static char *
fg_shadow_qualified_name(Oid shadow)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(shadow)), get_rel_name(shadow));
}

/* A free name for the shadow of a relation: <name>_<oid>, cut to fit; palloc'd */
static char *
fg_shadow_choose_name(Relation base)
{
	Oid			schema = get_namespace_oid(FG_SHADOW_SCHEMA, false);
	char		suffix[16];
	char	   *name;

	snprintf(suffix, sizeof(suffix), "%u", RelationGetRelid(base));
	name = makeObjectName(RelationGetRelationName(base), NULL, suffix);
	for (int i = 2; OidIsValid(get_relname_relid(name, schema)); i++)
		name = makeObjectName(RelationGetRelationName(base), psprintf("%d", i), suffix);
	return name;
}

/* Was the shadow made for the relation in this database, or in one that was dumped? */
static bool
fg_shadow_named_for(Oid shadow, Oid base)
{
	char	   *name = get_rel_name(shadow);
	char	   *suffix = psprintf("_%u", base);

	return strlen(name) > strlen(suffix) &&
		strcmp(name + strlen(name) - strlen(suffix), suffix) == 0;
}


/* ---------------------------------------------------------------------
 * Making a shadow
 * ---------------------------------------------------------------------
 */

/*
 * ALTER DEFAULT PRIVILEGES for whoever owns the extension may have given rights
 * on all that is new: nobody has any on an archive but those whom we give them.
 */
static void
fg_shadow_revoke_defaults(Oid shadow, const char *table)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(shadow));
	bool		isnull;
	Datum		datum;
	Acl		   *acl;
	List	   *grantees = NIL;
	ListCell   *lc;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", shadow);
	datum = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_relacl, &isnull);
	acl = isnull ? NULL : DatumGetAclPCopy(datum);
	ReleaseSysCache(tuple);
	for (int i = 0; acl != NULL && i < ACL_NUM(acl); i++)
	{
		if (ACL_DAT(acl)[i].ai_grantee != GetUserId())
			grantees = list_append_unique_oid(grantees, ACL_DAT(acl)[i].ai_grantee);
	}
	foreach(lc, grantees)
		fg_ddl_run("REVOKE ALL ON %s FROM %s CASCADE", table,
				   lfirst_oid(lc) == ACL_ID_PUBLIC ? "PUBLIC" :
				   quote_identifier(GetUserNameFromId(lfirst_oid(lc), false)));
}

static Oid
fg_shadow_create(Relation base)
{
	TupleDesc	desc = RelationGetDescr(base);
	char	   *name = fg_shadow_choose_name(base);
	char	   *table = quote_qualified_identifier(FG_SHADOW_SCHEMA, name);
	StringInfoData columns;
	StringInfoData actions;
	Oid			shadow;

	initStringInfo(&columns);
	for (int m = 0; m < FG_SHADOW_N_META; m++)
		appendStringInfo(&columns, "%s%s pg_catalog.%s NOT NULL", m > 0 ? ", " : "",
						 fg_meta_columns[m].name, fg_meta_columns[m].type);

	initStringInfo(&actions);
	appendStringInfoString(&actions, "REPLICA IDENTITY FULL");
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		const char *column = att->attisdropped ? fg_placeholder_name(att) : quote_identifier(NameStr(att->attname));

		if (att->attisdropped)
		{
			appendStringInfo(&columns, ", %s %s", column, fg_placeholder_type(att));
			appendStringInfo(&actions, ", DROP COLUMN %s", column);
		}
		else
		{
			appendStringInfo(&columns, ", %s %s", column, fg_column_type(att));
			if (fg_column_storage(att))
				appendStringInfo(&actions, ", ALTER COLUMN %s SET STORAGE %s", column, fg_column_storage(att));
		}
	}

	fg_ddl_run("CREATE TABLE %s (%s) USING heap", table, columns.data);
	fg_ddl_run("ALTER TABLE %s %s", table, actions.data);
	shadow = get_relname_relid(name, get_namespace_oid(FG_SHADOW_SCHEMA, false));
	for (int i = 0; i < desc->natts; i++)
		if (TupleDescAttr(desc, i)->attisdropped)
			fg_placeholder_align(shadow, FG_SHADOW_N_META + i + 1, TupleDescAttr(desc, i));

	fg_shadow_revoke_defaults(shadow, table);
	fg_ddl_run("GRANT SELECT ON %s TO fortress_admin, fortress_operator, fortress_auditor", table);
	fg_ddl_run("COMMENT ON TABLE %s IS %s", table,
			   quote_literal_cstr(psprintf("fortress_guard: old rows of %s",
										   quote_qualified_identifier(get_namespace_name(RelationGetNamespace(base)),
																	  RelationGetRelationName(base)))));
	return shadow;
}


/* ---------------------------------------------------------------------
 * Bringing a shadow into step
 * ---------------------------------------------------------------------
 */

/* Is a column's comment of this kind?  *origin (NULL: don't care) is the column that it names. */
static bool
fg_comment_is(Oid shadow, AttrNumber attnum, const char *kind, int *origin)
{
	char	   *comment = GetComment(shadow, RelationRelationId, attnum);
	int			number;

	if (comment == NULL || strncmp(comment, kind, strlen(kind)) != 0 ||
		sscanf(comment + strlen(kind), "%d of the table", &number) != 1)
		return false;
	if (origin)
		*origin = Max(number, 0);
	return true;
}

/* Does a column of the shadow keep the values of a column that has gone? */
static bool
fg_shadow_lags(TupleDesc base, Relation shadow)
{
	TupleDesc	desc = RelationGetDescr(shadow);

	/* only where some are not in their place */
	if (desc->natts == base->natts + FG_SHADOW_N_META)
		return false;
	for (int i = FG_SHADOW_N_META; i < desc->natts; i++)
	{
		int			origin;

		if (!TupleDescAttr(desc, i)->attisdropped &&
			fg_comment_is(RelationGetRelid(shadow), i + 1, FG_CURRENT, &origin) &&
			origin >= 1 && origin <= base->natts && TupleDescAttr(base, origin - 1)->attisdropped)
			return true;
	}
	return false;
}

/* The quick look: does every column of the base table have its counterpart in its place? */
static bool
fg_shadow_in_step(Relation base, Relation shadow)
{
	TupleDesc	base_desc = RelationGetDescr(base);
	TupleDesc	shadow_desc = RelationGetDescr(shadow);

	if (shadow_desc->natts < base_desc->natts + FG_SHADOW_N_META)
		return false;
	for (int i = 0; i < base_desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(base_desc, i);
		Form_pg_attribute kept = TupleDescAttr(shadow_desc, FG_SHADOW_N_META + i);

		if (att->attisdropped)
		{
			/* its data must have been set aside */
			if (!kept->attisdropped && !fg_comment_is(RelationGetRelid(shadow), kept->attnum, FG_FORMER, NULL))
				return false;
			continue;
		}
		if (kept->attisdropped ||
			(strcmp(NameStr(att->attname), NameStr(kept->attname)) != 0 ||
			 getBaseType(att->atttypid) != kept->atttypid ||
			 att->attcollation != kept->attcollation ||
			 (kept->atttypmod != -1 && kept->atttypmod != fg_column_typmod(att))))
			return false;
	}
	return !fg_shadow_lags(base_desc, shadow);
}

static void
fg_sync_load(FgSync *sync, Relation shadow)
{
	TupleDesc	desc = RelationGetDescr(shadow);

	sync->shadow = RelationGetRelid(shadow);
	sync->table = fg_shadow_qualified_name(sync->shadow);
	sync->n_columns = desc->natts - FG_SHADOW_N_META;
	sync->columns = palloc0(sizeof(FgShadowColumn) * MaxHeapAttributeNumber);

	for (int i = 0; i < sync->n_columns; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, FG_SHADOW_N_META + i);
		FgShadowColumn *column = &sync->columns[i];

		column->name = pstrdup(NameStr(att->attname));
		column->type = att->atttypid;
		column->typmod = att->atttypmod;
		column->collation = att->attcollation;
		column->dropped = att->attisdropped;
		column->origin = i + 1;
		if (column->dropped)
			continue;
		column->former = fg_comment_is(sync->shadow, att->attnum, FG_FORMER, &column->origin);
		column->commented = column->former ||
			fg_comment_is(sync->shadow, att->attnum, FG_CURRENT, &column->origin);
	}
}

/* Comments column i of the shadow as its state needs it. */
static void
fg_sync_comment(FgSync *sync, int i, const char *fate)
{
	FgShadowColumn *column = &sync->columns[i];
	char	   *comment = NULL;

	if (column->former)
		comment = psprintf(FG_FORMER "%d of the table: %s", column->origin, fate);
	else if (column->origin != i + 1)
		comment = psprintf(FG_CURRENT "%d of the table", column->origin);
	else if (!column->commented)
		return;
	CreateComments(sync->shadow, RelationRelationId, FG_SHADOW_N_META + i + 1, comment);
	CommandCounterIncrement();
	column->commented = comment != NULL;
}

/* Index of a live column by name; -1: none */
static int
fg_sync_find(FgSync *sync, const char *name)
{
	for (int i = 0; i < sync->n_columns; i++)
		if (!sync->columns[i].dropped && strcmp(sync->columns[i].name, name) == 0)
			return i;
	return -1;
}

/* Index of the live column that keeps values of column attnum; -1: none */
static int
fg_sync_current(FgSync *sync, int attnum)
{
	for (int i = sync->n_columns - 1; i >= 0; i--)
		if (!sync->columns[i].dropped && !sync->columns[i].former && sync->columns[i].origin == attnum)
			return i;
	return -1;
}

static bool
fg_is_meta_name(const char *name)
{
	for (int m = 0; m < FG_SHADOW_N_META; m++)
		if (strcmp(fg_meta_columns[m].name, name) == 0)
			return true;
	return false;
}

static void fg_sync_rename(FgSync *sync, int i, const char *name);

/* Renames column i to a free name made of its own and a label. */
static void
fg_sync_set_aside(FgSync *sync, int i, const char *label)
{
	char	   *name = makeObjectName(sync->columns[i].name, NULL, label);

	for (int n = 2; fg_sync_find(sync, name) >= 0 || fg_is_meta_name(name); n++)
		name = makeObjectName(sync->columns[i].name, NULL, psprintf("%s_%d", label, n));
	fg_sync_rename(sync, i, name);
}

/* Renames column i; who has the name now gives way, and gets its own later. */
static void
fg_sync_rename(FgSync *sync, int i, const char *name)
{
	int			occupant = fg_sync_find(sync, name);

	if (occupant == i)
		return;
	if (occupant >= 0)
		fg_sync_set_aside(sync, occupant, "before");
	fg_ddl_run("ALTER TABLE %s RENAME COLUMN %s TO %s", sync->table,
			   quote_identifier(sync->columns[i].name), quote_identifier(name));
	sync->columns[i].name = pstrdup(name);
}

/* Adds a column for attribute att of the base table. */
static void
fg_sync_add(FgSync *sync, Form_pg_attribute att)
{
	FgShadowColumn *column = &sync->columns[sync->n_columns];
	const char *name = att->attisdropped ? fg_placeholder_name(att) : quote_identifier(NameStr(att->attname));
	int			occupant = fg_sync_find(sync, NameStr(att->attname));

	if (sync->n_columns + FG_SHADOW_N_META >= MaxHeapAttributeNumber)
		ereport(ERROR,
				(errcode(ERRCODE_TOO_MANY_COLUMNS),
				 errmsg("cannot add a column to archive %s", sync->table),
				 errdetail("It has %d columns already, counting dropped ones.", MaxHeapAttributeNumber),
				 errhint("The change is possible while the table is protected with archive 'none'; the archive stays as it is then.")));

	if (att->attisdropped)
	{
		fg_ddl_run("ALTER TABLE %s ADD COLUMN %s %s", sync->table, name, fg_placeholder_type(att));
		fg_ddl_run("ALTER TABLE %s DROP COLUMN %s", sync->table, name);
		fg_placeholder_align(sync->shadow, FG_SHADOW_N_META + sync->n_columns + 1, att);
	}
	else
	{
		if (occupant >= 0)
			fg_sync_set_aside(sync, occupant, "before");
		fg_ddl_run("ALTER TABLE %s ADD COLUMN %s %s", sync->table, name, fg_column_type(att));
		if (fg_column_storage(att))
			fg_ddl_run("ALTER TABLE %s ALTER COLUMN %s SET STORAGE %s", sync->table, name, fg_column_storage(att));
	}

	column->name = pstrdup(NameStr(att->attname));
	column->dropped = att->attisdropped;
	column->origin = att->attnum;
	sync->n_columns++;
	if (column->dropped)
		return;					/* it has no type any more */
	column->type = getBaseType(att->atttypid);
	column->typmod = fg_column_typmod(att);
	column->collation = att->attcollation;
	fg_sync_comment(sync, sync->n_columns - 1, NULL);
}

/*
 * After a dump and restore: finds out by names what belongs to what, for the
 * base table's columns have other numbers now.
 */
static void
fg_sync_match_names(FgSync *sync, Relation base)
{
	TupleDesc	desc = RelationGetDescr(base);
	int		   *renumbered = palloc0(sizeof(int) * (MaxHeapAttributeNumber + 1));
	int			n_lost = 0;
	int			lost = -1;
	int			n_new = 0;
	AttrNumber	new = 0;

	for (int i = 0; i < sync->n_columns; i++)
	{
		FgShadowColumn *column = &sync->columns[i];
		int			number = 0;

		if (column->former || column->dropped)
			continue;
		for (int k = 0; k < desc->natts; k++)
			if (!TupleDescAttr(desc, k)->attisdropped &&
				strcmp(NameStr(TupleDescAttr(desc, k)->attname), column->name) == 0)
				number = k + 1;
		renumbered[column->origin] = number;
		column->origin = number;
		if (number == 0)
		{
			n_lost++;
			lost = i;
		}
	}
	for (int k = 0; k < desc->natts; k++)
		if (!TupleDescAttr(desc, k)->attisdropped && fg_sync_current(sync, k + 1) < 0)
		{
			n_new++;
			new = k + 1;
		}

	/* one name gone and one come, of one type: renamed */
	if (n_lost == 1 && n_new == 1 &&
		sync->columns[lost].type == getBaseType(TupleDescAttr(desc, new - 1)->atttypid))
		sync->columns[lost].origin = new;

	for (int i = 0; i < sync->n_columns; i++)
	{
		FgShadowColumn *column = &sync->columns[i];

		if (column->dropped)
			continue;
		if (column->former)
			column->origin = column->origin <= MaxHeapAttributeNumber ? renumbered[column->origin] : 0;
		else if (column->origin == 0)
		{
			column->former = true;
			fg_sync_set_aside(sync, i, "dropped");
		}
		fg_sync_comment(sync, i, "from before a dump and restore");
	}
	pfree(renumbered);
}

/* Does whatever the columns of the base table ask for. */
static void
fg_sync_columns(FgSync *sync, Relation base)
{
	TupleDesc	desc = RelationGetDescr(base);

	for (int k = 0; k < desc->natts; k++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, k);
		int			i = fg_sync_current(sync, k + 1);

		if (att->attisdropped)
		{
			if (i >= 0)
			{
				fg_sync_set_aside(sync, i, psprintf("dropped_%d", k + 1));
				sync->columns[i].former = true;
				fg_sync_comment(sync, i, "dropped");
			}
			else if (sync->n_columns == k)
				fg_sync_add(sync, att);
			continue;
		}

		if (i >= 0 && sync->columns[i].type != getBaseType(att->atttypid))
		{
			HeapTuple	type = SearchSysCache1(TYPEOID, ObjectIdGetDatum(sync->columns[i].type));
			char	   *type_name;

			if (!HeapTupleIsValid(type))
				elog(ERROR, "cache lookup failed for type %u", sync->columns[i].type);
			type_name = pstrdup(NameStr(((Form_pg_type) GETSTRUCT(type))->typname));
			ReleaseSysCache(type);
			fg_sync_set_aside(sync, i, psprintf("was_%s", type_name));
			sync->columns[i].former = true;
			fg_sync_comment(sync, i, psprintf("of type %s", type_name));
			i = -1;
		}

		if (i < 0)
		{
			fg_sync_add(sync, att);
			continue;
		}

		fg_sync_rename(sync, i, NameStr(att->attname));
		if (sync->columns[i].collation != att->attcollation ||
			(sync->columns[i].typmod != -1 && sync->columns[i].typmod != fg_column_typmod(att)))
		{
			/* without a modifier it holds old values and new ones, and no row is touched */
			char	   *type = format_type_extended(sync->columns[i].type, -1,
													FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);

			if (OidIsValid(att->attcollation))
				type = psprintf("%s COLLATE %s", type, generate_collation_name(att->attcollation));
			fg_ddl_run("ALTER TABLE %s ALTER COLUMN %s TYPE %s", sync->table,
					   quote_identifier(sync->columns[i].name), type);
		}
	}
}

/* Brings an existing shadow into step with its base table. */
static void
fg_shadow_align(Relation base, Oid shadow_oid)
{
	bool		renumbered = !fg_shadow_named_for(shadow_oid, RelationGetRelid(base));
	Relation	shadow = relation_open(shadow_oid, AccessShareLock);
	FgSync		sync;
	FgDdlState	state;

	if (shadow->rd_rel->relkind != RELKIND_RELATION ||
		RelationGetDescr(shadow)->natts < FG_SHADOW_N_META)
		ereport(ERROR,
				(errcode(ERRCODE_FG_ARCHIVE_FAILED),
				 errmsg("\"%s\" is not an archive", RelationGetRelationName(shadow)),
				 errtable(base)));

	if (!renumbered && fg_shadow_in_step(base, shadow))
	{
		relation_close(shadow, AccessShareLock);
		return;
	}

	/* nobody else may alter it between reading its columns and altering them */
	LockRelationOid(shadow_oid, ShareUpdateExclusiveLock);
	fg_sync_load(&sync, shadow);
	relation_close(shadow, NoLock);

	fg_ddl_begin(&state);
	if (renumbered)
	{
		char	   *name = fg_shadow_choose_name(base);

		fg_sync_match_names(&sync, base);
		fg_ddl_run("ALTER TABLE %s RENAME TO %s", sync.table, quote_identifier(name));
		sync.table = fg_shadow_qualified_name(shadow_oid);
	}
	fg_sync_columns(&sync, base);
	fg_ddl_end(&state);
}


/* ---------------------------------------------------------------------
 * What others call
 * ---------------------------------------------------------------------
 */

Oid
fg_shadow_ensure(Relation base)
{
	Oid			relid = RelationGetRelid(base);
	Oid			shadow = fg_catalog_get_shadow(relid);

	fg_base_check(base);

	if (OidIsValid(shadow) && SearchSysCacheExists1(RELOID, ObjectIdGetDatum(shadow)))
		fg_shadow_align(base, shadow);
	else
	{
		FgDdlState	state;

		fg_ddl_begin(&state);
		shadow = fg_shadow_create(base);
		fg_ddl_end(&state);
		fg_catalog_put_shadow(relid, shadow);
		CacheInvalidateRelcacheByRelid(relid);
		CommandCounterIncrement();
	}
	return shadow;
}

List *
fg_shadow_former_columns(Relation shadow, Oid owner, AttrNumber attnum)
{
	TupleDesc	desc = RelationGetDescr(shadow);
	List	   *found = NIL;

	/* right after a dump and restore, comments have other numbers */
	if (!fg_shadow_named_for(RelationGetRelid(shadow), owner))
		return NIL;

	for (int i = desc->natts - 1; i >= FG_SHADOW_N_META; i--)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		FgFormerColumn *former;
		int			origin;

		if (att->attisdropped ||
			!fg_comment_is(RelationGetRelid(shadow), att->attnum, FG_FORMER, &origin) || origin != attnum)
			continue;
		former = palloc(sizeof(FgFormerColumn));
		former->name = pstrdup(NameStr(att->attname));
		former->type = att->atttypid;
		found = lappend(found, former);
	}
	return found;
}

void
fg_shadow_sync(Oid relid)
{
	Relation	base = relation_open(relid, ShareRowExclusiveLock);

	(void) fg_shadow_ensure(base);
	relation_close(base, NoLock);
}
