use super::Rule;
use crate::domain::Severity::{Critical, High, Medium};

pub const RULES: &[Rule] = &[
    Rule::token(
        "slack-token",
        "Slack token",
        Critical,
        &["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxo-", "xoxs-"],
        r"xox[bpaors]-[A-Za-z0-9]{8,}(?:-[A-Za-z0-9]{6,}){0,4}",
    ),
    Rule::token("slack-app-token", "Slack app token", Critical, &["xapp-"], r"xapp-\d[\d-]*[A-Za-z0-9/-]{20,120}"),
    Rule::token(
        "slack-config-token",
        "Slack configuration token",
        High,
        &["xoxe-", "xoxe."],
        r"xoxe(?:\.xox[bp])?-\d-[A-Za-z0-9]{100,200}",
    ),
    Rule::token("slack-session", "Slack session cookie", Critical, &["xoxd-", "xoxc-"], r"xox[cd]-[\w%/+=-]{40,300}"),
    Rule::token(
        "slack-webhook",
        "Slack webhook",
        High,
        &["hooks.slack.com/"],
        r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/_-]{40,90}",
    ),
    Rule::token(
        "discord-webhook",
        "Discord webhook",
        High,
        &["discord.com/api/webhooks/", "discordapp.com/api/webhooks/"],
        r"discord(?:app)?\.com/api/webhooks/\d{17,20}/[\w-]{60,80}",
    ),
    // The first part is a user id, decimal digits in base64: it begins so.
    Rule::token(
        "discord-bot-token",
        "Discord bot token",
        Critical,
        &["MT", "Mj", "Mz", "MD", "ND", "NT", "Nj", "Nz", "OD", "OT"],
        r"(?:[MN][DTjz]|O[DT])[A-Za-z0-9_-]{22,26}\.[\w-]{6}\.[\w-]{27,38}",
    ),
    Rule::token("telegram-bot-token", "Telegram bot token", Critical, &["AA"], r"\d{8,10}:AA[\w-]{32,33}").leading(11),
    Rule::token(
        "teams-webhook",
        "Microsoft Teams webhook",
        High,
        &["webhook.office.com/", "outlook.office.com/webhook/"],
        r"(?:webhook\.office\.com/webhookb2|outlook\.office\.com/webhook)/[\w-]{30,40}@[\w-]{30,40}/IncomingWebhook/\w{20,40}(?:/[\w-]{30,40})?",
    ),
    Rule::token(
        "teams-workflow",
        "Microsoft Teams workflow address",
        High,
        &["logic.azure.com"],
        r"[a-z0-9.-]{2,60}\.logic\.azure\.com(?::443)?/workflows/[0-9a-f]{32}/triggers/\S{1,200}sig=[\w%-]{20,60}",
    )
    .leading(61),
    Rule::token(
        "zapier-webhook",
        "Zapier webhook",
        Medium,
        &["hooks.zapier.com/"],
        r"hooks\.zapier\.com/hooks/catch/\d{4,10}/[a-z0-9]{5,10}",
    ),
    Rule::token("mattermost-hook", "Chat webhook", Medium, &["hooks/"], r"hooks/[a-z0-9]{26}"),
    Rule::token("twilio-key", "Twilio key", High, &["SK"], r"SK[0-9a-f]{32}"),
    Rule::token("sendgrid-key", "SendGrid key", Critical, &["SG."], r"SG\.[\w-]{20,24}\.[\w-]{39,50}"),
    Rule::token("mailgun-key", "Mailgun key", High, &["key-", "pubkey-"], r"(?:pub)?key-[0-9a-f]{32}"),
    Rule::token("mailchimp-key", "Mailchimp key", High, &["-us"], r"[0-9a-f]{32}-us\d{1,2}").leading(32),
    Rule::token(
        "brevo-key",
        "Brevo key",
        High,
        &["xkeysib-", "xsmtpsib-"],
        r"x(?:key|smtp)sib-[0-9a-f]{64}-[A-Za-z0-9]{16}",
    ),
    Rule::token("resend-key", "Resend key", High, &["re_"], r"re_[A-Za-z0-9]{8}_[A-Za-z0-9]{20,30}"),
    Rule::token("mailersend-token", "MailerSend token", High, &["mlsn."], r"mlsn\.[0-9a-f]{64}"),
    Rule::token("onesignal-key", "OneSignal key", High, &["os_v2_"], r"os_v2_(?:app|org)_[a-z0-9]{100,110}"),
];
