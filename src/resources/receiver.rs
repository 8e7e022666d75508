//! Who is told of alerts: one channel each.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{SecretKeyRef, SecretRef, Tls};
use super::{rules, schema};

/// Who is told; one of webhook, email and desktop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = rules::one_of(Receiver::MEMBERS))]
pub struct Receiver {
    /// Its name within the route.
    #[schemars(length(min = 1, max = schema::DNS_LABEL_MAX), regex(pattern = schema::DNS_LABEL))]
    pub name: String,
    /// An HTTP endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// Mail, by a server that speaks SMTP over TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
    /// Notifications of the desktop that local mode runs on; none in a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desktop: Option<Desktop>,
}

impl Receiver {
    /// What a receiver is one of.
    pub(super) const MEMBERS: &[&str] = &["webhook", "email", "desktop"];
}

/// An HTTP endpoint. It takes a message as JSON, with the headers of Standard Webhooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// Its url, which often holds a secret itself.
    pub url_secret_ref: SecretKeyRef,
    /// The key by which messages are signed, whsec_...; without it they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hmac_secret_ref: Option<SecretKeyRef>,
    /// How the server's certificate is verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// Mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Email {
    /// Name or address of the mail server.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::HOST))]
    pub host: String,
    /// Its port.
    #[serde(default = "submission")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: u16,
    /// How the connection is secured: begun plain and then turned into TLS (StartTls), or TLS from its first
    /// byte (Tls). It is never left plain.
    #[serde(default)]
    pub security: MailSecurity,
    /// Secret with the keys username and password; without it, no login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretRef>,
    /// Address of the sender.
    #[schemars(length(min = 3, max = 254), regex(pattern = schema::MAIL_ADDRESS))]
    pub from: String,
    /// Addresses of those who are told, each by a message of its own.
    #[schemars(length(min = 1, max = 16), inner(length(min = 3, max = 254), regex(pattern = schema::MAIL_ADDRESS)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub to: Vec<String>,
    /// How the server's certificate is verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// The port of mail submission.
const fn submission() -> u16 {
    587
}

/// How the connection to a mail server is secured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum MailSecurity {
    #[default]
    StartTls,
    Tls,
}

/// Notifications of a desktop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Desktop {
    /// How long a notification stays; without it, as long as the desktop keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub expire_seconds: Option<u32>,
}
