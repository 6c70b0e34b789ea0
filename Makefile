# fortress_guard: PGXS makefile
#
#	make                   builds the library
#	make install           installs library, control file and script
#	make installcheck      runs the regression and isolation tests against a
#	                       running server that has the library preloaded

MODULE_big = fortress_guard
EXTENSION = fortress_guard
DATA = fortress_guard--1.0.sql
PGFILEDESC = "fortress_guard - last line of defence against mass deletion"

OBJS = \
	$(WIN32RES) \
	fortress_guard.o \
	src/fg_admin.o \
	src/fg_apply.o \
	src/fg_approve.o \
	src/fg_argument.o \
	src/fg_audit.o \
	src/fg_auditor.o \
	src/fg_auditor_import.o \
	src/fg_auth.o \
	src/fg_auth_request.o \
	src/fg_auth_token.o \
	src/fg_budget.o \
	src/fg_budget_file.o \
	src/fg_budget_window.o \
	src/fg_catalog.o \
	src/fg_catalog_audit.o \
	src/fg_catalog_auth.o \
	src/fg_catalog_child.o \
	src/fg_catalog_column.o \
	src/fg_catalog_request.o \
	src/fg_catalog_schema.o \
	src/fg_catalog_totp.o \
	src/fg_catalog_trash.o \
	src/fg_client.o \
	src/fg_change.o \
	src/fg_counter.o \
	src/fg_crypto.o \
	src/fg_ddl.o \
	src/fg_ddl_admin.o \
	src/fg_ddl_command.o \
	src/fg_ddl_database.o \
	src/fg_ddl_drop.o \
	src/fg_ddl_follow.o \
	src/fg_ddl_role.o \
	src/fg_ddl_table.o \
	src/fg_ddl_trash.o \
	src/fg_ddl_type.o \
	src/fg_decide.o \
	src/fg_decide_account.o \
	src/fg_decide_note.o \
	src/fg_enact.o \
	src/fg_event.o \
	src/fg_executor.o \
	src/fg_executor_admin.o \
	src/fg_executor_begin.o \
	src/fg_executor_inserted.o \
	src/fg_executor_key.o \
	src/fg_executor_tap.o \
	src/fg_executor_watch.o \
	src/fg_guc.o \
	src/fg_install.o \
	src/fg_journal.o \
	src/fg_journal_file.o \
	src/fg_journal_read.o \
	src/fg_journal_state.o \
	src/fg_journal_worker.o \
	src/fg_label.o \
	src/fg_own.o \
	src/fg_permit.o \
	src/fg_policy.o \
	src/fg_record.o \
	src/fg_remote.o \
	src/fg_progress.o \
	src/fg_restore.o \
	src/fg_purge.o \
	src/fg_restore_direct.o \
	src/fg_restore_entries.o \
	src/fg_restore_fkey.o \
	src/fg_restore_image.o \
	src/fg_restore_keys.o \
	src/fg_restore_moved.o \
	src/fg_restore_plan.o \
	src/fg_restore_preview.o \
	src/fg_restore_purge.o \
	src/fg_restore_sql.o \
	src/fg_restore_write.o \
	src/fg_schema.o \
	src/fg_shadow.o \
	src/fg_shadow_ddl.o \
	src/fg_shadow_own.o \
	src/fg_shadow_xact.o \
	src/fg_statement.o \
	src/fg_statement_lex.o \
	src/fg_trash.o \
	src/fg_trash_expire.o \
	src/fg_trash_kin.o \
	src/fg_trash_place.o \
	src/fg_trash_save.o \
	src/fg_trash_undrop.o \
	src/fg_trigger.o \
	src/fg_trigger_apart.o \
	src/fg_trigger_remote.o \
	src/fg_tally.o \
	src/fg_totp.o \
	src/fg_totp_code.o \
	src/fg_totp_seal.o \
	src/fg_types.o \
	src/fg_verify.o \
	src/fg_verify_object.o \
	src/fg_verify_table.o \
	src/fg_view.o \
	src/fg_where.o \
	src/fg_xact.o

PG_CPPFLAGS = -I$(srcdir)/src
PG_CFLAGS = -Wall -Wextra -Wmissing-prototypes -Wno-unused-parameter -Wno-sign-compare

comma := ,
# functions of the library call each other directly, as nobody replaces one
PG_CFLAGS += -fno-semantic-interposition
SHLIB_LINK = $(if $(filter linux,$(PORTNAME)),-Wl$(comma)-Bsymbolic-functions)

# every test of sql/ is run, in the order of the alphabet
REGRESS = $(sort $(patsubst $(srcdir)/sql/%.sql,%,$(wildcard $(srcdir)/sql/*.sql)))
REGRESS_OPTS = --inputdir=$(srcdir)
ISOLATION = $(sort $(patsubst $(srcdir)/specs/%.spec,%,$(wildcard $(srcdir)/specs/*.spec)))
ISOLATION_OPTS = --inputdir=$(srcdir)

# the TAP tests of t/ start servers of their own and are run by scripts/test

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# PGXS does not know what includes what: a changed header builds all anew
$(OBJS): $(wildcard $(srcdir)/src/*.h)
