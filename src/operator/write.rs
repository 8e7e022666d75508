//! Writes to the API server. Each names the version that it goes by, so that what was decided on old knowledge is
//! refused; the answer is in the mirror at once.

use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::DeserializeGuard;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::entry::{Identity, Read};
use super::error::ReconcileError;
use super::key::Key;
use super::mirror::Mirror;

/// Who owns the fields of a status.
const STATUS_MANAGER: &str = "memorybank.dev/status";
/// Who owns the objects that are made.
const CHILD_MANAGER: &str = "memorybank.dev/operator";
/// What the API server says of an object that does not fit its schema.
const UNTYPED: &str = "failed to create typed live object";
/// The group and version of every kind of ours.
const API_VERSION: &str = "memorybank.dev/v1alpha1";

/// Writes the whole status of an object of ours. One that went meanwhile is no error.
pub async fn status<T: Read>(
    client: &Client,
    mirror: &Mirror<T>,
    id: &Identity,
    status: &impl Serialize,
) -> Result<(), ReconcileError>
where
    T::Object: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<DeserializeGuard<T::Object>> = Api::namespaced(client.clone(), &id.key.namespace);
    let kind = T::Object::kind(&());
    let patch = json!({
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": id.key.name, "namespace": id.key.namespace, "resourceVersion": id.resource_version},
        "status": status,
    });
    let params = PatchParams::apply(STATUS_MANAGER).force();
    let applied = api.patch_status(&id.key.name, &params, &Patch::Apply(&patch)).await;
    let written = match applied {
        // The API server applies nothing to an object that does not fit its schema any more; it puts in its place.
        Err(kube::Error::Api(refusal)) if refusal.code == 500 && refusal.message.contains(UNTYPED) => {
            let params = PatchParams { field_manager: Some(STATUS_MANAGER.to_owned()), ..PatchParams::default() };
            let steps = json!([
                {"op": "test", "path": "/metadata/resourceVersion", "value": id.resource_version},
                {"op": "add", "path": "/status", "value": status},
            ]);
            match serde_json::from_value(steps) {
                Ok(steps) => api.patch_status(&id.key.name, &params, &Patch::Json::<()>(steps)).await,
                Err(error) => Err(kube::Error::SerdeError(error)),
            }
        }
        applied => applied,
    };
    match written {
        Ok(written) => {
            mirror.put_written(T::read(written), |known, _| known.key() == id.key);
            Ok(())
        }
        // The watch tells of it, and then whoever must know.
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(ReconcileError::api(format!("the status of {kind} {} is not written", id.key))(error)),
    }
}

/// What became of an object that was to be made.
pub enum Made<K> {
    /// It is there, made now or by an earlier attempt.
    Ours(K),
    /// One of this name is there and has another controller.
    Theirs,
    /// The API server refuses it as it is: no other attempt will go better.
    Invalid(String),
    /// It is not allowed now: by a right, a quota or a policy of the cluster.
    Forbidden(String),
}

/// Makes an object with a deterministic name, once. `owner` is the uid of its controller.
pub async fn create<K>(client: &Client, object: &K, owner: &str) -> Result<Made<K>, ReconcileError>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + Serialize
        + DeserializeOwned
        + std::fmt::Debug,
{
    let key = Key::of(object);
    let api: Api<K> = Api::namespaced(client.clone(), &key.namespace);
    let params = PostParams { field_manager: Some(CHILD_MANAGER.to_owned()), ..PostParams::default() };
    let what = || format!("{} {key} is not made", K::kind(&()));
    match api.create(&params, object).await {
        Ok(made) => Ok(Made::Ours(made)),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let known = api.get_opt(&key.name).await.map_err(ReconcileError::api(what()))?;
            let controller = |known: &K| {
                let owners = known.meta().owner_references.iter().flatten();
                owners.into_iter().any(|reference| reference.controller == Some(true) && reference.uid == owner)
            };
            match known {
                Some(known) if controller(&known) => Ok(Made::Ours(known)),
                Some(_) => Ok(Made::Theirs),
                // It went meanwhile: looked at again.
                None => Err(ReconcileError::api(what())(kube::Error::Api(status))),
            }
        }
        Err(kube::Error::Api(status)) if status.is_invalid() => Ok(Made::Invalid(status.message.clone())),
        Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(Made::Forbidden(status.message.clone())),
        Err(error) => Err(ReconcileError::api(what())(error)),
    }
}

/// Deletes an object and, in the background, what it owns. One that is gone is no error.
pub async fn delete<K>(client: &Client, id: &Identity) -> Result<(), ReconcileError>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), &id.key.namespace);
    let params = DeleteParams {
        preconditions: Some(kube::api::Preconditions { uid: Some(id.uid.clone()), resource_version: None }),
        ..DeleteParams::background()
    };
    match api.delete(&id.key.name, &params).await {
        Ok(_) => Ok(()),
        // Gone, or made anew by somebody else.
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(error) => Err(ReconcileError::api(format!("{} {} is not deleted", K::kind(&()), id.key))(error)),
    }
}
