/// How SHA-256 is computed on this machine: the choice that `sha2` makes by itself at run time. Without
/// instructions for it a check takes some seven times as long.
pub fn sha_backend() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("sha") && std::arch::is_x86_feature_detected!("sse4.1") {
        return "SHA-NI";
    }
    #[cfg(target_arch = "aarch64")]
    if std::arch::is_aarch64_feature_detected!("sha2") {
        return "ARMv8 SHA2";
    }
    "software"
}
