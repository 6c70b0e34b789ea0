/*-------------------------------------------------------------------------
 *
 * fg_compat.h
 *		What differs between PostgreSQL versions, and nothing else.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_COMPAT_H
#define FG_COMPAT_H

#include "postgres.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_namespace.h"
#include "miscadmin.h"
#include "parser/parse_relation.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"

#if PG_VERSION_NUM < 150000
#error "fortress_guard needs PostgreSQL 15 or later"
#endif

/* the number of this backend's running transaction, also before it has an xid */
#if PG_VERSION_NUM >= 170000
#define FG_MY_LXID	(MyProc->vxid.lxid)
#else
#define FG_MY_LXID	(MyProc->lxid)
#endif

/* the description of a setting of the server, or NULL; call it at load */
#if PG_VERSION_NUM >= 160000
#define fg_compat_find_setting(name)	find_option((name), false, true, ERROR)
#else
static inline struct config_generic *
fg_compat_find_setting(const char *name)
{
	struct config_generic **settings = get_guc_variables();

	for (int i = 0; i < GetNumConfigOptions(); i++)
	{
		if (strcmp(settings[i]->name, name) == 0)
			return settings[i];
	}
	return NULL;
}
#endif

/* does the current user own the database, or count as its owner? */
#if PG_VERSION_NUM >= 160000
#define fg_compat_owns_database(database) \
	object_ownercheck(DatabaseRelationId, (database), GetUserId())
#else
#define fg_compat_owns_database(database) \
	pg_database_ownercheck((database), GetUserId())
#endif

/* the same for a relation */
#if PG_VERSION_NUM >= 160000
#define fg_compat_owns_relation(relid) \
	object_ownercheck(RelationRelationId, (relid), GetUserId())
#else
#define fg_compat_owns_relation(relid) \
	pg_class_ownercheck((relid), GetUserId())
#endif

/* may the current user look up names in the schema? */
#if PG_VERSION_NUM >= 160000
#define fg_compat_may_use_schema(schema) \
	(object_aclcheck(NamespaceRelationId, (schema), GetUserId(), ACL_USAGE) == ACLCHECK_OK)
#else
#define fg_compat_may_use_schema(schema) \
	(pg_namespace_aclcheck((schema), GetUserId(), ACL_USAGE) == ACLCHECK_OK)
#endif

/* whose rights a relation of a plan is read or written with; InvalidOid: the current user's */
#if PG_VERSION_NUM >= 160000
#define fg_compat_check_as_user(plan, rte) \
	(getRTEPermissionInfo((plan)->permInfos, (rte))->checkAsUser)
#else
#define fg_compat_check_as_user(plan, rte)	((rte)->checkAsUser)
#endif

/* how rows of a partitioned table become those of a partition; NULL: they are alike */
#if PG_VERSION_NUM >= 160000
#define fg_compat_partition_map(info, estate) ExecGetRootToChildMap((info), (estate))
#else
#define fg_compat_partition_map(info, estate) ((info)->ri_RootToPartitionMap)
#endif

/* finds and locks the leaf page of a btree that an entry belongs on */
#if PG_VERSION_NUM >= 170000
#define fg_compat_bt_search_to_write(index, heap, key, buffer) \
	_bt_search((index), (heap), (key), (buffer), BT_WRITE)
#elif PG_VERSION_NUM >= 160000
#define fg_compat_bt_search_to_write(index, heap, key, buffer) \
	_bt_search((index), (heap), (key), (buffer), BT_WRITE, NULL)
#else
#define fg_compat_bt_search_to_write(index, heap, key, buffer) \
	_bt_search((index), (key), (buffer), BT_WRITE, NULL)
#endif

/* which file a relation is in */
#if PG_VERSION_NUM >= 160000
#define fg_compat_locator(rel)	((rel)->rd_locator)
#else
#define fg_compat_locator(rel)	((rel)->rd_node)
#endif

#endif							/* FG_COMPAT_H */
