//! Certificates and kubeconfigs of the control plane of tests.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use serde_json::{Value, json};

/// What the API server is called.
const NAMES: [&str; 4] = ["localhost", "127.0.0.1", "kubernetes.default.svc", "10.0.0.1"];

/// Writes all of them into a folder.
pub fn write(folder: &Path, port: u16) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "control plane of tests");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate().unwrap();
    fs::write(folder.join("ca.crt"), params.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(params, key);

    let mut server = leaf("kube-apiserver", None, ExtendedKeyUsagePurpose::ServerAuth);
    server.subject_alt_names = CertificateParams::new(NAMES.map(str::to_owned)).unwrap().subject_alt_names;
    issue(&server, &issuer, folder, "server");
    let clients = [("admin", "admin", Some("system:masters")), ("manager", "system:kube-controller-manager", None)];
    for (file, name, group) in clients {
        issue(&leaf(name, group, ExtendedKeyUsagePurpose::ClientAuth), &issuer, folder, file);
        let path = |end: &str| folder.join(format!("{file}.{end}"));
        let user = json!({"client-certificate": path("crt"), "client-key": path("key")});
        write_kubeconfig(&path("kubeconfig"), folder, port, "default", &user);
    }

    let accounts = KeyPair::generate().unwrap();
    fs::write(folder.join("accounts.key"), accounts.serialize_pem()).unwrap();
    fs::write(folder.join("accounts.pub"), accounts.public_key_pem()).unwrap();
}

/// A kubeconfig of one user; JSON is YAML.
pub fn write_kubeconfig(path: &Path, folder: &Path, port: u16, namespace: &str, user: &Value) {
    let server = format!("https://127.0.0.1:{port}");
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority": folder.join("ca.crt")}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": namespace}}],
        "current-context": "x",
    });
    fs::write(path, config.to_string()).unwrap();
}

fn leaf(name: &str, group: Option<&str>, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params
}

fn issue(params: &CertificateParams, issuer: &Issuer<'_, KeyPair>, folder: &Path, file: &str) {
    let key = KeyPair::generate().unwrap();
    fs::write(folder.join(format!("{file}.crt")), params.signed_by(&key, issuer).unwrap().pem()).unwrap();
    fs::write(folder.join(format!("{file}.key")), key.serialize_pem()).unwrap();
}
