/*-------------------------------------------------------------------------
 *
 * fg_trash_kin.c
 *		What of all that a command drops has to do with a table.
 *
 * A command may drop hundreds of tables, most of which have nothing to do with
 * each other, and most tables nobody else has anything to do with.  The queries of
 * fg_trash_save.c are asked for each of them; so each gets only what hangs
 * together with it, and is not asked where it can find nothing.
 *
 * What hangs together the server keeps in pg_depend: two objects do that are
 * both dropped and one of which depends on the other.  Schemas and extensions do
 * not count, which all they have in them would hang together by.
 *
 * It refuses nothing.
 *
 * Locks: the members are locked by the callers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/partition.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_publication_rel.h"
#include "catalog/pg_shdepend.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "fg_trash.h"
#include "fg_trash_kin.h"

/* An object that is dropped */
typedef struct FgKinsman
{
	FgTrashObject object;		/* hash key */
	struct FgKinsman *next;		/* towards the one that stands for all that hang together; NULL: itself */
	List	   *kin;			/* of that one: FgTrashObject * */
} FgKinsman;


/* ---------------------------------------------------------------------
 * What hangs together
 * ---------------------------------------------------------------------
 */

static FgKinsman *
kinsman(HTAB *all, Oid class_id, Oid object)
{
	FgTrashObject key = {.class_id = class_id,.object = object};

	return hash_search(all, &key, HASH_FIND, NULL);
}

/* The one that stands for all that hang together with this one. */
static FgKinsman *
head_of(FgKinsman *man)
{
	while (man->next)
	{
		if (man->next->next)
			man->next = man->next->next;
		man = man->next;
	}
	return man;
}

static void
join(FgKinsman *a, FgKinsman *b)
{
	a = head_of(a);
	b = head_of(b);
	if (a != b)
		a->next = b;
}

/* Joins an object with the others that it depends on. */
static void
join_with_referenced(HTAB *all, Relation depend, FgKinsman *man)
{
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_depend_classid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(man->object.class_id));
	ScanKeyInit(&keys[1], Anum_pg_depend_objid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(man->object.object));
	scan = systable_beginscan(depend, DependDependerIndexId, true, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);
		FgKinsman  *other;

		if (form->refclassid == NamespaceRelationId || form->refclassid == ExtensionRelationId)
			continue;
		other = kinsman(all, form->refclassid, form->refobjid);
		if (other)
			join(man, other);
	}
	systable_endscan(scan);
}

List *
fg_trash_kin(const List *dropped, const List *groups)
{
	HASHCTL		ctl = {
		.keysize = sizeof(FgTrashObject),
		.entrysize = sizeof(FgKinsman),
		.hcxt = CurrentMemoryContext
	};
	HTAB	   *all = hash_create("fortress_guard dropped objects", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	List	   *result = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, dropped)
	{
		bool		found;
		FgKinsman  *man = hash_search(all, lfirst(lc), HASH_ENTER, &found);

		man->next = NULL;
		man->kin = NIL;
	}
	foreach(lc, dropped)
	{
		const FgTrashObject *object = lfirst(lc);

		join_with_referenced(all, depend, kinsman(all, object->class_id, object->object));
	}
	table_close(depend, AccessShareLock);
	foreach(lc, groups)
	{
		foreach(lc2, (const List *) lfirst(lc))
			join(kinsman(all, RelationRelationId, linitial_oid(lfirst(lc))),
				 kinsman(all, RelationRelationId, lfirst_oid(lc2)));
	}

	foreach(lc, dropped)
	{
		const FgTrashObject *object = lfirst(lc);
		FgKinsman  *head = head_of(kinsman(all, object->class_id, object->object));

		head->kin = lappend(head->kin, lfirst(lc));
	}
	foreach(lc, groups)
		result = lappend(result, head_of(kinsman(all, RelationRelationId, linitial_oid(lfirst(lc))))->kin);
	hash_destroy(all);
	return result;
}


/* ---------------------------------------------------------------------
 * Parts
 * ---------------------------------------------------------------------
 */

/* The table that a part of one belongs to, by a column of the part's catalog. */
static Oid
part_of(Oid catalog, Oid index, AttrNumber oid_column, AttrNumber table_column, Oid part)
{
	Relation	rel = table_open(catalog, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			table = InvalidOid;

	ScanKeyInit(&key, oid_column, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(part));
	scan = systable_beginscan(rel, index, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;

		table = DatumGetObjectId(heap_getattr(tuple, table_column, RelationGetDescr(rel), &isnull));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return table;
}

static bool
relation_plain(Oid relid, const List *members)
{
	Oid			table;
	int32		column;

	if (list_member_oid(members, relid))
		return true;
	switch (get_rel_relkind(relid))
	{
		case RELKIND_INDEX:
		case RELKIND_PARTITIONED_INDEX:
		case RELKIND_TOASTVALUE:
			return true;
		case RELKIND_SEQUENCE:
			return (sequenceIsOwned(relid, DEPENDENCY_AUTO, &table, &column) ||
					sequenceIsOwned(relid, DEPENDENCY_INTERNAL, &table, &column)) &&
				list_member_oid(members, table);
		default:
			return false;
	}
}

/* A check, a key or the like; a foreign key always is another table's, too. */
static bool
constraint_plain(Oid constraint, const List *members)
{
	HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
	bool		plain = false;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);

		plain = form->contype != CONSTRAINT_FOREIGN && list_member_oid(members, form->conrelid);
		ReleaseSysCache(tuple);
	}
	return plain;
}

/* The type of rows of a member, or of arrays of them */
static bool
type_plain(Oid type, const List *members)
{
	Oid			element = get_element_type(type);
	Oid			relid = get_typ_typrelid(OidIsValid(element) ? element : type);

	return OidIsValid(relid) && list_member_oid(members, relid);
}

static bool
object_plain(const FgTrashObject *object, const List *members)
{
	Oid			oid = object->object;

	switch (object->class_id)
	{
		case RelationRelationId:
			return relation_plain(oid, members);
		case TypeRelationId:
			return type_plain(oid, members);
		case ConstraintRelationId:
			return constraint_plain(oid, members);
		case TriggerRelationId:
			return list_member_oid(members, part_of(TriggerRelationId, TriggerOidIndexId, Anum_pg_trigger_oid,
													Anum_pg_trigger_tgrelid, oid));
		case AttrDefaultRelationId:
			return list_member_oid(members, part_of(AttrDefaultRelationId, AttrDefaultOidIndexId, Anum_pg_attrdef_oid,
													Anum_pg_attrdef_adrelid, oid));
		case PolicyRelationId:
			return list_member_oid(members, part_of(PolicyRelationId, PolicyOidIndexId, Anum_pg_policy_oid,
													Anum_pg_policy_polrelid, oid));
		case StatisticExtRelationId:
			return list_member_oid(members, part_of(StatisticExtRelationId, StatisticExtOidIndexId, Anum_pg_statistic_ext_oid,
													Anum_pg_statistic_ext_stxrelid, oid));
		case PublicationRelRelationId:
			return true;		/* a link */
		default:
			return false;
	}
}

bool
fg_trash_kin_plain(const List *kin, const List *members)
{
	ListCell   *lc;

	foreach(lc, kin)
	{
		if (!object_plain(lfirst(lc), members))
			return false;
	}
	return true;
}


/* ---------------------------------------------------------------------
 * Rights, links, roles
 * ---------------------------------------------------------------------
 */

static bool
column_has_rights(Oid relid, AttrNumber attnum)
{
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(attnum));
	bool		isnull = true;

	if (HeapTupleIsValid(tuple))
	{
		(void) SysCacheGetAttr(ATTNUM, tuple, Anum_pg_attribute_attacl, &isnull);
		ReleaseSysCache(tuple);
	}
	return !isnull;
}

static bool
relation_has_rights(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;
	bool		none;
	bool		found;
	int			natts;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_class) GETSTRUCT(tuple);
	(void) SysCacheGetAttr(RELOID, tuple, Anum_pg_class_relacl, &none);
	found = !none || form->relrowsecurity || form->relforcerowsecurity;
	natts = form->relnatts;
	ReleaseSysCache(tuple);
	for (int i = 1; i <= natts && !found; i++)
		found = column_has_rights(relid, i);
	return found;
}

bool
fg_trash_kin_rights(const List *kin, const List *members)
{
	ListCell   *lc;

	foreach(lc, members)
	{
		if (relation_has_rights(lfirst_oid(lc)))
			return true;
	}
	foreach(lc, kin)
	{
		const FgTrashObject *object = lfirst(lc);

		if (object->class_id == RelationRelationId && get_rel_relkind(object->object) == RELKIND_SEQUENCE &&
			relation_has_rights(object->object))
			return true;
	}
	return false;
}

bool
fg_trash_kin_links(const List *kin, const List *members)
{
	ListCell   *lc;

	foreach(lc, kin)
	{
		if (((const FgTrashObject *) lfirst(lc))->class_id == PublicationRelRelationId)
			return true;
	}
	foreach(lc, members)
	{
		Relation	rel = table_open(lfirst_oid(lc), NoLock);
		bool		linked = OidIsValid(rel->rd_rel->reloftype);

		if (rel->rd_rel->relispartition)
			linked |= !list_member_oid(members, get_partition_parent(lfirst_oid(lc), true));
		else
			linked |= has_superclass(lfirst_oid(lc));
		table_close(rel, NoLock);
		if (linked)
			return true;
	}
	return false;
}

List *
fg_trash_kin_roles(const List *kin)
{
	Relation	depend = table_open(SharedDependRelationId, AccessShareLock);
	List	   *roles = NIL;
	ListCell   *lc;

	foreach(lc, kin)
	{
		const FgTrashObject *object = lfirst(lc);
		ScanKeyData keys[3];
		SysScanDesc scan;
		HeapTuple	tuple;

		ScanKeyInit(&keys[0], Anum_pg_shdepend_dbid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(MyDatabaseId));
		ScanKeyInit(&keys[1], Anum_pg_shdepend_classid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(object->class_id));
		ScanKeyInit(&keys[2], Anum_pg_shdepend_objid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(object->object));
		scan = systable_beginscan(depend, SharedDependDependerIndexId, true, NULL, 3, keys);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			Form_pg_shdepend form = (Form_pg_shdepend) GETSTRUCT(tuple);

			if (form->refclassid == AuthIdRelationId)
				roles = list_append_unique_oid(roles, form->refobjid);
		}
		systable_endscan(scan);
	}
	table_close(depend, AccessShareLock);
	return roles;
}
