use jiff::Timestamp;

use super::super::objects::Objects;
use crate::plan::{Asks, AuditAsk, CheckAsk, MADE_FOR, PolicyAsk, RecoveryAsk};
use crate::resources::{
    Config, IntegrityCheckStatus, MaintenancePolicyStatus, RecoveryStatus, SecurityAuditStatus, ValidAudit, ValidBank,
    ValidCheck, ValidPolicy, ValidRecovery,
};

/// The statuses of those who ask something of a bank, as last written.
pub(super) struct Statuses {
    policies: Vec<Option<MaintenancePolicyStatus>>,
    checks: Vec<Option<IntegrityCheckStatus>>,
    audits: Vec<Option<SecurityAuditStatus>>,
    /// And when a policy made it.
    recoveries: Vec<(Option<RecoveryStatus>, Option<Timestamp>)>,
}

impl Statuses {
    pub fn of(bank: &ValidBank, config: &Config, objects: &Objects) -> Self {
        Self {
            policies: policies(bank, config).map(|p| objects.status("MaintenancePolicy", &p.meta.name)).collect(),
            checks: checks(bank, config).map(|c| objects.status("IntegrityCheck", &c.meta.name)).collect(),
            audits: audits(bank, config).map(|a| objects.status("SecurityAudit", &a.meta.name)).collect(),
            recoveries: recoveries(bank, config)
                .map(|recovery| {
                    let name = &recovery.meta.name;
                    let by_policy = recovery.meta.annotations.contains_key(MADE_FOR);
                    let made = objects.created("Recovery", name).filter(|_| by_policy);
                    (objects.status("Recovery", name), made)
                })
                .collect(),
        }
    }

    pub fn asks<'a>(&'a self, bank: &'a ValidBank, config: &'a Config) -> Asks<'a> {
        let echoed = |status: &'a Option<MaintenancePolicyStatus>| status.as_ref()?.last_run_now_token.as_deref();
        Asks {
            policies: policies(bank, config)
                .zip(&self.policies)
                .map(|(policy, status)| PolicyAsk { policy, echoed: echoed(status) })
                .collect(),
            checks: checks(bank, config)
                .zip(&self.checks)
                .map(|(check, status)| CheckAsk { check, status: status.as_ref() })
                .collect(),
            audits: audits(bank, config)
                .zip(&self.audits)
                .map(|(audit, status)| AuditAsk { audit, status: status.as_ref() })
                .collect(),
            recoveries: recoveries(bank, config)
                .zip(&self.recoveries)
                .map(|(recovery, (status, made))| RecoveryAsk {
                    recovery,
                    status: status.as_ref(),
                    scales: false,
                    made: *made,
                })
                .collect(),
            hand: config.runs.iter().filter(|run| run.bank_name == bank.meta.name).collect(),
        }
    }
}

fn policies<'a>(bank: &'a ValidBank, config: &'a Config) -> impl Iterator<Item = &'a ValidPolicy> {
    config.policies.iter().filter(|policy| policy.bank_selector.matches(&bank.meta.labels))
}

fn checks<'a>(bank: &'a ValidBank, config: &'a Config) -> impl Iterator<Item = &'a ValidCheck> {
    config.checks.iter().filter(|check| check.bank_name == bank.meta.name)
}

fn audits<'a>(bank: &'a ValidBank, config: &'a Config) -> impl Iterator<Item = &'a ValidAudit> {
    config.audits.iter().filter(|audit| audit.bank_name == bank.meta.name)
}

fn recoveries<'a>(bank: &'a ValidBank, config: &'a Config) -> impl Iterator<Item = &'a ValidRecovery> {
    config.recoveries.iter().filter(|recovery| recovery.bank_name == bank.meta.name)
}
