/*-------------------------------------------------------------------------
 *
 * fg_ddl_role.c
 *		The roles of the guard and exempt roles are out of reach.
 *
 * Who can become fortress_admin needs no other way around the guard, and in
 * PostgreSQL 15 whoever may create roles can make himself a member of any role
 * that is not a superuser's, or give its members another password.  Roles are
 * the cluster's, so all this is tried from any database.
 *
 * Guarded are fortress_admin, fortress_operator, fortress_auditor, and roles
 * that are exempt, or approve requests, in any database (fg_label.c).  Refused without permission for
 * "admin" (ZG011):
 *
 *	GRANT and REVOKE of a guarded role, and of any role to or from one, with
 *			whatever spelling: ALTER GROUP, CREATE ROLE ... IN ROLE, ROLE, ADMIN
 *	ALTER ROLE in all forms, DROP ROLE
 *	DROP OWNED BY, REASSIGN OWNED BY
 *	making, by CREATE or RENAME, a role with a name of the guard's
 *
 * A member of a guarded role can become it.  So nobody but superusers may do
 * that to members either, except that a role may alter itself, as far as the
 * server lets it.
 *
 * Three roles of the server's own lead past everything that is SQL, by programs
 * and files: pg_execute_server_program and pg_write_server_files, with which the
 * configuration can be written, and pg_read_server_files, which reads secrets
 * that no table shows (keys, password hashes, one-time codes).  In PostgreSQL 15
 * whoever may create roles can give them to himself.  So while something is
 * protected in the cluster, nobody but superusers may grant them or their members,
 * nor alter these, except for those who were given one with ADMIN OPTION, which
 * is what later versions ask for, too.  Revoking is free.  Other roles of the server's own
 * are rights on tables, sessions and statistics: what is done with them the guard
 * sees, and so they pass.
 *
 * In a database without the extension there are no tokens, so there it is
 * refused in any case.  As long as no database of the cluster has protected
 * tables, superusers are free: that is a fresh installation, where the first
 * administrators are being named, or pg_dumpall's output being loaded.
 *
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/acl.h"

#include "fg_catalog.h"
#include "fg_ddl_role.h"
#include "fg_label.h"
#include "fg_own.h"

static const char *const guard_roles[] = {
	"fortress_admin", "fortress_operator", "fortress_auditor"
};

/* the server's roles that lead past SQL */
static const Oid server_roles[] = {
	ROLE_PG_EXECUTE_SERVER_PROGRAM, ROLE_PG_WRITE_SERVER_FILES, ROLE_PG_READ_SERVER_FILES
};

/* What is known while one command is looked at. */
typedef struct FgRoleCheck
{
	const char *what;			/* the command as the message names it */
	List	   *guarded;		/* oids of the guarded roles */
	bool		anything;		/* is anything protected in the cluster? */
} FgRoleCheck;

static bool
guard_role_name(const char *name)
{
	for (int i = 0; i < lengthof(guard_roles); i++)
	{
		if (strcmp(name, guard_roles[i]) == 0)
			return true;
	}
	return false;
}

static List *
guarded_roles(void)
{
	List	   *roles = fg_label_exempt_roles();

	for (int i = 0; i < lengthof(guard_roles); i++)
	{
		Oid			role = get_role_oid(guard_roles[i], true);

		if (OidIsValid(role))
			roles = list_append_unique_oid(roles, role);
	}
	return roles;
}

static void
ask_role(const FgRoleCheck *check, const char *name, const char *why)
{
	fg_own_ask_cluster(check->what, psprintf("role \"%s\"", name), why);
}

/* A role that is guarded itself. */
static void
check_guarded(const FgRoleCheck *check, Oid role)
{
	const char *name;

	if (!list_member_oid(check->guarded, role))
		return;
	name = GetUserNameFromId(role, false);
	ask_role(check, name,
			 guard_role_name(name) ? "It has rights over the guard." :
			 "It is exempt from limits of the guard, or approves requests.");
}

/*
 * A role that leads past SQL is given, or taken over.  Who may create no roles
 * learns from the server that he can't do it.
 */
static void
check_server_role(const FgRoleCheck *check, Oid role)
{
	if (!OidIsValid(role) || !check->anything || superuser() || superuser_arg(role) ||
		!has_createrole_privilege(GetUserId()))
		return;
	for (int i = 0; i < lengthof(server_roles); i++)
	{
		Oid			server_role = server_roles[i];

		if (!is_member_of_role_nosuper(role, server_role) ||
			is_admin_of_role(GetUserId(), server_role))
			continue;
		ask_role(check, GetUserNameFromId(role, false),
				 role == server_role ?
				 "Programs and files of the server are out of the guard's sight." :
				 psprintf("It is a member of role \"%s\".", GetUserNameFromId(server_role, false)));
	}
}

/* The same, and a role through which one becomes a guarded one. */
static void
check_path(const FgRoleCheck *check, Oid role)
{
	ListCell   *lc;

	if (!OidIsValid(role))
		return;					/* the server says so */
	check_guarded(check, role);
	if (superuser() || superuser_arg(role))
		return;
	foreach(lc, check->guarded)
	{
		if (role != lfirst_oid(lc) && is_member_of_role_nosuper(role, lfirst_oid(lc)))
			ask_role(check, GetUserNameFromId(role, false),
					 psprintf("It is a member of role \"%s\".",
							  GetUserNameFromId(lfirst_oid(lc), false)));
	}
}

static void
check_altered(const FgRoleCheck *check, Oid role)
{
	if (role == GetUserId())
		check_guarded(check, role);
	else
	{
		check_path(check, role);
		check_server_role(check, role);
	}
}

static Oid
spec_role(const RoleSpec *spec)
{
	return spec->roletype == ROLESPEC_PUBLIC ? InvalidOid : get_rolespec_oid(spec, true);
}

static void
check_granted(const FgRoleCheck *check, List *specs)
{
	ListCell   *lc;

	foreach(lc, specs)
	{
		check_path(check, spec_role(lfirst(lc)));
		check_server_role(check, spec_role(lfirst(lc)));
	}
}

static void
check_grantees(const FgRoleCheck *check, List *specs)
{
	ListCell   *lc;

	foreach(lc, specs)
		check_guarded(check, spec_role(lfirst(lc)));
}

static void
check_grant(const FgRoleCheck *check, const GrantRoleStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->granted_roles)
	{
		AccessPriv *granted = lfirst(lc);
		Oid			role;

		if (granted->priv_name == NULL)
			continue;
		role = get_role_oid(granted->priv_name, true);
		check_path(check, role);
		if (stmt->is_grant)
			check_server_role(check, role);
	}
	check_grantees(check, stmt->grantee_roles);
}

/* The memberships that come with CREATE ROLE, ALTER GROUP, CREATE USER ... */
static void
check_options(const FgRoleCheck *check, List *options)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *option = lfirst(lc);

		if (option->arg == NULL || !IsA(option->arg, List))
			continue;
		if (strcmp(option->defname, "addroleto") == 0)
			check_granted(check, (List *) option->arg);
		else if (strcmp(option->defname, "rolemembers") == 0 ||
				 strcmp(option->defname, "adminmembers") == 0)
			check_grantees(check, (List *) option->arg);
	}
}

static void
check_new_name(const FgRoleCheck *check, const char *name)
{
	if (guard_role_name(name))
		ask_role(check, name, "It has rights over the guard.");
}

/* The role that owns the extension owns all that is the guard's. */
static void
check_reassign(const FgRoleCheck *check, List *specs)
{
	ListCell   *lc;

	check_grantees(check, specs);
	foreach(lc, specs)
	{
		Oid			role = spec_role(lfirst(lc));

		if (OidIsValid(role) && fg_own_guarded() && role == fg_catalog_owner())
			ask_role(check, GetUserNameFromId(role, false), "It owns what belongs to the guard.");
	}
}

static void
check_statement(const FgRoleCheck *check, Node *stmt)
{
	ListCell   *lc;

	switch (nodeTag(stmt))
	{
		case T_GrantRoleStmt:
			check_grant(check, (GrantRoleStmt *) stmt);
			break;
		case T_CreateRoleStmt:
			check_new_name(check, ((CreateRoleStmt *) stmt)->role);
			check_options(check, ((CreateRoleStmt *) stmt)->options);
			break;
		case T_AlterRoleStmt:
			check_altered(check, spec_role(((AlterRoleStmt *) stmt)->role));
			check_options(check, ((AlterRoleStmt *) stmt)->options);
			break;
		case T_AlterRoleSetStmt:
			if (((AlterRoleSetStmt *) stmt)->role != NULL)
				check_altered(check, spec_role(((AlterRoleSetStmt *) stmt)->role));
			break;
		case T_DropRoleStmt:
			foreach(lc, ((DropRoleStmt *) stmt)->roles)
				check_path(check, spec_role(lfirst(lc)));
			break;
		case T_RenameStmt:
			check_path(check, get_role_oid(((RenameStmt *) stmt)->subname, true));
			check_new_name(check, ((RenameStmt *) stmt)->newname);
			break;
		case T_DropOwnedStmt:
			check_grantees(check, ((DropOwnedStmt *) stmt)->roles);
			break;
		case T_ReassignOwnedStmt:
			check_reassign(check, ((ReassignOwnedStmt *) stmt)->roles);
			break;
		default:
			break;
	}
}

static bool
concerns_roles(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_GrantRoleStmt:
		case T_CreateRoleStmt:
		case T_AlterRoleStmt:
		case T_AlterRoleSetStmt:
		case T_DropRoleStmt:
		case T_DropOwnedStmt:
		case T_ReassignOwnedStmt:
			return true;
		case T_RenameStmt:
			return ((RenameStmt *) stmt)->renameType == OBJECT_ROLE;
		default:
			return false;
	}
}

void
fg_ddl_role_check(Node *stmt)
{
	FgRoleCheck check;

	if (!concerns_roles(stmt) || !fg_own_cluster_guarded())
		return;
	check.anything = OidIsValid(fg_label_any_protected());
	if (superuser() && !check.anything)
		return;
	check.what = CreateCommandName(stmt);
	check.guarded = guarded_roles();
	check_statement(&check, stmt);
}
