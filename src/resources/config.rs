use std::collections::{BTreeMap, BTreeSet};

use super::reader::{Content, Document, Passed, Place, Problem, Resource, Warning, read};
use super::valid::{
    Origin, ValidAudit, ValidBank, ValidCheck, ValidPolicy, ValidRecovery, ValidRun, Violation, check_route,
    check_waiver,
};
use crate::domain::{Canary, Task, Work};

/// The namespace of a folder whose documents name none.
const DEFAULT_NAMESPACE: &str = "default";

/// The resources of a folder: one namespace, valid, with every reference resolved.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The namespace.
    pub namespace: String,
    /// Banks, in the order of files and documents; so each list.
    pub banks: Vec<ValidBank>,
    /// Policies.
    pub policies: Vec<ValidPolicy>,
    /// Runs that were asked for by hand.
    pub runs: Vec<ValidRun>,
    /// Checks.
    pub checks: Vec<ValidCheck>,
    /// Audits.
    pub audits: Vec<ValidAudit>,
    /// Recoveries.
    pub recoveries: Vec<ValidRecovery>,
}

/// All that was found in some files.
#[derive(Clone, Debug, Default)]
pub struct Review {
    /// What is valid; to be used only where there is no problem.
    pub config: Config,
    /// What must be mended, in order of place.
    pub problems: Vec<Problem>,
    /// What may not do what was meant, in order of place.
    pub warnings: Vec<Warning>,
    /// Documents of other API groups.
    pub passed: Vec<(Place, Passed)>,
}

impl Config {
    /// Reads a configuration from files (name and text each), or tells all that is wrong with it: nothing
    /// runs half-configured.
    pub fn load(files: &[(String, String)]) -> Result<(Self, Vec<Warning>), Vec<Problem>> {
        let Review { config, problems, warnings, .. } = Review::of(files);
        if problems.is_empty() { Ok((config, warnings)) } else { Err(problems) }
    }
}

impl Review {
    /// Reads files (name and text each), and goes on after what is wrong.
    pub fn of(files: &[(String, String)]) -> Self {
        let mut review = Self::default();
        let mut documents = Vec::new();
        for (file, text) in files {
            let (read, problems) = read(file, text);
            documents.extend(read);
            review.problems.extend(problems);
        }
        review.config.namespace = review.namespace(&documents);
        review.find_duplicates(&documents);
        // References are judged only where every document could be read: the one that is meant may be broken.
        let complete = review.problems.is_empty();
        let banks: BTreeSet<_> = documents
            .iter()
            .filter_map(|d| match &d.content {
                Content::Resource(Resource::Bank(bank)) => bank.metadata.name.clone(),
                _ => None,
            })
            .collect();
        for document in &documents {
            match &document.content {
                Content::Resource(resource) => {
                    review.validate(resource, document);
                    if complete {
                        review.resolve(resource, document, &banks);
                    }
                }
                Content::Passed(passed) => review.pass(passed, document),
            }
        }
        review.warn_of_idle_policies(&documents);
        review.problems.sort();
        review.warnings.sort();
        review
    }

    /// The one namespace of all documents.
    fn namespace(&mut self, documents: &[Document]) -> String {
        let mut first: Option<(&str, &Document)> = None;
        for document in documents {
            let Content::Resource(resource) = &document.content else { continue };
            let Some(namespace) = resource.meta().namespace.as_deref() else { continue };
            match first {
                None => first = Some((namespace, document)),
                Some((known, at)) if known != namespace => {
                    let message =
                        format!("a folder is one namespace, and {}:{} is in {known:?}", at.place.file, at.place.line);
                    self.problems.push(document.problem("metadata.namespace", message));
                }
                Some(_) => {}
            }
        }
        first.map_or(DEFAULT_NAMESPACE, |(namespace, _)| namespace).to_owned()
    }

    fn find_duplicates(&mut self, documents: &[Document]) {
        let mut seen = BTreeMap::new();
        for document in documents {
            let Content::Resource(resource) = &document.content else { continue };
            let Some(name) = resource.meta().name.as_deref() else { continue };
            if let Some(Place { file, line, .. }) = seen.insert((resource.kind(), name), &document.place) {
                let message = format!("a {} of this name is already at {file}:{line}", resource.kind());
                self.problems.push(document.problem("metadata.name", message));
            }
        }
    }

    fn validate(&mut self, resource: &Resource, document: &Document) {
        let namespace = self.config.namespace.clone();
        let origin = Origin { namespace: &namespace, file: Some(&document.place.file) };
        let violations = match resource {
            Resource::Bank(bank) => keep(ValidBank::parse(bank, origin), &mut self.config.banks),
            Resource::Policy(policy) => keep(ValidPolicy::parse(policy, origin), &mut self.config.policies),
            Resource::Run(run) => keep(ValidRun::parse(run, origin), &mut self.config.runs),
            Resource::Check(check) => keep(ValidCheck::parse(check, origin), &mut self.config.checks),
            Resource::Audit(audit) => keep(ValidAudit::parse(audit, origin), &mut self.config.audits),
            Resource::Recovery(recovery) => keep(ValidRecovery::parse(recovery, origin), &mut self.config.recoveries),
            Resource::Route(route) => check_route(route, origin).err().unwrap_or_default(),
            Resource::Waiver(waiver) => check_waiver(waiver, origin).err().unwrap_or_default(),
        };
        if violations.is_empty() {
            self.warn_of_later_parts(resource, document);
        }
        self.problems.extend(violations.into_iter().map(|v| document.problem(v.field, v.message)));
    }

    /// The bank that a resource names is there.
    fn resolve(&mut self, resource: &Resource, document: &Document, banks: &BTreeSet<String>) {
        let (bank, field) = match resource {
            Resource::Run(run) => (&run.spec.bank_name, "spec.bankName"),
            Resource::Check(check) => (&check.spec.bank_name, "spec.bankName"),
            Resource::Audit(audit) => (&audit.spec.bank_name, "spec.bankName"),
            Resource::Recovery(recovery) => (&recovery.spec.bank_name, "spec.bankName"),
            Resource::Waiver(waiver) => match &waiver.spec.matches.bank_name {
                Some(bank) => (bank, "spec.match.bankName"),
                None => return,
            },
            Resource::Bank(_) | Resource::Policy(_) | Resource::Route(_) => return,
        };
        if !banks.contains(bank) {
            let message = format!("there is no MemoryBank {bank:?} in these files");
            self.problems.push(document.problem(field, message));
        }
    }

    fn pass(&mut self, passed: &Passed, document: &Document) {
        if passed.kind.is_empty() {
            let message = "has neither apiVersion nor kind: passed over";
            self.warnings.push(document.problem("", message));
        } else {
            self.passed.push((document.place.clone(), passed.clone()));
        }
    }

    /// What this version cannot measure is told before it runs, not only after.
    fn warn_of_later_parts(&mut self, resource: &Resource, document: &Document) {
        let mut warn = |field: &str, tasks: &[Task]| {
            for (index, task) in tasks.iter().enumerate() {
                let single = matches!(resource, Resource::Check(_) | Resource::Audit(_));
                let field = if single { field.to_owned() } else { format!("{field}[{index}]") };
                let messages = later_parts(&task.work);
                self.warnings.extend(messages.into_iter().map(|message| document.problem(field.as_str(), message)));
            }
        };
        match resource {
            Resource::Bank(_) => {
                let api = self.config.banks.last().and_then(|bank| bank.bank.api.as_ref());
                if api.is_some_and(|api| api.canary == Canary::Transaction) {
                    let message = "Transaction comes with a later version: the API is probed as with ReadOnly";
                    self.warnings.push(document.problem("spec.api.canary", message));
                }
            }
            Resource::Policy(_) => {
                let Some(policy) = self.config.policies.last() else { return };
                for (index, schedule) in policy.schedules.iter().enumerate() {
                    warn(&format!("spec.schedules[{index}].tasks"), &schedule.tasks);
                }
                if policy.namespace_selector.is_some() {
                    let message = "has no effect here: a folder is one namespace";
                    self.warnings.push(document.problem("spec.namespaceSelector", message));
                }
            }
            Resource::Run(_) => warn("spec.tasks", self.config.runs.last().map_or(&[], |r| &r.tasks)),
            Resource::Check(_) => {
                warn("spec", self.config.checks.last().map_or(&[], |c| std::slice::from_ref(&c.task)));
            }
            Resource::Audit(_) => {
                warn("spec", self.config.audits.last().map_or(&[], |a| std::slice::from_ref(&a.task)));
            }
            Resource::Recovery(_) => {}
            Resource::Route(_) | Resource::Waiver(_) => {
                let message = format!("this version acts on no {} yet: it has no effect", resource.kind());
                self.warnings.push(document.problem("kind", message));
            }
        }
    }

    fn warn_of_idle_policies(&mut self, documents: &[Document]) {
        for document in documents {
            let Content::Resource(Resource::Policy(policy)) = &document.content else { continue };
            let selects = |bank: &ValidBank| policy.spec.bank_selector.matches(&bank.meta.labels);
            if !self.config.banks.is_empty() && !self.config.banks.iter().any(selects) {
                let message = "selects no bank of these files";
                self.warnings.push(document.problem("spec.bankSelector", message));
            }
        }
    }
}

fn keep<T>(parsed: Result<T, Vec<Violation>>, list: &mut Vec<T>) -> Vec<Violation> {
    match parsed {
        Ok(valid) => {
            list.push(valid);
            Vec::new()
        }
        Err(violations) => violations,
    }
}

fn later_parts(work: &Work) -> Vec<String> {
    let unmeasured = |what: &str| format!("{what} comes with a later version: it will end Unknown/NotMeasured");
    match work {
        Work::SecurityAudit { scopes } => {
            let later = scopes.iter().filter(|scope| !scope.implemented());
            later.map(|scope| unmeasured(&format!("the scope {}", scope.name()))).collect()
        }
        _ if !work.kind().implemented() => vec![unmeasured(&format!("the task {}", work.kind().name()))],
        _ => Vec::new(),
    }
}
