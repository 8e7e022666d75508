use super::policy::{check_selector, time_of_day, time_zone};
use super::{Meta, Origin, Violation, Violations};
use crate::engine::schedule::CronSchedule;
use crate::resources::{AlertRoute, AlertRouteSpec, Receiver, rules};

/// Tells all that is wrong with an AlertRoute. This version acts on none, so there is no form to act on.
pub fn check_route(route: &AlertRoute, origin: Origin<'_>) -> Result<(), Vec<Violation>> {
    let spec = &route.spec;
    let mut wrong = Violations::default();
    let meta = Meta::parse(&route.metadata, spec, origin, &mut wrong);
    for (index, alerts) in spec.matches.iter().enumerate() {
        let selectors = [("bankSelector", &alerts.bank_selector), ("namespaceSelector", &alerts.namespace_selector)];
        for (member, selector) in selectors {
            if let Some(selector) = selector {
                check_selector(selector, &format!("spec.match[{index}].{member}"), &mut wrong);
            }
        }
    }
    check_times(spec, &mut wrong);
    for (index, receiver) in spec.receivers.iter().enumerate() {
        check_receiver(receiver, &format!("spec.receivers[{index}]"), &mut wrong);
    }
    wrong.into_result(meta.map(drop))
}

fn check_times(spec: &AlertRouteSpec, wrong: &mut Violations) {
    let known = time_zone(&spec.time_zone, "spec.timeZone", wrong).is_some();
    for (index, hours) in spec.quiet_hours.iter().enumerate() {
        let field = format!("spec.quietHours[{index}]");
        time_of_day(&hours.start, &format!("{field}.start"), wrong);
        time_of_day(&hours.end, &format!("{field}.end"), wrong);
        wrong.require(hours.start != hours.end, field, rules::WINDOW);
    }
    if let Some(test) = &spec.self_test {
        // An unknown zone is told once, at its own field.
        let zone = if known { &spec.time_zone } else { "UTC" };
        wrong.keep("spec.selfTest.cron", CronSchedule::parse(&test.cron, zone));
    }
}

fn check_receiver(receiver: &Receiver, field: &str, wrong: &mut Violations) {
    let Receiver { name: _, webhook, email, desktop } = receiver;
    wrong.one_of(Receiver::MEMBERS, &[webhook.is_some(), email.is_some(), desktop.is_some()], field);
    let tls = [
        ("webhook", webhook.as_ref().and_then(|w| w.tls.as_ref())),
        ("email", email.as_ref().and_then(|e| e.tls.as_ref())),
    ];
    for (member, tls) in tls {
        let fits = tls.is_none_or(|t| t.ca_secret_ref.is_none() || !t.insecure_skip_verify);
        wrong.require(fits, format!("{field}.{member}.tls"), rules::TLS);
    }
}
