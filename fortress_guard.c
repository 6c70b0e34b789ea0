/*-------------------------------------------------------------------------
 *
 * fortress_guard.c
 *		Entry point: settings, shared memory, hooks, and nothing else.
 *
 * Loaded through shared_preload_libraries the library guards.  Loaded later,
 * by a call of one of its functions, it only lets these functions run, which
 * refuse everything (fg_trigger.c) or say what is missing (fg_admin.c).
 *
 * The order of registration matters in one place: callbacks for the end of a
 * transaction run last in, first out, so fg_counter's run after those of all
 * who own counters, and fg_event's after those of all who have events to tell.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "fg_auditor.h"
#include "fg_auth.h"
#include "fg_budget.h"
#include "fg_catalog.h"
#include "fg_counter.h"
#include "fg_ddl.h"
#include "fg_decide.h"
#include "fg_event.h"
#include "fg_executor.h"
#include "fg_guc.h"
#include "fg_install.h"
#include "fg_journal.h"
#include "fg_label.h"
#include "fg_own.h"
#include "fg_policy.h"
#include "fg_progress.h"
#include "fg_purge.h"
#include "fg_shadow.h"
#include "fg_trash.h"
#include "fg_trigger.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

static shmem_request_hook_type previous_shmem_request = NULL;
static shmem_startup_hook_type previous_shmem_startup = NULL;

static void
guard_shmem_request(void)
{
	if (previous_shmem_request)
		previous_shmem_request();
	RequestAddinShmemSpace(add_size(add_size(fg_progress_shmem_size(), fg_purge_shmem_size()),
									add_size(fg_budget_shmem_size(), fg_journal_shmem_size())));
}

static void
guard_shmem_startup(void)
{
	if (previous_shmem_startup)
		previous_shmem_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	fg_budget_shmem_init();
	fg_journal_shmem_init();
	fg_progress_shmem_init();
	fg_purge_shmem_init();
	LWLockRelease(AddinShmemInitLock);
}

void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;

	fg_guc_define();
	previous_shmem_request = shmem_request_hook;
	shmem_request_hook = guard_shmem_request;
	previous_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = guard_shmem_startup;
	if (!IsBinaryUpgrade)
		fg_auditor_register();

	fg_counter_setup();
	fg_event_setup();
	fg_auditor_setup();
	fg_auditor_register_expiry(fg_trash_expire_step, &fg_trash_retention);
	fg_budget_setup();
	fg_catalog_setup();
	fg_policy_setup();
	fg_progress_setup();
	fg_label_setup();
	fg_install_setup();
	fg_shadow_setup();
	fg_shadow_own_setup();
	fg_auth_setup();
	fg_decide_setup();
	fg_own_setup();
	fg_executor_setup();
	fg_trigger_setup();
	fg_ddl_setup();
	fg_preloaded = true;
}
