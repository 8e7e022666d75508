/// Whether a run-now token asks for a schedule that has not handled it yet.
///
/// `token` is the request, for the one schedule `only` or for all; `handled` is the newest token that the
/// schedule has handled. The same token asks once, so it may stay in the document.
pub fn asked(token: &str, only: Option<&str>, schedule: &str, handled: Option<&str>) -> bool {
    only.is_none_or(|only| only == schedule) && handled != Some(token)
}
